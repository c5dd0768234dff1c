// The mark of a pushed batch (or of a part of one): who pushed what, and which records it became.
//
// Decode makes it, the mark ring carries it, the journal keeps it beside the records, and the
// table of batch ids is made of it. 64 bytes, as a tick, so that the tick ring's code carries marks
// and journal blocks stay aligned. Little-endian, no padding.
//
// byte 0        16         24     28         32          36         40            44          48
//      id 16 B  first_seq  part   accepted   duplicate   rejected   frame_bytes   frame_crc   zero
//
// A frame of such a batch begins with a prefix of 32 bytes: id 16, part 4, zero 12.
//
// A batch has an id chosen by its pusher; `id` is a digest of it (see `batchKey`). A batch that is
// longer than a frame has parts, numbered from 0. A mark with no accepted record says: marks before
// it in the ring with the same or a later first_seq are void (decode ended before it published).

import { createHash } from 'node:crypto'
import { assert } from '../errors.ts'
import { SEQ_MAX } from '../limits.ts'

const FIELDS = [
  ['id', 16], // digest of source and id
  ['first_seq', 8], // sequence of the first accepted record; the accepted ones are contiguous
  ['part', 4], // 0 …
  ['accepted', 4], // records published
  ['duplicate', 4], // records dropped as repeats of other trades
  ['rejected', 4], // messages rejected, and records quarantined
  ['frame_bytes', 4], // length of the frame, and CRC-32 of it: the same id must mean the same bytes
  ['frame_crc', 4],
  ['reserved', 16], // zero
] as const

export type MarkField = (typeof FIELDS)[number][0]

export const MARK_OFFSET: Readonly<Record<MarkField, number>> = (() => {
  const offsets = {} as Record<MarkField, number>
  let offset = 0
  for (const [name, width] of FIELDS) {
    offsets[name] = offset
    offset += width
  }
  return Object.freeze(offsets)
})()

export const MARK_BYTES = FIELDS.reduce((sum, [, width]) => sum + width, 0)
export const MARK_WORDS = MARK_BYTES / 4
/** Of a frame with FRAME_FLAG.MARKED; the payload proper follows. A multiple of 8. */
export const BATCH_PREFIX_BYTES = 32
export const BATCH_ID_BYTES = 16
export const BATCH_ID_WORDS = BATCH_ID_BYTES / 4
const TWO_32 = 2 ** 32

if (MARK_BYTES !== 64) throw new Error(`a mark is 64 bytes, not ${MARK_BYTES}`)

export interface BatchMark {
  /** Four words. */
  readonly id: Int32Array
  part: number
  firstSeq: number
  accepted: number
  duplicate: number
  rejected: number
  frameBytes: number
  frameCrc: number
}

export function newMark(): BatchMark {
  return {
    id: new Int32Array(BATCH_ID_WORDS),
    part: 0,
    firstSeq: 0,
    accepted: 0,
    duplicate: 0,
    rejected: 0,
    frameBytes: 0,
    frameCrc: 0,
  }
}

/** The digest by which the batch `id` of the source `source` is known. */
export function batchKey(source: string, id: string): Uint8Array {
  // Of a source: two pushers that do not know of each other may number their batches alike.
  const digest = createHash('sha256').update(source).update('\0').update(id).digest()
  return digest.subarray(0, BATCH_ID_BYTES)
}

/** The prefix of a frame: part `part` of the batch with this digest. */
export function batchPrefix(key: Uint8Array, part: number): Uint8Array {
  const prefix = new Uint8Array(BATCH_PREFIX_BYTES)
  prefix.set(key)
  new DataView(prefix.buffer).setUint32(BATCH_ID_BYTES, part, true)
  return prefix
}

/** Fills id and part of `mark` from the prefix at `start`. */
export function readPrefix(bytes: Uint8Array, start: number, mark: BatchMark): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset + start, BATCH_PREFIX_BYTES)
  for (let word = 0; word < BATCH_ID_WORDS; word++) mark.id[word] = view.getInt32(word * 4, true)
  mark.part = view.getUint32(BATCH_ID_BYTES, true)
}

/** Writes a mark as mark `index` of `words`. */
export function writeMark(words: Int32Array, index: number, mark: BatchMark): void {
  assert(mark.firstSeq >= 0 && mark.firstSeq <= SEQ_MAX, 'a sequence is in 0 … 2^48 - 1')
  const at = index * MARK_WORDS
  words.fill(0, at, at + MARK_WORDS)
  words.set(mark.id, at)
  words[at + MARK_OFFSET.first_seq / 4] = (mark.firstSeq % TWO_32) | 0
  words[at + MARK_OFFSET.first_seq / 4 + 1] = Math.floor(mark.firstSeq / TWO_32)
  words[at + MARK_OFFSET.part / 4] = mark.part
  words[at + MARK_OFFSET.accepted / 4] = mark.accepted
  words[at + MARK_OFFSET.duplicate / 4] = mark.duplicate
  words[at + MARK_OFFSET.rejected / 4] = mark.rejected
  words[at + MARK_OFFSET.frame_bytes / 4] = mark.frameBytes
  words[at + MARK_OFFSET.frame_crc / 4] = mark.frameCrc
}

/** Fills `mark` from mark `index` of `words`. */
export function readMark(words: Int32Array, index: number, mark: BatchMark): void {
  const at = index * MARK_WORDS
  mark.id.set(words.subarray(at, at + BATCH_ID_WORDS))
  mark.firstSeq = markFirstSeq(words, index)
  mark.part = unsigned(words, at + MARK_OFFSET.part / 4)
  mark.accepted = unsigned(words, at + MARK_OFFSET.accepted / 4)
  mark.duplicate = unsigned(words, at + MARK_OFFSET.duplicate / 4)
  mark.rejected = unsigned(words, at + MARK_OFFSET.rejected / 4)
  mark.frameBytes = unsigned(words, at + MARK_OFFSET.frame_bytes / 4)
  mark.frameCrc = unsigned(words, at + MARK_OFFSET.frame_crc / 4)
}

export function markFirstSeq(words: Int32Array, index: number): number {
  const at = index * MARK_WORDS + MARK_OFFSET.first_seq / 4
  return unsigned(words, at) + unsigned(words, at + 1) * TWO_32
}

export function markAccepted(words: Int32Array, index: number): number {
  return unsigned(words, index * MARK_WORDS + MARK_OFFSET.accepted / 4)
}

function unsigned(words: Int32Array, at: number): number {
  return (words[at] as number) >>> 0
}
