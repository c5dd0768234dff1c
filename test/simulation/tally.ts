// The sum of many schedules: what was done in them, which faults happened, which seeds failed.

import { FAULTS, type FaultName } from './faults.ts'
import { type Outcome, STATS, type StatName } from './schedule.ts'

/** Failing seeds that are kept with their message; the rest are counted. */
const FAILURES_LISTED_MAX = 10

export interface Tally {
  scheduleCount: number
  failureCount: number
  /** All hashes, mixed: equal for equal runs, whatever the number of workers. */
  hash: number
  readonly faults: Record<FaultName, number>
  readonly stats: Record<StatName, number>
  readonly failures: { seed: number; message: string }[]
}

export function newTally(): Tally {
  return {
    scheduleCount: 0,
    failureCount: 0,
    hash: 0,
    faults: zeroes(FAULTS),
    stats: zeroes(STATS),
    failures: [],
  }
}

export function addOutcome(tally: Tally, outcome: Outcome): void {
  const { seed, failure, hash, faults, stats } = outcome
  const failures = failure === undefined ? [] : [{ seed, message: failure.message }]
  addTally(tally, {
    scheduleCount: 1,
    failureCount: failures.length,
    hash,
    faults: { ...faults },
    stats: { ...stats },
    failures,
  })
}

export function addTally(sum: Tally, part: Tally): void {
  sum.scheduleCount += part.scheduleCount
  sum.failureCount += part.failureCount
  sum.hash = (sum.hash + part.hash) | 0
  for (const name of FAULTS) sum.faults[name] += part.faults[name]
  for (const name of STATS) sum.stats[name] += part.stats[name]
  sum.failures.push(...part.failures.slice(0, FAILURES_LISTED_MAX - sum.failures.length))
}

function zeroes<Name extends string>(names: readonly Name[]): Record<Name, number> {
  return Object.fromEntries(names.map((name) => [name, 0])) as Record<Name, number>
}
