// hot path
// The quickest way of Binance trades: those whose members come in the order of the venues.
//
// The twin of native/binance_quick.h. Reads `trade` and `aggTrade` payloads, bare and combined, of
// spot, Binance.US and USD-M futures, without white space and in their plain form, words at a time:
//
//   {"e":"trade","E":n,["T":n,]"s":"…","t":n,"p":"d","q":"d",["b":n,"a":n,]["X":"MARKET",]
//                                                              ["T":n,]"m":b[,"M":b]}
//   {"e":"aggTrade","E":n,["a":n,]"s":"…",["a":n,]"p":"d","q":"d","f":n,"l":n,"T":n,"m":b[,"M":b]}
//
// Anything else, and a symbol that the cache does not have, makes it give up, and binance-quick.ts
// reads the frame. What it takes it reads as the full decoder would (a property test compares
// them). Each function returns the offset behind what it has read, or 0 where it gives up.
//
// It looks for no end on its way: whether all was within the frame shows behind the last brace.
// Invariant: it looks at no more than LOOK_BYTES bytes from the frame's first on.

import type { FrameMeta } from '../ring/frame-ring.ts'
import type { TickBatch } from '../tick/batch.ts'
import { writeNull, writeWhole } from '../tick/fixed-point.ts'
import {
  ACTION,
  FLAG,
  KIND,
  PRICE_DECIMALS,
  SIDE,
  SIZE_DECIMALS,
  TICK_WORDS,
  WORD,
} from '../tick/layout.ts'
import { QuickEpoch } from './quick-epoch.ts'
import { plainDecimal, plainWhole, skipWhole } from './quick-numbers.ts'
import type { SymbolCache } from './symbol-cache.ts'
import { frameFlags, writeHeadWords } from './tick-writer.ts'

const LOOK_BYTES = 1024
const STREAM_BYTES_MAX = 64
const QUOTE = 0x22
const CLOSE_OBJECT = 0x7d
const BACKSLASH = 0x5c
const SPACE = 0x20

/** Four bytes of text as the word that a view reads there. */
const word = (text: string): number => Buffer.from(text, 'latin1').readInt32LE(0)
const STREAM_0 = word('{"st')
const STREAM_4 = word('ream')
const STREAM_7 = word('m":"')
const DATA_0 = word('","d')
const DATA_4 = word('ata"')
const DATA_5 = word('ta":')
const EVENT_0 = word('{"e"')
const TRADE_4 = word(':"tr')
const TRADE_8 = word('ade"')
const AGGREGATE_4 = word(':"ag')
const AGGREGATE_8 = word('gTra')
const AGGREGATE_12 = word('de",')
const COMMA_E = word(',"E"')
const E_COLON = word('"E":')
const COMMA_S = word(',"s"')
const S_QUOTE = word('s":"')
const COMMA_P = word(',"p"')
const P_QUOTE = word('p":"')
const COMMA_Q = word(',"q"')
const Q_QUOTE = word('q":"')
const T_ID = word(',"t"')
const A_ID = word(',"a"')
const COMMA_F = word(',"f"')
const COMMA_L = word(',"l"')
const COMMA_B = word(',"b"')
const COMMA_X = word(',"X"')
const X_4 = word(':"MA')
const X_8 = word('RKET')
const COMMA_T = word(',"T"')
const COMMA_M = word(',"m"')
const COMMA_BEST = word(',"M"')
const TRUE = word('true')
const FALS = word('fals')
const LETTER_E = 0x65
const COLON = 0x3a

export class QuickTrade {
  #bytes: Uint8Array = new Uint8Array(0)
  #view: DataView = new DataView(new ArrayBuffer(0))
  readonly #epoch = new QuickEpoch()
  readonly #symbols: SymbolCache

  constructor(symbols: SymbolCache) {
    this.#symbols = symbols
  }

  /** Makes the trade bytes[start, end) tick out.count, which has room. False = it gave up. */
  read(bytes: Uint8Array, start: number, end: number, meta: FrameMeta, out: TickBatch): boolean {
    if (bytes !== this.#bytes) {
      this.#bytes = bytes
      this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
    }
    if (start + LOOK_BYTES > bytes.length) return false
    const view = this.#view
    let at = start
    const isCombined = view.getInt32(at, true) === STREAM_0
    if (isCombined) at = skipStream(bytes, view, at)
    if (view.getInt32(at, true) !== EVENT_0) return false
    at = this.#payload(view, bytes, at, out.words, out.count * TICK_WORDS, meta)
    if (at === 0) return false
    if (isCombined && bytes[at++] !== CLOSE_OBJECT) return false
    return at === end
  }

  /** The payload at `at`, of which the first member's name is read. */
  #payload(
    view: DataView,
    bytes: Uint8Array,
    begin: number,
    words: Int32Array,
    tick: number,
    meta: FrameMeta,
  ): number {
    const epoch = this.#epoch
    const isAggregate = view.getInt32(begin + 4, true) !== TRADE_4
    let at = isAggregate ? behindAggregate(view, begin) : behindTrade(view, begin)
    if (at === 0) return 0
    at = epoch.read(view, at)
    if (at === 0) return 0
    const idKey = isAggregate ? A_ID : T_ID
    let isEarly = false
    if (view.getInt32(at, true) !== COMMA_S) {
      // Futures have one more before the symbol: the aggregate's id, the trade's time.
      isEarly = true
      at = isAggregate ? id(view, at, idKey, words, tick) : epoch.readMember(view, at, COMMA_T)
      if (at === 0 || view.getInt32(at, true) !== COMMA_S) return 0
    }
    if (view.getInt32(at + 2, true) !== S_QUOTE) return 0
    const instrument = this.#symbols.find(view, at + 5)
    if (instrument === 0) return 0
    at += 5 + this.#symbols.size
    if (!(isAggregate && isEarly)) at = id(view, at, idKey, words, tick)
    if (at === 0) return 0
    at = prices(view, bytes, at, words, tick + WORD.p0)
    if (at === 0) return 0
    at = isAggregate ? skipRange(view, at) : skipRest(view, at)
    if (at !== 0 && (isAggregate || !isEarly)) at = epoch.readMember(view, at, COMMA_T)
    if (at === 0 || view.getInt32(at, true) !== COMMA_M) return 0
    const maker = view.getInt32(at + 5, true)
    at = flag(view, at)
    if (at !== 0 && view.getInt32(at, true) === COMMA_BEST) at = flag(view, at)
    if (at === 0 || bytes[at] !== CLOSE_OBJECT) return 0
    epoch.write(words, tick + WORD.ts_event)
    writeNull(words, tick + WORD.p3)
    const side = maker === TRUE ? SIDE.sell : SIDE.buy
    const flags = FLAG.LAST | frameFlags(meta)
    writeHeadWords(words, tick, KIND.trade, side, instrument, flags, ACTION.none, meta)
    return at + 1
  }
}

/** At the payload of a combined frame; at its begin where there is none. */
function skipStream(bytes: Uint8Array, view: DataView, begin: number): number {
  if (view.getInt32(begin + 4, true) !== STREAM_4) return begin
  if (view.getInt32(begin + 7, true) !== STREAM_7) return begin
  const last = begin + STREAM_BYTES_MAX
  for (let at = begin + 11; at < last; at++) {
    const byte = bytes[at] as number
    if (byte === QUOTE) {
      const isData = view.getInt32(at, true) === DATA_0 && view.getInt32(at + 4, true) === DATA_4
      return isData && view.getInt32(at + 5, true) === DATA_5 ? at + 9 : begin
    }
    if (byte < SPACE || byte === BACKSLASH) return begin
  }
  return begin
}

/** At the time of a trade's event. */
function behindTrade(view: DataView, at: number): number {
  if (view.getInt32(at + 8, true) !== TRADE_8) return 0
  if (view.getInt32(at + 12, true) !== COMMA_E) return 0
  return view.getInt32(at + 13, true) === E_COLON ? at + 17 : 0
}

/** At the time of an aggregate's event. */
function behindAggregate(view: DataView, at: number): number {
  if (view.getInt32(at + 4, true) !== AGGREGATE_4) return 0
  if (view.getInt32(at + 8, true) !== AGGREGATE_8) return 0
  if (view.getInt32(at + 12, true) !== AGGREGATE_12) return 0
  return view.getInt32(at + 16, true) === E_COLON ? at + 20 : 0
}

/** The member of the trade's id. */
function id(view: DataView, at: number, key: number, words: Int32Array, tick: number): number {
  if (view.getInt32(at, true) !== key || view.getUint8(at + 4) !== COLON) return 0
  return plainWhole(view, at + 5, words, tick + WORD.p2)
}

/** The members of price and quantity. */
function prices(
  view: DataView,
  bytes: Uint8Array,
  begin: number,
  words: Int32Array,
  p0: number,
): number {
  if (view.getInt32(begin, true) !== COMMA_P || view.getInt32(begin + 2, true) !== P_QUOTE) return 0
  const at = plainDecimal(bytes, view, begin + 6, PRICE_DECIMALS, words, p0)
  if (at === 0) return 0
  if (view.getInt32(at, true) !== COMMA_Q || view.getInt32(at + 2, true) !== Q_QUOTE) return 0
  return plainDecimal(bytes, view, at + 6, SIZE_DECIMALS, words, p0 + 2)
}

/** A member of a whole number that says nothing to a trade. */
function skipMember(view: DataView, at: number, key: number): number {
  if (view.getInt32(at, true) !== key || view.getUint8(at + 4) !== COLON) return 0
  return skipWhole(view, at + 5)
}

/** The first and the last of the trades that an aggregate is of. */
function skipRange(view: DataView, begin: number): number {
  const at = skipMember(view, begin, COMMA_F)
  return at === 0 ? 0 : skipMember(view, at, COMMA_L)
}

/** Of Binance.US: the buyer's and the seller's order; of futures: what made the trade. */
function skipRest(view: DataView, begin: number): number {
  let at = begin
  const first = view.getInt32(at, true)
  if (first === COMMA_B) {
    at = skipMember(view, at, COMMA_B)
    return at === 0 ? 0 : skipMember(view, at, A_ID)
  }
  if (first !== COMMA_X) return at
  if (view.getInt32(at + 4, true) !== X_4 || view.getInt32(at + 8, true) !== X_8) return 0
  return view.getUint8(at + 12) === QUOTE ? at + 13 : 0
}

/** The member at `at`, whose name of one letter is read: `true` or `false`. */
function flag(view: DataView, at: number): number {
  if (view.getUint8(at + 4) !== COLON) return 0
  const value = view.getInt32(at + 5, true)
  if (value === TRUE) return at + 9
  return value === FALS && view.getUint8(at + 9) === LETTER_E ? at + 10 : 0
}
