// Numbers of the reasons, by name: what a tally counts by.

import {
  IGNORE_REASONS,
  type IgnoreReason,
  REJECT_REASONS,
  type RejectReason,
} from '../ledger/reasons.ts'

function indexes<Name extends string>(names: readonly Name[]): Readonly<Record<Name, number>> {
  return Object.freeze(
    Object.fromEntries(names.map((name, index) => [name, index])) as Record<Name, number>,
  )
}

export const IGNORE: Readonly<Record<IgnoreReason, number>> = indexes(IGNORE_REASONS)
export const REJECT: Readonly<Record<RejectReason, number>> = indexes(REJECT_REASONS)

/** In place of a reason: nothing is wrong. */
export const OK = -1
