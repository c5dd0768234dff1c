// hot path
// The payload of a normalised record, kind by kind: side, action and p0 … p3.
//
// Reads a scanned object into tick `index`; results are OK or an index in REJECT_REASONS. What is
// optional is null (or 'none') where it is absent or null. Nothing is judged here beyond form:
// validate has the rules (zero sizes, crossed quotes).

import type { TickBatch } from '../tick/batch.ts'
import { PARSE_OK, parseDecimal, parseInteger, writeNull } from '../tick/fixed-point.ts'
import {
  ACTION,
  FLAG,
  KIND,
  PRICE_DECIMALS,
  SIDE,
  SIZE_DECIMALS,
  STATUS,
  TICK_WORDS,
  WORD,
} from '../tick/layout.ts'
import { decimalReason, readWhole, wrongType } from './fields.ts'
import type { KeyTable } from './key-table.ts'
import { ACTIONS, F, FLAG_BITS, FLAG_WORDS, MARKETS, SIDES, STATUSES } from './ndjson-names.ts'
import { type ObjectScan, VALUE } from './object-scan.ts'
import { OK, REJECT } from './reason-index.ts'

const QUOTE = 0x22
const COMMA = 0x2c
const CLOSE_ARRAY = 0x5d
const INTERVAL_MINUTES_MAX = 0xffff

export class NdjsonPayload {
  readonly #scan: ObjectScan

  constructor(scan: ObjectScan) {
    this.#scan = scan
  }

  /** Writes what the kind has, except the head. */
  write(kind: number, text: Uint8Array, out: TickBatch, index: number): number {
    switch (kind) {
      case KIND.trade:
        return this.#trade(text, out, index)
      case KIND.quote:
        return this.#quote(text, out, index)
      case KIND.book:
        return this.#book(text, out, index)
      case KIND.price:
        return this.#price(text, out, index)
      default:
        return this.#status(text, out, index)
    }
  }

  /** FLAG bits of the record: the sender's, where it gives any, else LAST. -1 = not a flag list. */
  flags(text: Uint8Array): number {
    const type = this.#scan.types[F.flags] as number
    if (type === VALUE.absent || type === VALUE.null) return FLAG.LAST
    if (type !== VALUE.array) return -1
    const end = this.#scan.ends[F.flags] as number
    let flags = 0
    // Well-formed already: strings between commas are all that has to be told apart here.
    for (let at = (this.#scan.starts[F.flags] as number) + 1; at < end; at++) {
      const byte = text[at] as number
      if (byte <= 0x20 || byte === COMMA || byte === CLOSE_ARRAY) continue
      if (byte !== QUOTE) return -1
      const start = at + 1
      for (at = start; text[at] !== QUOTE; at++);
      const slot = FLAG_WORDS.find(text, start, at)
      if (slot < 0) return -1
      flags |= FLAG_BITS[slot] as number
    }
    return flags
  }

  #trade(text: Uint8Array, out: TickBatch, index: number): number {
    const { words } = out
    const p0 = index * TICK_WORDS + WORD.p0
    const side = this.#word(F.side, SIDES, text)
    if (side < 0) return REJECT.bad_field
    out.setKindSide(index, KIND.trade, side)
    let reason = this.#decimal(F.price, text, PRICE_DECIMALS, words, p0, true)
    if (reason !== OK) return reason
    reason = this.#decimal(F.size, text, SIZE_DECIMALS, words, p0 + 2, true)
    if (reason !== OK) return reason
    writeNull(words, p0 + 6)
    return this.#integer(F.id, text, words, p0 + 4)
  }

  #quote(text: Uint8Array, out: TickBatch, index: number): number {
    const { words } = out
    const { types } = this.#scan
    const p0 = index * TICK_WORDS + WORD.p0
    if (isNothing(types[F.bidPrice] as number) && isNothing(types[F.askPrice] as number)) {
      return REJECT.missing_field
    }
    let reason = this.#decimal(F.bidPrice, text, PRICE_DECIMALS, words, p0, false)
    if (reason !== OK) return reason
    reason = this.#decimal(F.bidSize, text, SIZE_DECIMALS, words, p0 + 2, false)
    if (reason !== OK) return reason
    reason = this.#decimal(F.askPrice, text, PRICE_DECIMALS, words, p0 + 4, false)
    if (reason !== OK) return reason
    return this.#decimal(F.askSize, text, SIZE_DECIMALS, words, p0 + 6, false)
  }

  #book(text: Uint8Array, out: TickBatch, index: number): number {
    const { words } = out
    const p0 = index * TICK_WORDS + WORD.p0
    const side = this.#word(F.side, SIDES, text)
    const action = this.#word(F.action, ACTIONS, text)
    if (side < 0 || action < 0) return REJECT.bad_field
    const isClear = action === ACTION.clear
    if (action === ACTION.none || (side === SIDE.none && !isClear)) return REJECT.missing_field
    out.setKindSide(index, KIND.book, side)
    out.setAction(index, action)
    let reason = this.#decimal(F.price, text, PRICE_DECIMALS, words, p0, !isClear)
    if (reason !== OK) return reason
    reason = this.#decimal(F.size, text, SIZE_DECIMALS, words, p0 + 2, action === ACTION.set)
    if (reason !== OK) return reason
    writeNull(words, p0 + 4)
    writeNull(words, p0 + 6)
    return OK
  }

  #price(text: Uint8Array, out: TickBatch, index: number): number {
    const { words } = out
    const p0 = index * TICK_WORDS + WORD.p0
    const market = this.#word(F.market, MARKETS, text)
    if (market < 0) return REJECT.bad_field
    const minutes = this.#minutes(text)
    if (minutes < 0) return REJECT.bad_field
    out.setMarket(index, market, minutes)
    let reason = this.#decimal(F.price, text, PRICE_DECIMALS, words, p0, true)
    if (reason !== OK) return reason
    reason = this.#decimal(F.energy, text, PRICE_DECIMALS, words, p0 + 2, false)
    if (reason !== OK) return reason
    reason = this.#decimal(F.congestion, text, PRICE_DECIMALS, words, p0 + 4, false)
    if (reason !== OK) return reason
    return this.#decimal(F.loss, text, PRICE_DECIMALS, words, p0 + 6, false)
  }

  #status(text: Uint8Array, out: TickBatch, index: number): number {
    const { words } = out
    const p0 = index * TICK_WORDS + WORD.p0
    const status = this.#word(F.status, STATUSES, text)
    if (status < 0) return REJECT.bad_field
    if (status === STATUS.none) return REJECT.missing_field
    out.setAction(index, status)
    writeNull(words, p0)
    writeNull(words, p0 + 6)
    const reason = this.#integer(F.from, text, words, p0 + 2)
    return reason === OK ? this.#integer(F.to, text, words, p0 + 4) : reason
  }

  #minutes(text: Uint8Array): number {
    if (isNothing(this.#scan.types[F.intervalMinutes] as number)) return 0
    const minutes = readWhole(this.#scan, F.intervalMinutes, text)
    return minutes <= INTERVAL_MINUTES_MAX ? minutes : -1
  }

  /** The number of a word in its list; 0 (none) where it is absent, -1 where it is none of them. */
  #word(slot: number, words: KeyTable, text: Uint8Array): number {
    const type = this.#scan.types[slot] as number
    if (isNothing(type)) return 0
    if (type !== VALUE.string) return -1
    return words.find(text, this.#scan.starts[slot] as number, this.#scan.ends[slot] as number)
  }

  /** A decimal in a JSON string or number; null where it may be absent and is. */
  #decimal(
    slot: number,
    text: Uint8Array,
    decimals: number,
    words: Int32Array,
    index: number,
    isRequired: boolean,
  ): number {
    const type = this.#scan.types[slot] as number
    if (type === VALUE.string || type === VALUE.number) {
      const start = this.#scan.starts[slot] as number
      const end = this.#scan.ends[slot] as number
      return decimalReason(parseDecimal(text, start, end, decimals, words, index))
    }
    if (isRequired || !isNothing(type)) return wrongType(type)
    writeNull(words, index)
    return OK
  }

  /** A whole number in a JSON string or number, or null. */
  #integer(slot: number, text: Uint8Array, words: Int32Array, index: number): number {
    const type = this.#scan.types[slot] as number
    if (isNothing(type)) {
      writeNull(words, index)
      return OK
    }
    if (type !== VALUE.string && type !== VALUE.number) return REJECT.bad_field
    const start = this.#scan.starts[slot] as number
    const parsed = parseInteger(text, start, this.#scan.ends[slot] as number, words, index)
    if (parsed === PARSE_OK) return OK
    const reason = decimalReason(parsed)
    return reason === REJECT.bad_decimal ? REJECT.bad_field : reason
  }
}

function isNothing(type: number): boolean {
  return type === VALUE.absent || type === VALUE.null
}
