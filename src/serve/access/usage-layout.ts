// The memory of a UsageBoard: a column a serve thread, each written by that thread alone.
//
//   column   128 bytes   word 0: version, odd while places are being given or taken back
//            slots       of 32 bytes, USAGE_SLOTS of them
//
//   slot      0  i64     hash of the name, as two words; both 0 = free
//             8  2 i32   counts: what is open of two kinds
//            16  2 f64   moments at which two allowances are full again, monotonic ms
//
// A name stands in one of the USAGE_WINDOW slots from where its hash says, round the end.

import { assert } from '../../errors.ts'
import { ADDRESSES_MAX, CACHE_ISOLATION_BYTES, HOLDERS_MAX } from '../../limits.ts'

/** Below a third full, so that a window is never. */
export const USAGE_SLOTS = 2 ** 17
export const USAGE_WINDOW = 64

const SLOT_BYTES = 32
export const COLUMN_BYTES = CACHE_ISOLATION_BYTES + USAGE_SLOTS * SLOT_BYTES

assert((HOLDERS_MAX + ADDRESSES_MAX) * 3 <= USAGE_SLOTS, 'all who are known fit, with room')
assert((USAGE_SLOTS & (USAGE_SLOTS - 1)) === 0, 'the slots are a power of two')
assert(USAGE_WINDOW < USAGE_SLOTS, 'a window is a part of them')

/** Index of a column's version among 32-bit words. */
export function versionWord(column: number): number {
  return (column * COLUMN_BYTES) / Int32Array.BYTES_PER_ELEMENT
}

/** Index of a slot's first word among 32-bit words: the hash. */
export function slotWord(column: number, slot: number): number {
  const offset = column * COLUMN_BYTES + CACHE_ISOLATION_BYTES + slot * SLOT_BYTES
  return offset / Int32Array.BYTES_PER_ELEMENT
}

/** From a slot's first word. */
export const SLOT_WORD = Object.freeze({ hashLow: 0, hashHigh: 1, counts: 2 })

/** Index of the first moment of a slot among 64-bit numbers. */
export function slotMoment(column: number, slot: number): number {
  return (slotWord(column, slot) + SLOT_MOMENTS_WORD) / 2
}

const SLOT_MOMENTS_WORD = 4
