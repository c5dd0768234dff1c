// hot path
// Payloads of Binance trades by the quick way: see binance-quick.ts.
//
// Those of spot, Binance.US and USD-M futures:
//
//   {"e":"trade","E":n,["T":n,]"s":"…","t":n,"p":"d","q":"d",["b":n,"a":n,]["X":"MARKET",]
//                                                              ["T":n,]"m":b[,"M":b]}
//   {"e":"aggTrade","E":n,["a":n,]"s":"…",["a":n,]"p":"d","q":"d","f":n,"l":n,"T":n,"m":b[,"M":b]}

import type { FrameMeta } from '../ring/frame-ring.ts'
import { writeNull } from '../tick/fixed-point.ts'
import { ACTION, FLAG, KIND, PRICE_DECIMALS, SIDE, SIZE_DECIMALS, WORD } from '../tick/layout.ts'
import { eightBytes, fourBytes } from './digit-words.ts'
import { QuickEpoch } from './quick-epoch.ts'
import { plainDecimal, plainWhole, skipWhole } from './quick-numbers.ts'
import type { SymbolCache } from './symbol-cache.ts'
import { frameFlags, writeHeadWords } from './tick-writer.ts'

const PRICE_UNIT = 10 ** PRICE_DECIMALS
const SIZE_UNIT = 10 ** SIZE_DECIMALS
const QUOTE = 0x22
const COMMA = 0x2c
const CLOSE_OBJECT = 0x7d

const TRADE_0 = eightBytes('{"e":"tr')
const TRADE_8 = eightBytes('ade","E"')
const AGGREGATE_0 = eightBytes('{"e":"ag')
const AGGREGATE_8 = eightBytes('gTrade",')
const E_COLON = fourBytes('"E":')
const S_COLON = fourBytes('"s":')
const COMMA_T_ID = fourBytes(',"t"')
const T_ID_COLON = fourBytes('"t":')
const COMMA_A = fourBytes(',"a"')
const A_COLON = fourBytes('"a":')
const COMMA_P = fourBytes(',"p"')
const P_QUOTE = fourBytes('p":"')
const COMMA_Q = fourBytes(',"q"')
const Q_QUOTE = fourBytes('q":"')
const COMMA_F = fourBytes(',"f"')
const F_COLON = fourBytes('"f":')
const COMMA_L = fourBytes(',"l"')
const L_COLON = fourBytes('"l":')
const COMMA_B = fourBytes(',"b"')
const B_COLON = fourBytes('"b":')
const COMMA_X = fourBytes(',"X"')
const X_4 = eightBytes(':"MARKET')
const COMMA_T = fourBytes(',"T"')
const T_COLON = fourBytes('"T":')
const M_COLON = fourBytes('"m":')
const COMMA_BEST = fourBytes(',"M"')
const TRU = fourBytes(':tru')
const FAL = fourBytes(':fal')
const TRUE = fourBytes('true')
const ALSE = fourBytes('alse')
/** Bit 1 of the second byte is that in which 'f' is not 't'. */
const IS_FALSE_SHIFT = 9
/** Of a member that is true, from its comma on. */
const TRUE_BYTES = 9

export class QuickTrade {
  readonly #epoch = new QuickEpoch()
  readonly #symbols: SymbolCache

  constructor(symbols: SymbolCache) {
    this.#symbols = symbols
  }

  /** Behind the payload at `begin`, whose trade is at words[tick] then. */
  payload(view: DataView, begin: number, words: Int32Array, tick: number, meta: FrameMeta): number {
    const isTrade = view.getFloat64(begin, true) === TRADE_0
    let at = isTrade ? behindTrade(view, begin) : behindAggregate(view, begin)
    if (at === 0) return 0
    const epoch = this.#epoch
    at = epoch.read(view, at)
    if (at === 0) return 0
    // Behind a time there is a comma.
    let isEarly = false
    if (view.getInt32(at + 1, true) !== S_COLON) {
      // Futures have one more before the symbol: the aggregate's id, the trade's time.
      isEarly = true
      at = isTrade ? this.#time(view, at) : aggregateId(view, at, words, tick)
      if (at === 0 || view.getUint8(at) !== COMMA) return 0
      if (view.getInt32(at + 1, true) !== S_COLON) return 0
    }
    const instrument = this.#symbols.find(view, at + 5)
    if (instrument === 0) return 0
    at += 5 + this.#symbols.size
    if (isTrade) at = tradeId(view, at, words, tick)
    else if (!isEarly) at = aggregateId(view, at, words, tick)
    if (at === 0) return 0
    at = prices(view, at, words, tick + WORD.p0)
    if (at === 0) return 0
    if (!isTrade) at = skipRange(view, at)
    else if (view.getInt32(at, true) !== COMMA_T) at = skipRest(view, at)
    if (at === 0) return 0
    if (!(isTrade && isEarly)) {
      at = this.#time(view, at)
      if (at === 0) return 0
    }
    if (view.getUint8(at) !== COMMA || view.getInt32(at + 1, true) !== M_COLON) return 0
    const best = flag(view, at)
    if (best === 0) return 0
    const last = view.getInt32(best, true) === COMMA_BEST ? flag(view, best) : best
    if (last === 0 || view.getUint8(last) !== CLOSE_OBJECT) return 0
    epoch.write(words, tick + WORD.ts_event)
    writeNull(words, tick + WORD.p3)
    // `true` is the shorter word.
    const side = SIDE.sell + at + TRUE_BYTES - best
    const flags = FLAG.LAST | frameFlags(meta)
    writeHeadWords(words, tick, KIND.trade, side, instrument, flags, ACTION.none, meta)
    return last + 1
  }

  /** `,"T":n`. */
  #time(view: DataView, at: number): number {
    if (view.getInt32(at, true) !== COMMA_T || view.getInt32(at + 1, true) !== T_COLON) return 0
    return this.#epoch.read(view, at + 5)
  }
}

/** At the time of a trade's event; its first eight bytes are compared. */
function behindTrade(view: DataView, at: number): number {
  if (view.getFloat64(at + 8, true) !== TRADE_8) return 0
  return view.getInt32(at + 13, true) === E_COLON ? at + 17 : 0
}

/** At the time of an aggregate's event. */
function behindAggregate(view: DataView, at: number): number {
  if (view.getFloat64(at, true) !== AGGREGATE_0) return 0
  if (view.getFloat64(at + 8, true) !== AGGREGATE_8) return 0
  return view.getInt32(at + 16, true) === E_COLON ? at + 20 : 0
}

/** `,"t":n`. */
function tradeId(view: DataView, at: number, words: Int32Array, tick: number): number {
  if (view.getInt32(at, true) !== COMMA_T_ID) return 0
  if (view.getInt32(at + 1, true) !== T_ID_COLON) return 0
  return plainWhole(view, at + 5, words, tick + WORD.p2)
}

/** `,"a":n`. */
function aggregateId(view: DataView, at: number, words: Int32Array, tick: number): number {
  if (view.getInt32(at, true) !== COMMA_A || view.getInt32(at + 1, true) !== A_COLON) return 0
  return plainWhole(view, at + 5, words, tick + WORD.p2)
}

/** `,"p":"d","q":"d"`. */
function prices(view: DataView, begin: number, words: Int32Array, p0: number): number {
  if (view.getInt32(begin, true) !== COMMA_P || view.getInt32(begin + 2, true) !== P_QUOTE) return 0
  const at = plainDecimal(view, begin + 6, PRICE_UNIT, words, p0)
  if (at === 0) return 0
  if (view.getInt32(at, true) !== COMMA_Q || view.getInt32(at + 2, true) !== Q_QUOTE) return 0
  return plainDecimal(view, at + 6, SIZE_UNIT, words, p0 + 2)
}

/** The first and the last of the trades that an aggregate is of. */
function skipRange(view: DataView, begin: number): number {
  const at = skipMember(view, begin, COMMA_F, F_COLON)
  return at === 0 ? 0 : skipMember(view, at, COMMA_L, L_COLON)
}

/** Of Binance.US: the buyer's and the seller's order; of futures: what made the trade. */
function skipRest(view: DataView, begin: number): number {
  const first = view.getInt32(begin, true)
  if (first === COMMA_B) {
    const at = skipMember(view, begin, COMMA_B, B_COLON)
    return at === 0 ? 0 : skipMember(view, at, COMMA_A, A_COLON)
  }
  if (first !== COMMA_X) return begin
  if (view.getFloat64(begin + 4, true) !== X_4) return 0
  return view.getUint8(begin + 12) === QUOTE ? begin + 13 : 0
}

/** A member of a whole number that says nothing of a trade. */
function skipMember(view: DataView, at: number, comma: number, colon: number): number {
  if (view.getInt32(at, true) !== comma || view.getInt32(at + 1, true) !== colon) return 0
  return skipWhole(view, at + 5)
}

/**
 * The member at `at`, whose name of one letter is read: `true` or `false`. Which comes at random,
 * so there is no branch on it.
 */
function flag(view: DataView, at: number): number {
  const first = view.getInt32(at + 4, true)
  const isFalse = (first >> IS_FALSE_SHIFT) & 1
  const last = view.getInt32(at + 5 + isFalse, true)
  const different =
    (first ^ TRU ^ (-isFalse & (TRU ^ FAL))) | (last ^ TRUE ^ (-isFalse & (TRUE ^ ALSE)))
  return different === 0 ? at + TRUE_BYTES + isFalse : 0
}
