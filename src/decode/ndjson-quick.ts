// hot path
// The quick way of normalised trades, quotes and books: nearly all lines of a push, in one pass.
//
// The twin of native/ndjson_quick.h. Reads a flat object straight into the record. Members may come
// in any order, and others between them; a sender keeps its order, so each is first looked for
// behind the one that it followed last time. Anything that is not in its plain form (white space
// but one behind a colon or comma, escapes, flags but ["last"]), there twice, or missing makes it
// give up, and the full decoder reads the line. What it takes it reads as the full decoder would (a
// property test compares them).
//
// Reading past `end` is harmless (what was read is compared with it in the end) and stays within
// `bytes`: near their end it gives up.

import type { FrameMeta } from '../ring/frame-ring.ts'
import type { TickBatch } from '../tick/batch.ts'
import { isNull, writeNull } from '../tick/fixed-point.ts'
import {
  ACTION,
  FLAG,
  KIND,
  KIND_COUNT,
  PRICE_DECIMALS,
  SIDE,
  SIZE_DECIMALS,
  TICK_WORDS,
  WORD,
} from '../tick/layout.ts'
import { skipScalar, skipSpace, skipString } from './json-scan.ts'
import { F, FIELDS } from './ndjson-names.ts'
import { quickDecimal, quickInteger } from './quick-numbers.ts'
import { QuickTime } from './quick-time.ts'
import { QuotedWord } from './quoted-word.ts'
import { frameFlags, writeHeadWords } from './tick-writer.ts'
import { NO_VENUE, VenueSymbols } from './venue-symbols.ts'

const NEWLINE = 0x0a
const QUOTE = 0x22
const COMMA = 0x2c
const COLON = 0x3a
const SPACE = 0x20
const OPEN_OBJECT = 0x7b
const CLOSE_OBJECT = 0x7d
/** A member is read where so many bytes may be: any key and value that is plain, and more. */
const MEMBER_BYTES = 64

/** By slot of FIELDS: the member's name as it stands in a line, `"name":`. */
const KEYS = FIELDS.names.map((name) => new QuotedWord(`"${name}":`))
/** In place of a slot: a member that no quick record has; no member at all. */
const OTHER = -1
const NONE = -2
/** In place of the slot before the first member. */
const BEGIN = FIELDS.count
const ROW = FIELDS.count + 1

const TRADE_WORD = new QuotedWord('"trade"')
const QUOTE_WORD = new QuotedWord('"quote"')
const BOOK_WORD = new QuotedWord('"book"')
const BUY_WORD = new QuotedWord('"buy"')
const SELL_WORD = new QuotedWord('"sell"')
const SET_WORD = new QuotedWord('"set"')
const DELETE_WORD = new QuotedWord('"delete"')
const NULL_WORD = new QuotedWord('null')
/** The flags that a record has unless its sender says otherwise. */
const LAST_WORD = new QuotedWord('["last"]')

const bit = (slot: number): number => 1 << slot
const COMMON = bit(F.type) | bit(F.venue) | bit(F.symbol) | bit(F.tsEvent)
const ANY = COMMON | bit(F.flags) | bit(F.tsRecv)
const TRADE = ANY | bit(F.price) | bit(F.size) | bit(F.id) | bit(F.side)
const QUOTES = ANY | bit(F.bidPrice) | bit(F.bidSize) | bit(F.askPrice) | bit(F.askSize)
const BOOK = ANY | bit(F.price) | bit(F.size) | bit(F.side) | bit(F.action)
const QUICK = TRADE | QUOTES | BOOK

export class NdjsonQuick {
  #bytes: Uint8Array = new Uint8Array(0)
  #view: DataView = new DataView(new ArrayBuffer(0))
  #end = 0
  /** By kind (0 = not known yet) and slot: the member that came behind it last time. */
  readonly #successors = new Uint8Array(KIND_COUNT * ROW)
  readonly #time = new QuickTime()
  readonly #symbols = new VenueSymbols()
  #kind = 0
  #side = 0
  #action = 0
  #venue = NO_VENUE
  /** 0 = not known to the cache. */
  instrument = 0
  /** The names are text[start, end). */
  venueStart = 0
  venueEnd = 0
  symbolStart = 0
  symbolEnd = 0

  get kind(): number {
    return this.#kind
  }

  /**
   * Reads the object at `start` into the payload of tick out.count, which has room. Returns the
   * offset behind it, or 0 where it is not plain.
   */
  read(bytes: Uint8Array, start: number, end: number, out: TickBatch): number {
    if (bytes !== this.#bytes) {
      this.#bytes = bytes
      this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
    }
    const { words } = out
    const p0 = out.count * TICK_WORDS + WORD.p0
    this.#begin(words, p0)
    this.#end = end
    const view = this.#view
    const successors = this.#successors
    const last = bytes.length - MEMBER_BYTES
    let at = start
    if (at > last || bytes[at] !== OPEN_OBJECT) return 0
    let seen = 0
    let row = 0
    let before = BEGIN
    do {
      at++
      if (at > last) return 0
      if (bytes[at] === SPACE) at++
      let slot = successors[row + before] as number
      if (!(KEYS[slot] as QuotedWord).isAt(view, at)) {
        slot = this.#slot(bytes, at, end)
        if (slot === NONE) return 0
        if (slot === OTHER) {
          at = this.#skipMember(bytes, at, end)
          if (at === 0) return 0
          continue
        }
        successors[row + before] = slot
      }
      at += (KEYS[slot] as QuotedWord).size
      if (bytes[at] === SPACE) at++
      at = this.#value(bytes, view, at, slot, words, p0)
      if (at === 0 || (seen & bit(slot)) !== 0) return 0
      seen |= bit(slot)
      before = slot
      row = this.#kind * ROW
    } while (bytes[at] === COMMA)
    return bytes[at] === CLOSE_OBJECT && at < end && this.#isWhole(seen, words, p0) ? at + 1 : 0
  }

  /** Makes the tick that was read last, of an instrument that is known now, whole. */
  finish(out: TickBatch, index: number, instrument: number, meta: FrameMeta): void {
    if (this.instrument === 0) {
      const start = this.symbolStart - 1
      const size = this.symbolEnd + 1 - start
      this.#symbols.remember(this.#venue, this.#view, start, size, instrument)
    }
    const at = index * TICK_WORDS
    out.words[at + WORD.ts_event] = this.#time.low
    out.words[at + WORD.ts_event + 1] = this.#time.high
    const flags = FLAG.LAST | frameFlags(meta)
    writeHeadWords(out.words, at, this.#kind, this.#side, instrument, flags, this.#action, meta)
  }

  #begin(words: Int32Array, p0: number): void {
    this.#kind = 0
    this.#side = SIDE.none
    this.#action = ACTION.none
    this.#venue = NO_VENUE
    this.instrument = 0
    writeNull(words, p0)
    writeNull(words, p0 + 2)
    writeNull(words, p0 + 4)
    writeNull(words, p0 + 6)
  }

  /** The slot of the key at `at`, which is followed by a colon; OTHER, or NONE. */
  #slot(bytes: Uint8Array, at: number, end: number): number {
    const behind = bytes[at] === QUOTE ? skipString(bytes, at, end) : 0
    if (behind <= 0 || bytes[behind] !== COLON) return NONE
    const slot = FIELDS.find(bytes, at + 1, behind - 1)
    return slot >= 0 && (QUICK & bit(slot)) !== 0 ? slot : OTHER
  }

  /** Behind the member at `at`, whose key has no escape and whose value is a scalar; or 0. */
  #skipMember(bytes: Uint8Array, at: number, end: number): number {
    const colon = skipString(bytes, at, end)
    const value = skipSpace(bytes, colon + 1, end)
    // White space of JSON, but a line's end: what it is part of is two messages.
    for (let next = colon + 1; next < value; next++) if (bytes[next] === NEWLINE) return 0
    return Math.abs(skipScalar(bytes, value, end))
  }

  /** Behind the value at `at`, which is read; or 0. */
  #value(
    bytes: Uint8Array,
    view: DataView,
    at: number,
    slot: number,
    words: Int32Array,
    p0: number,
  ): number {
    switch (slot) {
      case F.type:
        return this.#type(view, at)
      case F.venue:
        return this.#venueName(bytes, view, at)
      case F.symbol:
        return this.#symbol(bytes, view, at)
      case F.tsEvent:
        return this.#time.read(bytes, view, at, this.#end)
      case F.side:
        return this.#sideWord(view, at)
      case F.action:
        return this.#actionWord(view, at)
      case F.id:
        return quickInteger(bytes, view, at, words, p0 + 4) || behindNull(view, at)
      case F.price:
      case F.bidPrice:
        return quickDecimal(bytes, view, at, PRICE_DECIMALS, words, p0) || behindNull(view, at)
      case F.size:
      case F.bidSize:
        return quickDecimal(bytes, view, at, SIZE_DECIMALS, words, p0 + 2) || behindNull(view, at)
      case F.askPrice:
        return quickDecimal(bytes, view, at, PRICE_DECIMALS, words, p0 + 4) || behindNull(view, at)
      case F.askSize:
        return quickDecimal(bytes, view, at, SIZE_DECIMALS, words, p0 + 6) || behindNull(view, at)
      case F.flags:
        return LAST_WORD.isAt(view, at) ? at + LAST_WORD.size : 0
      case F.tsRecv:
        // Ours to give: only a replay's counts, and its flags are more than LAST.
        return bytes[at] === QUOTE ? Math.max(0, skipString(bytes, at, this.#end)) : 0
      default:
        return 0
    }
  }

  #type(view: DataView, at: number): number {
    if (TRADE_WORD.isAt(view, at)) this.#kind = KIND.trade
    else if (QUOTE_WORD.isAt(view, at)) this.#kind = KIND.quote
    else if (BOOK_WORD.isAt(view, at)) this.#kind = KIND.book
    else return 0
    return at + (this.#kind === KIND.book ? BOOK_WORD.size : TRADE_WORD.size)
  }

  #sideWord(view: DataView, at: number): number {
    if (BUY_WORD.isAt(view, at)) {
      this.#side = SIDE.buy
      return at + BUY_WORD.size
    }
    if (!SELL_WORD.isAt(view, at)) return behindNull(view, at)
    this.#side = SIDE.sell
    return at + SELL_WORD.size
  }

  #actionWord(view: DataView, at: number): number {
    if (SET_WORD.isAt(view, at)) {
      this.#action = ACTION.set
      return at + SET_WORD.size
    }
    if (!DELETE_WORD.isAt(view, at)) return 0
    this.#action = ACTION.delete
    return at + DELETE_WORD.size
  }

  #venueName(bytes: Uint8Array, view: DataView, at: number): number {
    this.venueStart = at + 1
    this.#venue = this.#symbols.venue(view, at)
    if (this.#venue !== NO_VENUE) {
      this.venueEnd = at + this.#symbols.size - 1
      return this.venueEnd + 1
    }
    const behind = bytes[at] === QUOTE ? skipString(bytes, at, this.#end) : 0
    if (behind <= 0) return 0
    this.venueEnd = behind - 1
    this.#venue = this.#symbols.keepVenue(view, at, behind - at)
    return behind
  }

  #symbol(bytes: Uint8Array, view: DataView, at: number): number {
    this.symbolStart = at + 1
    this.instrument = this.#symbols.find(this.#venue, view, at)
    if (this.instrument !== 0) {
      this.symbolEnd = at + this.#symbols.size - 1
      return this.symbolEnd + 1
    }
    const behind = bytes[at] === QUOTE ? skipString(bytes, at, this.#end) : 0
    if (behind <= 0) return 0
    this.symbolEnd = behind - 1
    return behind
  }

  /** Is all there that the kind needs, and nothing that would have to be told apart? */
  #isWhole(seen: number, words: Int32Array, p0: number): boolean {
    if ((seen & COMMON) !== COMMON) return false
    const hasFirst = !isNull(words, p0)
    const hasSecond = !isNull(words, p0 + 2)
    switch (this.#kind) {
      case KIND.trade:
        return hasFirst && hasSecond && (seen & ~TRADE) === 0
      case KIND.quote:
        return (hasFirst || !isNull(words, p0 + 4)) && (seen & ~QUOTES) === 0
      default:
        if (!hasFirst || this.#side === SIDE.none || (seen & ~BOOK) !== 0) return false
        return this.#action === ACTION.delete || (this.#action === ACTION.set && hasSecond)
    }
  }
}

function behindNull(view: DataView, at: number): number {
  return NULL_WORD.isAt(view, at) ? at + NULL_WORD.size : 0
}
