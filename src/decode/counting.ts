// Indexes of the `decode` counters, and sums over lists of them: what a group adds to its source's.

import { assert } from '../errors.ts'
import { IGNORE_REASONS, QUARANTINE_REASONS, REJECT_REASONS } from '../ledger/reasons.ts'
import { type CounterName, counterNames } from '../ops/counter-catalog.ts'
import { EVENT_NAMES } from './decoder.ts'

/** Index of each `decode` counter in its block. */
export const COUNTER_COUNT = counterNames('decode').length

export const COUNTER = Object.fromEntries(
  counterNames('decode').map((name, index) => [name, index]),
) as Readonly<Record<CounterName<'decode'>, number>>

assertRun('events', EVENT_NAMES)
assertRun('ignored', IGNORE_REASONS)
assertRun('rejected', REJECT_REASONS)
assertRun('quarantined', QUARANTINE_REASONS)

/** The counters of a list stand side by side in the list's order: they are added as one. */
function assertRun(prefix: string, list: readonly string[]): void {
  const names: readonly string[] = counterNames('decode')
  const first = names.indexOf(`${prefix}_${list[0]}`)
  for (let i = 0; i < list.length; i++) {
    assert(names[first + i] === `${prefix}_${list[i]}`, `${prefix} counters follow their list`)
  }
}

/** In order: what is counted first and last tells a reader whether all between belongs together. */
export function copy(from: Float64Array, to: Float64Array): void {
  for (let i = 0; i < to.length; i++) to[i] = from[i] as number
}

export function add(values: Float64Array, index: number, n: number): void {
  values[index] = (values[index] as number) + n
}

export function addAll(values: Float64Array, first: number, amounts: Float64Array): void {
  for (let i = 0; i < amounts.length; i++) add(values, first + i, amounts[i] as number)
}

export function sum(amounts: Float64Array): number {
  let total = 0
  for (let i = 0; i < amounts.length; i++) total += amounts[i] as number
  return total
}
