// Layout of the shared instrument table.
//
//   | lock, instrument count, name count: 128 bytes each                   |
//   | hash slots: i32 x 4 * capacity        name index + 1, or 0           |
//   | names: 96 bytes x 2 * capacity        every name that resolves       |
//   | instruments: 8 bytes x (capacity + 1) canonical name, venue's name   |
//
//   name, byte 0     4            8             9       10 … 11    12 … 95
//        hash u32    instrument   venue length  length  zero       venue text, then name text
//
// Entries are written before the count or slot that makes them visible, and never change again.

import { CACHE_ISOLATION_BYTES, INSTRUMENT_NAME_BYTES_MAX } from '../limits.ts'

const NAME_HEADER = [
  ['hash', 4],
  ['instrument', 4],
  ['venueLength', 1],
  ['length', 1],
  ['zero', 2],
] as const

type NameField = (typeof NAME_HEADER)[number][0]

export const NAME_OFFSET: Readonly<Record<NameField | 'text', number>> = (() => {
  const offsets = {} as Record<NameField | 'text', number>
  let offset = 0
  for (const [name, width] of NAME_HEADER) {
    offsets[name] = offset
    offset += width
  }
  offsets.text = offset
  return Object.freeze(offsets)
})()

export const NAME_BYTES = NAME_OFFSET.text + INSTRUMENT_NAME_BYTES_MAX
/** Names per instrument: the canonical symbol and the venue's own. */
const NAMES_PER_INSTRUMENT = 2
const SLOTS_PER_INSTRUMENT = 4
export const INSTRUMENT_WORDS = 2

const STRIDE = CACHE_ISOLATION_BYTES / 4
/** Indexes of the shared words. */
export const INSTRUMENT_WORD = Object.freeze({
  lock: 0,
  instrumentCount: STRIDE,
  nameCount: 2 * STRIDE,
})

/** Byte offsets of the parts of a table for `capacity` instruments (a power of two). */
export function instrumentTableLayout(capacity: number) {
  const slotCount = capacity * SLOTS_PER_INSTRUMENT
  const slots = 3 * CACHE_ISOLATION_BYTES
  const names = slots + slotCount * 4
  const nameCount = capacity * NAMES_PER_INSTRUMENT
  const instruments = names + nameCount * NAME_BYTES
  const size = instruments + (capacity + 1) * INSTRUMENT_WORDS * 4
  return { slotCount, slots, names, nameCount, instruments, size }
}
