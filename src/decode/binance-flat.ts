// hot path
// Binance trades and quotes that the quick way leaves (binance-quick.ts): another order of members,
// other forms of numbers, times in microseconds, symbols that are new.
//
// In a single pass, it reads a flat object of one-letter members in any order, straight into the
// record. Anything that is not in its plain form (see byte-cursor.ts), not expected, there twice,
// or missing makes it give up, and the full decoder reads the frame. What it takes it reads as the
// full decoder would (a property test compares them).

import type { TickBatch } from '../tick/batch.ts'
import { writeInteger } from '../tick/fixed-point.ts'
import { KIND, PRICE_DECIMALS, SIZE_DECIMALS, TICK_WORDS, WORD } from '../tick/layout.ts'
import { E, EVENTS } from './binance-names.ts'
import { ByteCursor } from './byte-cursor.ts'
import type { SymbolCache } from './symbol-cache.ts'

const QUOTE = 0x22
const CLOSE_OBJECT = 0x7d
const OPEN_OBJECT = 0x7b
const TRADE_TEXT = new TextEncoder().encode('"trade"')
const COMBINED_HEAD = new TextEncoder().encode('{"stream":')
const COMBINED_DATA = new TextEncoder().encode(',"data":')

/** Members seen, a bit each. A trade's `a` and `b` are ids; a quote's are prices. */
const SEEN = Object.freeze({
  e: 1 << 0,
  E: 1 << 1,
  T: 1 << 2,
  s: 1 << 3,
  t: 1 << 4,
  p: 1 << 5,
  q: 1 << 6,
  m: 1 << 7,
  u: 1 << 8,
  b: 1 << 9,
  B: 1 << 10,
  a: 1 << 11,
  A: 1 << 12,
  M: 1 << 13,
  X: 1 << 14,
  f: 1 << 15,
  l: 1 << 16,
  aIsPrice: 1 << 17,
  bIsPrice: 1 << 18,
})
const TRADE = SEEN.e | SEEN.T | SEEN.s | SEEN.p | SEEN.q | SEEN.m
const QUOTE_PRICES = SEEN.b | SEEN.B | SEEN.a | SEEN.A | SEEN.aIsPrice | SEEN.bIsPrice
const SPOT_QUOTE = SEEN.s | QUOTE_PRICES
/** Of no kind: it gave up. */
const NONE = -1

export class BinanceFlat {
  readonly #cursor = new ByteCursor()
  #seen = 0
  /** EVENTS slot. */
  #event = -1
  #id = 0
  #aggregateId = 0
  #eventTime = -1
  #time = -1
  readonly #symbols: SymbolCache
  /** Instrument of the frame; 0 = the symbol, bytes[symbolStart, symbolEnd), is not resolved. */
  instrument = 0
  symbolStart = 0
  symbolEnd = 0
  /** trade: the buyer was resting. */
  buyerIsMaker = false

  constructor(symbols: SymbolCache) {
    this.#symbols = symbols
  }

  /** When it happened, epoch ms or µs; -1 = it does not say. */
  get time(): number {
    return this.#time >= 0 ? this.#time : this.#eventTime
  }

  /** The symbol of the frame in hand is this instrument's. */
  remember(instrument: number): void {
    const start = this.symbolStart - 1
    this.#symbols.remember(this.#cursor.view, start, this.symbolEnd + 1 - start, instrument)
  }

  /**
   * Reads the frame bytes[start, end); its payload into tick out.count, which has room. Returns its
   * KIND, or -1 where it gave up.
   */
  read(bytes: Uint8Array, start: number, end: number, out: TickBatch): number {
    const cursor = this.#cursor
    cursor.begin(bytes, start, end)
    const isCombined = bytes[start + 2] === 0x73 && bytes[start + 3] === 0x74
    if (isCombined) {
      if (!cursor.text(COMBINED_HEAD) || !cursor.quoted()) return NONE
      if (!cursor.text(COMBINED_DATA)) return NONE
    }
    const p0 = out.count * TICK_WORDS + WORD.p0
    if (!cursor.take(OPEN_OBJECT) || !this.#members(cursor, out.words, p0)) return NONE
    if (isCombined && !cursor.take(CLOSE_OBJECT)) return NONE
    if (cursor.at !== end) return NONE
    return this.#finish(out.words, p0)
  }

  #members(cursor: ByteCursor, words: Int32Array, p0: number): boolean {
    let seen = 0
    do {
      const bits = this.#member(cursor, words, p0)
      if (bits === 0 || (seen & bits) !== 0) return false
      seen |= bits
    } while (cursor.comma())
    this.#seen = seen
    return cursor.take(CLOSE_OBJECT)
  }

  /** Reads one member; its bits, or 0 where it is not plain or not expected. */
  #member(cursor: ByteCursor, words: Int32Array, p0: number): number {
    const key = cursor.letterKey()
    switch (key) {
      case 0x65: {
        if (cursor.text(TRADE_TEXT)) {
          this.#event = E.trade
          return SEEN.e
        }
        const start = cursor.at + 1
        if (!cursor.quoted()) return 0
        this.#event = EVENTS.find(cursor.bytes, start, cursor.at - 1)
        return SEEN.e
      }
      case 0x45:
        this.#eventTime = cursor.whole()
        return this.#eventTime < 0 ? 0 : SEEN.E
      case 0x54:
        this.#time = cursor.whole()
        return this.#time < 0 ? 0 : SEEN.T
      case 0x73:
        this.instrument = this.#symbols.find(cursor.view, cursor.at)
        if (this.instrument > 0) {
          cursor.at += this.#symbols.size
          return SEEN.s
        }
        this.symbolStart = cursor.at + 1
        if (!cursor.quoted()) return 0
        this.symbolEnd = cursor.at - 1
        return SEEN.s
      case 0x74:
        this.#id = cursor.whole()
        return this.#id < 0 ? 0 : SEEN.t
      case 0x70:
        return cursor.quotedDecimal(PRICE_DECIMALS, words, p0) ? SEEN.p : 0
      case 0x71:
        return cursor.quotedDecimal(SIZE_DECIMALS, words, p0 + 2) ? SEEN.q : 0
      case 0x6d: {
        const maker = cursor.boolean()
        this.buyerIsMaker = maker === 1
        return maker < 0 ? 0 : SEEN.m
      }
      case 0x4d:
        return cursor.boolean() < 0 ? 0 : SEEN.M
      default:
        return this.#otherMember(key, cursor, words, p0)
    }
  }

  /** The members of quotes, and those of trades that are passed over; -1 is no key at all. */
  #otherMember(key: number, cursor: ByteCursor, words: Int32Array, p0: number): number {
    switch (key) {
      case 0x62:
        if (cursor.bytes[cursor.at] !== QUOTE) return cursor.whole() < 0 ? 0 : SEEN.b
        return cursor.quotedDecimal(PRICE_DECIMALS, words, p0) ? SEEN.b | SEEN.bIsPrice : 0
      case 0x42:
        return cursor.quotedDecimal(SIZE_DECIMALS, words, p0 + 2) ? SEEN.B : 0
      case 0x61:
        if (cursor.bytes[cursor.at] === QUOTE) {
          const isPrice = cursor.quotedDecimal(PRICE_DECIMALS, words, p0 + 4)
          return isPrice ? SEEN.a | SEEN.aIsPrice : 0
        }
        this.#aggregateId = cursor.whole()
        return this.#aggregateId < 0 ? 0 : SEEN.a
      case 0x41:
        return cursor.quotedDecimal(SIZE_DECIMALS, words, p0 + 6) ? SEEN.A : 0
      case 0x75:
        return cursor.whole() < 0 ? 0 : SEEN.u
      case 0x66:
        return cursor.whole() < 0 ? 0 : SEEN.f
      case 0x6c:
        return cursor.whole() < 0 ? 0 : SEEN.l
      case 0x58:
        return cursor.quoted() ? SEEN.X : 0
      default:
        return 0
    }
  }

  /** What the members make; a trade's id goes into its place. */
  #finish(words: Int32Array, p0: number): number {
    const seen = this.#seen
    if ((seen & SEEN.E) === 0) this.#eventTime = -1
    if ((seen & SEEN.T) === 0) this.#time = -1
    if ((seen & SEEN.e) === 0) return seen === (SPOT_QUOTE | SEEN.u) ? KIND.quote : NONE
    if ((seen & TRADE) === TRADE && (seen & (SEEN.aIsPrice | SEEN.bIsPrice)) === 0) {
      // A price or size of a quote would have overwritten the trade's.
      if ((seen & (SEEN.B | SEEN.A)) !== 0) return NONE
      const isAggregate = this.#event === E.aggTrade
      if (!isAggregate && this.#event !== E.trade) return NONE
      if ((seen & (isAggregate ? SEEN.a : SEEN.t)) === 0) return NONE
      writeInteger(words, p0 + 4, isAggregate ? this.#aggregateId : this.#id)
      return KIND.trade
    }
    if (this.#event !== E.bookTicker || (seen & SPOT_QUOTE) !== SPOT_QUOTE) return NONE
    return (seen & (SEEN.p | SEEN.q)) === 0 ? KIND.quote : NONE
  }
}
