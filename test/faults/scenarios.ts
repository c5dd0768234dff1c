// Every scenario.

import { killLoop } from './kill-loop.ts'
import { postgresDown } from './postgres-down.ts'
import type { Scenario } from './scenario.ts'
import { stalledSubscribers } from './stalled-subscribers.ts'

export const SCENARIOS: readonly Scenario[] = [postgresDown, killLoop, stalledSubscribers]
