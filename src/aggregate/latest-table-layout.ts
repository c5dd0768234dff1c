// Layout of the latest table: one slot an instrument and kind, in shared memory.
//
//   slot index = (instrument - 1) x LATEST_KINDS + rank of the kind
//
//   word 0         1        2         3          4 … 19
//        version   seq low  seq high  reserved   the 64-byte record
//
// The version is odd while the slot is written, even otherwise, 0 before the first write. Slots
// share cache lines: a slot of 128 bytes would cost 32 MiB more to spare a reader, ten times a
// second, a line that the writer has just touched.

import { KIND, KIND_COUNT, TICK_WORDS } from '../tick/layout.ts'

/** Kinds that have a latest value. A book level has none: the book is what is current. */
export const LATEST_KINDS = [KIND.trade, KIND.quote, KIND.price, KIND.status] as const
export const LATEST_KIND_COUNT = LATEST_KINDS.length

/** Kind -> its rank within an instrument's slots; -1 when the kind has no latest value. */
export const LATEST_RANK: Int8Array = (() => {
  const ranks = new Int8Array(KIND_COUNT).fill(-1)
  LATEST_KINDS.forEach((kind, rank) => {
    ranks[kind] = rank
  })
  return ranks
})()

const SLOT_FIELDS = ['version', 'seqLow', 'seqHigh', 'reserved'] as const
type SlotField = (typeof SLOT_FIELDS)[number] | 'record'

/** Indexes of 32-bit words within a slot. */
export const SLOT_WORD: Readonly<Record<SlotField, number>> = Object.freeze({
  version: SLOT_FIELDS.indexOf('version'),
  seqLow: SLOT_FIELDS.indexOf('seqLow'),
  seqHigh: SLOT_FIELDS.indexOf('seqHigh'),
  reserved: SLOT_FIELDS.indexOf('reserved'),
  record: SLOT_FIELDS.length,
})

export const SLOT_WORDS = SLOT_FIELDS.length + TICK_WORDS

/** Bytes of shared memory for `capacity` instruments. */
export function latestTableBytes(capacity: number): number {
  return capacity * LATEST_KIND_COUNT * SLOT_WORDS * 4
}
