// hot path
// Packed ticks -> records: a frame is a whole number of 64-byte ticks, as schema/tick.fbs has them.
//
// The sender is a program that knows the layout and the instrument ids (GET /v1/instruments). Each
// tick is a message of its own. Form is checked here (kind, side, action, market, reserved bytes,
// instrument, times); values are validate's matter. ts_recv and source are ours and overwritten;
// of the flags, those that tickd judges itself are cleared.

import type { FrameMeta } from '../ring/frame-ring.ts'
import type { TickBatch } from '../tick/batch.ts'
import { isNegative, isNull, writeSplit } from '../tick/fixed-point.ts'
import type { InstrumentTable } from '../tick/instruments.ts'
import {
  ACTION,
  FLAG_NAMES,
  KIND,
  KIND_COUNT,
  MARKET_NAMES,
  OFFSET,
  SIDE,
  SIDE_NAMES,
  STATUS,
  STATUS_NAMES,
  TICK_BYTES,
  TICK_WORDS,
  WORD,
} from '../tick/layout.ts'
import type { Decoder, DecodeTally } from './decoder.ts'
import { OK, REJECT } from './reason-index.ts'
import { frameFlags, SENDER_FLAGS } from './tick-writer.ts'

const HALVES = TICK_BYTES / 2
const KNOWN_FLAGS = (1 << FLAG_NAMES.length) - 1
const ACTION_COUNT = ACTION.clear + 1
const STATUS_COUNT = STATUS_NAMES.length
const SIDE_COUNT = SIDE_NAMES.length
const MARKET_COUNT = MARKET_NAMES.length

export class PackedDecoder implements Decoder {
  readonly #instruments: InstrumentTable

  constructor({ instruments }: { instruments: InstrumentTable }) {
    this.#instruments = instruments
  }

  decode(
    bytes: Uint8Array,
    start: number,
    end: number,
    meta: FrameMeta,
    out: TickBatch,
    tally: DecodeTally,
  ): void {
    if (end === start || (end - start) % TICK_BYTES !== 0) {
      tally.reject(REJECT.bad_packed, bytes, start, end)
      return
    }
    const flags = frameFlags(meta)
    const idMax = this.#instruments.count
    for (let at = start; at < end; at += TICK_BYTES) {
      const index = out.count
      if (index === out.capacity) {
        tally.reject(REJECT.too_many_records, bytes, at, at + TICK_BYTES)
        continue
      }
      // Byte by byte: the frame may lie at any offset, and the tick is checked where it is aligned.
      for (let i = 0; i < TICK_BYTES; i++) {
        out.bytes[index * TICK_BYTES + i] = bytes[at + i] as number
      }
      const reason = check(out, index, idMax)
      if (reason !== OK) {
        tally.reject(reason, bytes, at, at + TICK_BYTES)
        continue
      }
      const half = index * HALVES
      const own = (out.halves[half + OFFSET.flags / 2] as number) & SENDER_FLAGS
      out.halves[half + OFFSET.flags / 2] = own | flags
      out.halves[half + OFFSET.source / 2] = meta.source
      const word = index * TICK_WORDS
      writeSplit(out.words, word + WORD.ts_recv, false, meta.recvSec, meta.recvNsec)
      tally.origins[2 * index] = at
      tally.origins[2 * index + 1] = at + TICK_BYTES
      out.count = index + 1
      // Kinds and events are in the same order; kinds begin at 1.
      tally.accept(out.kind(index) - 1, 1)
    }
  }
}

/** OK, or the reason to reject tick `index`. */
function check(out: TickBatch, index: number, idMax: number): number {
  const { words, halves } = out
  const word = index * TICK_WORDS
  const half = index * HALVES
  const kind = out.kind(index)
  if (kind < 1 || kind >= KIND_COUNT) return REJECT.bad_packed
  if (halves[half + OFFSET.reserved / 2] !== 0) return REJECT.bad_packed
  if (((halves[half + OFFSET.flags / 2] as number) & ~KNOWN_FLAGS) !== 0) return REJECT.bad_packed
  const instrument = out.instrument(index)
  if (instrument === 0 || instrument > idMax) return REJECT.bad_packed
  if (!isFormOfKind(out, index, kind)) return REJECT.bad_packed
  if (isNull(words, word + WORD.ts_event) || isNegative(words, word + WORD.ts_event)) {
    return REJECT.bad_time
  }
  return OK
}

/** Side, action, market and interval are what the kind has, and zero where it has none. */
function isFormOfKind(out: TickBatch, index: number, kind: number): boolean {
  const side = out.side(index)
  const action = out.action(index)
  if (kind !== KIND.price && (out.market(index) !== 0 || out.interval(index) !== 0)) return false
  switch (kind) {
    case KIND.trade:
      return side < SIDE_COUNT && action === 0
    case KIND.book:
      if (side === SIDE.none && action !== ACTION.clear) return false
      return side < SIDE_COUNT && action !== ACTION.none && action < ACTION_COUNT
    case KIND.status:
      return side === SIDE.none && action !== STATUS.none && action < STATUS_COUNT
    case KIND.price:
      return side === SIDE.none && action === 0 && out.market(index) < MARKET_COUNT
    default:
      return side === SIDE.none && action === 0
  }
}
