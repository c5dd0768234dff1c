// What several parts of the schema are made of.

import { z } from 'zod'

export const int = (min: number, max: number) => z.int().min(min).max(max)
export const hostname = z.string().min(1).max(255)
