// hot path
// The quick way of normalised trades and quotes: nearly all lines of a push, in a single pass.
//
// Reads a flat object straight into the record. Members may come in any order; a sender keeps its
// order, so each is first looked for where it was in the line before. Anything that is not in its
// plain form (see byte-cursor.ts), not expected, there twice, or missing makes it give up, and the
// full decoder reads the line. What it takes it reads as the full decoder would (a property test
// compares them).

import type { TickBatch } from '../tick/batch.ts'
import { writeNull } from '../tick/fixed-point.ts'
import { KIND, PRICE_DECIMALS, SIDE, SIZE_DECIMALS, TICK_WORDS, WORD } from '../tick/layout.ts'
import { parseTime, TIME_SEC_MAX } from '../tick/time.ts'
import { ByteCursor } from './byte-cursor.ts'
import { F, FIELDS, KIND_OF_FIRST_TYPE, SIDES, TYPES } from './ndjson-names.ts'

const QUOTE = 0x22
const POINT = 0x2e
const ZERO = 0x30
const LETTER_Z = 0x5a
const OPEN_OBJECT = 0x7b
const CLOSE_OBJECT = 0x7d
const MEMBERS_MAX = 16
const encoder = new TextEncoder()

/** By slot of FIELDS: the member's name as it stands in a line, `"name":`. */
const KEY_TEXTS = FIELDS.names.map((name) => encoder.encode(`"${name}":`))
/** The flags that a record has unless its sender says otherwise. */
const LAST_FLAGS = encoder.encode('["last"]')

const bit = (slot: number): number => 1 << slot
const COMMON = bit(F.type) | bit(F.venue) | bit(F.symbol) | bit(F.tsEvent)
const OPTIONAL = bit(F.flags) | bit(F.tsRecv)
const TRADE = COMMON | bit(F.price) | bit(F.size)
const TRADE_OPTIONAL = OPTIONAL | bit(F.id) | bit(F.side)
const QUOTE_MEMBERS = COMMON | bit(F.bidPrice) | bit(F.bidSize) | bit(F.askPrice) | bit(F.askSize)

/** 'YYYY-MM-DDTHH:MM:SS'. */
const SECOND_BYTES = 19
const POW10: readonly number[] = [1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9]

export class NdjsonQuick {
  readonly #cursor = new ByteCursor()
  /** By place in the line: the slot of the member that was there last. */
  readonly #order = new Uint8Array(MEMBERS_MAX)
  /** The second that was read last, as text and as number. */
  readonly #secondText = new Uint8Array(SECOND_BYTES)
  #second = 0
  readonly time = { sec: 0, nsec: 0 }
  /** KIND. */
  kind = 0
  side = 0
  /** The names are text[start, end). */
  venueStart = 0
  venueEnd = 0
  symbolStart = 0
  symbolEnd = 0

  /**
   * Reads the object at `start` into tick out.count, which has room. Returns the offset behind it,
   * or 0 where it is not a plain trade or quote.
   */
  read(bytes: Uint8Array, start: number, end: number, out: TickBatch): number {
    const cursor = this.#cursor
    cursor.begin(bytes, start, end)
    if (!cursor.take(OPEN_OBJECT)) return 0
    const p0 = out.count * TICK_WORDS + WORD.p0
    let seen = 0
    let place = 0
    this.side = SIDE.none
    do {
      if (place === MEMBERS_MAX) return 0
      const slot = this.#key(cursor, place++)
      if (slot < 0 || (seen & bit(slot)) !== 0) return 0
      if (!this.#value(cursor, slot, out.words, p0)) return 0
      seen |= bit(slot)
    } while (cursor.comma())
    if (!cursor.take(CLOSE_OBJECT) || cursor.at > end) return 0
    if (this.kind === KIND.trade) {
      if ((seen & TRADE) !== TRADE || (seen & ~(TRADE | TRADE_OPTIONAL)) !== 0) return 0
      if ((seen & bit(F.id)) === 0) writeNull(out.words, p0 + 4)
      writeNull(out.words, p0 + 6)
      return cursor.at
    }
    const isQuote = this.kind === KIND.quote && (seen & QUOTE_MEMBERS) === QUOTE_MEMBERS
    return isQuote && (seen & ~(QUOTE_MEMBERS | OPTIONAL)) === 0 ? cursor.at : 0
  }

  /** The slot of the member's name; -1 where it is none that is expected. */
  #key(cursor: ByteCursor, place: number): number {
    const expected = this.#order[place] as number
    if (cursor.text(KEY_TEXTS[expected] as Uint8Array)) return expected
    const start = cursor.at + 1
    if (!cursor.quoted()) return -1
    const slot = FIELDS.find(cursor.bytes, start, cursor.at - 1)
    cursor.at = start - 1
    if (slot < 0 || !cursor.text(KEY_TEXTS[slot] as Uint8Array)) return -1
    this.#order[place] = slot
    return slot
  }

  #value(cursor: ByteCursor, slot: number, words: Int32Array, p0: number): boolean {
    const start = cursor.at + 1
    switch (slot) {
      case F.type:
        if (!cursor.quoted()) return false
        this.kind = TYPES.find(cursor.bytes, start, cursor.at - 1) + KIND_OF_FIRST_TYPE
        return true
      case F.venue:
        this.venueStart = start
        if (!cursor.quoted()) return false
        this.venueEnd = cursor.at - 1
        return true
      case F.symbol:
        this.symbolStart = start
        if (!cursor.quoted()) return false
        this.symbolEnd = cursor.at - 1
        return true
      case F.tsEvent:
        return this.#time(cursor)
      case F.side:
        if (!cursor.quoted()) return false
        this.side = SIDES.find(cursor.bytes, start, cursor.at - 1)
        return this.side >= 0
      case F.id:
        return cursor.integer(words, p0 + 4)
      case F.price:
      case F.bidPrice:
        return cursor.decimal(PRICE_DECIMALS, words, p0)
      case F.size:
      case F.bidSize:
        return cursor.decimal(SIZE_DECIMALS, words, p0 + 2)
      case F.askPrice:
        return cursor.decimal(PRICE_DECIMALS, words, p0 + 4)
      case F.askSize:
        return cursor.decimal(SIZE_DECIMALS, words, p0 + 6)
      case F.flags:
        return cursor.text(LAST_FLAGS)
      case F.tsRecv:
        // Ours to give: only a replay's counts, and its flags are more than LAST.
        return cursor.quoted()
      default:
        return false
    }
  }

  /** The event time. Its second is mostly that of the line before. */
  #time(cursor: ByteCursor): boolean {
    const { bytes } = cursor
    const start = cursor.at + 1
    if (!cursor.take(QUOTE)) return false
    if (!cursor.text(this.#secondText)) return this.#newSecond(cursor, start)
    let next = cursor.at
    let nsec = 0
    if (bytes[next] === POINT) {
      const first = ++next
      let digit = (bytes[next] as number) - ZERO
      while (digit >= 0 && digit <= 9) {
        nsec = nsec * 10 + digit
        digit = (bytes[++next] as number) - ZERO
      }
      const places = next - first
      if (places === 0 || places > 9) return false
      nsec *= POW10[9 - places] as number
    }
    if (bytes[next] !== LETTER_Z || bytes[next + 1] !== QUOTE) return false
    this.time.sec = this.#second
    this.time.nsec = nsec
    cursor.at = next + 2
    return true
  }

  #newSecond(cursor: ByteCursor, start: number): boolean {
    const { bytes } = cursor
    cursor.at = start - 1
    if (!cursor.quoted() || !parseTime(bytes, start, cursor.at - 1, this.time)) return false
    // In the last second of all not every nanosecond is a time.
    if (this.time.sec === TIME_SEC_MAX) return true
    for (let i = 0; i < SECOND_BYTES; i++) this.#secondText[i] = bytes[start + i] as number
    this.#second = this.time.sec
    return true
  }
}
