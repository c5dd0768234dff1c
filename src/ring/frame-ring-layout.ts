// Layout of a frame ring: shared words, then a power-of-two buffer of frames.
//
//   | producer position | consumer position | attempt position | attempt count | room wanted |
//     128 bytes each
//   | frame | frame | pad to the end of the buffer | … wraps                   |
//
// A frame: 32-byte header, payload, zero bytes up to a multiple of 8.
//
//   byte 0        4       6       7      8      12        16       24        32
//        length   source  format  flags  token  reserved  ts_recv  reserved  payload …
//        i32      u16     u8      u8     u32    u32       i64 ns   u64
//
// length = payload bytes, or PAD: the rest of the buffer is empty, go on at its start.
// Positions are byte positions, Int32 with wrap-around; capacity ≤ 2^30 keeps differences exact.

import { assert } from '../errors.ts'
import { CACHE_ISOLATION_BYTES } from '../limits.ts'

const FIELDS = [
  ['length', 4],
  ['source', 2],
  ['format', 1],
  ['flags', 1],
  ['token', 4],
  ['reserved0', 4],
  ['tsRecv', 8],
  ['reserved1', 8],
] as const

type FrameField = (typeof FIELDS)[number][0]

export const FRAME_OFFSET: Readonly<Record<FrameField, number>> = (() => {
  const offsets = {} as Record<FrameField, number>
  let offset = 0
  for (const [name, width] of FIELDS) {
    offsets[name] = offset
    offset += width
  }
  return Object.freeze(offsets)
})()

export const FRAME_HEADER_BYTES = FIELDS.reduce((sum, [, width]) => sum + width, 0)
export const FRAME_ALIGN_BYTES = 8
/** In place of a length: nothing more before the end of the buffer. */
export const PAD = -1

const WORD_STRIDE = CACHE_ISOLATION_BYTES / 4

/** Indexes of the shared words, in 32-bit words from the start of the memory. */
export const FRAME_WORD = Object.freeze({
  producerPosition: 0,
  consumerPosition: WORD_STRIDE,
  /** Position of the frame that is being decoded, and how often that was begun. */
  attemptPosition: 2 * WORD_STRIDE,
  attemptCount: 3 * WORD_STRIDE,
  /** 1 while the producer waits for room: the consumer rings it when half the ring is free. */
  roomWanted: 4 * WORD_STRIDE,
})

export const FRAME_DATA_OFFSET = 5 * CACHE_ISOLATION_BYTES
const CAPACITY_MAX = 2 ** 30

/** Bytes of shared memory for a ring whose buffer has `capacity` bytes (a power of two). */
export function frameRingBytes(capacity: number): number {
  assert(capacity > 0 && (capacity & (capacity - 1)) === 0, 'capacity is a power of two')
  assert(capacity <= CAPACITY_MAX, 'capacity is at most 2^30 bytes')
  return FRAME_DATA_OFFSET + capacity
}

/** Bytes that a frame with this payload takes in the ring. */
export function frameSize(payloadBytes: number): number {
  return (FRAME_HEADER_BYTES + payloadBytes + FRAME_ALIGN_BYTES - 1) & -FRAME_ALIGN_BYTES
}
