// hot path
// Writing the head of a record: every byte before the payload, so that a reused slot keeps nothing.
//
// A writer is set up once a message (times, source, flags) and then writes any number of heads.
// The payload is the caller's: all four of p0 … p3 must be written, null where there is none.

import { assert } from '../errors.ts'
import { FRAME_FLAG, type FrameMeta } from '../ring/frame-ring.ts'
import type { TickBatch } from '../tick/batch.ts'
import { writeNull, writeSplit } from '../tick/fixed-point.ts'
import { FLAG, OFFSET, TICK_BYTES, TICK_WORDS, WORD } from '../tick/layout.ts'

const HALVES = TICK_BYTES / 2
const HEAD_WORDS = WORD.p0
/** Words of several fields: source, kind, side; flags, action, market; interval, reserved. */
const SOURCE_WORD = OFFSET.source / 4
const FLAGS_WORD = OFFSET.flags / 4
const INTERVAL_WORD = OFFSET.interval / 4
assert(OFFSET.kind === OFFSET.source + 2 && OFFSET.side === OFFSET.source + 3, 'one word')
assert(OFFSET.action === OFFSET.flags + 2 && OFFSET.market === OFFSET.flags + 3, 'one word')
assert(OFFSET.reserved === OFFSET.interval + 2, 'one word')

const TWO_TO_32 = 4294967296
/** The second of receipt that was written last, and its nanoseconds since 1970. */
const received = { sec: 0, words: new Int32Array(2) }

/** Flags that a record's sender may set; the others are for tickd itself to judge. */
export const SENDER_FLAGS =
  FLAG.LAST | FLAG.SNAPSHOT | FLAG.REPLAYED | FLAG.CORRECTED | FLAG.BACKFILLED | FLAG.SYNTHETIC

/** FLAG bits that every record of a frame with this meta has. */
export function frameFlags(meta: FrameMeta): number {
  return (meta.flags & FRAME_FLAG.REPLAYED) === 0 ? 0 : FLAG.REPLAYED
}

/** Writes the head of tick `index`; action, market and interval are 0. */
export function writeHead(
  out: TickBatch,
  index: number,
  kind: number,
  side: number,
  instrument: number,
  flags: number,
  eventSec: number,
  eventNsec: number,
  meta: FrameMeta,
): void {
  const at = index * TICK_WORDS
  const byte = index * TICK_BYTES
  const half = index * HALVES
  writeSplit(out.words, at + WORD.ts_event, false, eventSec, eventNsec)
  writeSplit(out.words, at + WORD.ts_recv, false, meta.recvSec, meta.recvNsec)
  out.words[at + WORD.instrument] = instrument
  out.halves[half + OFFSET.source / 2] = meta.source
  out.bytes[byte + OFFSET.kind] = kind
  out.bytes[byte + OFFSET.side] = side
  out.halves[half + OFFSET.flags / 2] = flags
  out.bytes[byte + OFFSET.action] = 0
  out.bytes[byte + OFFSET.market] = 0
  out.halves[half + OFFSET.interval / 2] = 0
  out.halves[half + OFFSET.reserved / 2] = 0
}

/**
 * As writeHead, of a tick that begins at words[at] and whose event time is written already.
 * Whole words, and the second of receipt is worked out once.
 */
export function writeHeadWords(
  words: Int32Array,
  at: number,
  kind: number,
  side: number,
  instrument: number,
  flags: number,
  action: number,
  meta: FrameMeta,
): void {
  const { recvSec, recvNsec } = meta
  if (recvSec !== received.sec) {
    writeSplit(received.words, 0, false, recvSec, 0)
    received.sec = recvSec
  }
  const low = ((received.words[0] as number) >>> 0) + recvNsec
  words[at + WORD.ts_recv] = low | 0
  words[at + WORD.ts_recv + 1] = (received.words[1] as number) + (low >= TWO_TO_32 ? 1 : 0)
  words[at + WORD.instrument] = instrument
  words[at + SOURCE_WORD] = meta.source | (kind << 16) | (side << 24)
  words[at + FLAGS_WORD] = flags | (action << 16)
  words[at + INTERVAL_WORD] = 0
}

/** Gives tick `index` the head of tick `like`; side and action are the caller's to change. */
export function copyHead(out: TickBatch, like: number, index: number): void {
  const { words } = out
  const from = like * TICK_WORDS
  const to = index * TICK_WORDS
  for (let word = 0; word < HEAD_WORDS; word++) words[to + word] = words[from + word] as number
}

/** Makes p0 … p3 null. */
export function writeNullPayload(out: TickBatch, index: number): void {
  const at = index * TICK_WORDS
  writeNull(out.words, at + WORD.p0)
  writeNull(out.words, at + WORD.p1)
  writeNull(out.words, at + WORD.p2)
  writeNull(out.words, at + WORD.p3)
}
