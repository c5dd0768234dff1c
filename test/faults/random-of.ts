// Random numbers for one purpose, from the seed of a run: what happens at the same time, in
// whatever order, does not draw from the same numbers.

import { crc32 } from 'node:zlib'
import { Random } from '../../src/source/random.ts'

export function randomOf(seed: number, purpose: string, number: number): Random {
  return new Random(crc32(`${seed} ${purpose} ${number}`))
}
