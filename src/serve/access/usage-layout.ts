// The memory of a UsageBoard: a column a serve thread, each written by that thread alone.
//
//   column   128 bytes   word 0: version, odd while places are being given or taken back
//            slots       of 32 bytes, a power of two of them
//
//   slot      0  i64     hash of the name, as two words; both 0 = free
//             8  2 i32   counts: what is open of two kinds
//            16  2 f64   moments at which two allowances are full again, monotonic ms
//
// A name stands in one of the USAGE_WINDOW slots from where its hash says, round the end.

import { assert } from '../../errors.ts'
import { ADDRESSES_MAX, CACHE_ISOLATION_BYTES, HOLDERS_MAX } from '../../limits.ts'

/** Of a column: below a third full, so that a window is never. */
export const USAGE_SLOTS = 2 ** 17
export const USAGE_WINDOW = 64

const WORD_BYTES = 4
const SLOT_BYTES = 32
export const SLOT_WORDS = SLOT_BYTES / WORD_BYTES
/** Of a column, before its slots. */
export const HEADER_WORDS = CACHE_ISOLATION_BYTES / WORD_BYTES
/** From a slot's first word. */
export const SLOT_WORD = Object.freeze({ hashLow: 0, hashHigh: 1, counts: 2, moments: 4 })
/** A moment is so many words. */
export const MOMENT_WORDS = Float64Array.BYTES_PER_ELEMENT / WORD_BYTES

assert((HOLDERS_MAX + ADDRESSES_MAX) * 3 <= USAGE_SLOTS, 'all who are known fit, with room')
assert(USAGE_WINDOW < USAGE_SLOTS, 'a window is a part of them')

export function columnBytes(slots: number): number {
  assert((slots & (slots - 1)) === 0, 'the slots are a power of two')
  return CACHE_ISOLATION_BYTES + slots * SLOT_BYTES
}

/** The slots of columns that have so many bytes. */
export function slotsOf(bytes: number): number {
  return (bytes - CACHE_ISOLATION_BYTES) / SLOT_BYTES
}
