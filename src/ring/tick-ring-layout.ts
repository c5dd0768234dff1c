// Layout of a tick ring: shared words, then a power-of-two array of 64-byte records.
//
//   | claimed | published | room wanted | cursor 0 | cursor 1 | … | cursor N-1 |   128 bytes each
//   | tick | tick | …                                            |
//
// Positions count records, Int32 with wrap-around; the position of a record is the low 32 bits of
// its sequence. claimed ≥ published: slots in [published, claimed) are being written.
// A cursor is the position of the next record that its gating consumer will read.

import { assert } from '../errors.ts'
import { CACHE_ISOLATION_BYTES, TICK_RING_CONSUMERS_MAX } from '../limits.ts'
import { TICK_BYTES } from '../tick/layout.ts'

const WORD_STRIDE = CACHE_ISOLATION_BYTES / 4

export const TICK_RING_WORD = Object.freeze({
  claimed: 0,
  published: WORD_STRIDE,
  /** 1 while the producer waits for room: a gating consumer rings it when half is free. */
  roomWanted: 2 * WORD_STRIDE,
  firstCursor: 3 * WORD_STRIDE,
})

export const TICK_RING_DATA_OFFSET = (3 + TICK_RING_CONSUMERS_MAX) * CACHE_ISOLATION_BYTES

/** Word index of gating consumer `slot`'s cursor. */
export function cursorWord(slot: number): number {
  assert(slot >= 0 && slot < TICK_RING_CONSUMERS_MAX, 'a gating consumer has a cursor slot')
  return TICK_RING_WORD.firstCursor + slot * WORD_STRIDE
}

/** Bytes of shared memory for a ring of `capacity` records (a power of two). */
export function tickRingBytes(capacity: number): number {
  assert(capacity > 0 && (capacity & (capacity - 1)) === 0, 'capacity is a power of two')
  return TICK_RING_DATA_OFFSET + capacity * TICK_BYTES
}

/** Creates the memory of a ring whose first record will have sequence `firstSeq`. */
export function createTickRing(capacity: number, firstSeq: number): SharedArrayBuffer {
  const memory = new SharedArrayBuffer(tickRingBytes(capacity))
  const words = new Int32Array(memory, 0, TICK_RING_DATA_OFFSET / 4)
  const position = (firstSeq % 2 ** 32) | 0
  words[TICK_RING_WORD.claimed] = position
  words[TICK_RING_WORD.published] = position
  for (let slot = 0; slot < TICK_RING_CONSUMERS_MAX; slot++) words[cursorWord(slot)] = position
  return memory
}
