// hot path
// Payloads of Binance quotes by the quick way: see binance-quick.ts.
//
//   {"u":n,"s":"…","b":"d","B":"d","a":"d","A":"d"}
//   {"e":"bookTicker","u":n,["E":n,"T":n,]"s":"…","b":"d","B":"d","a":"d","A":"d"[,"T":n,"E":n]}
//
// Spot streams send no time; those of USD-M futures send both, before the symbol by their
// documents, and behind the levels as others have seen them.

import type { FrameMeta } from '../ring/frame-ring.ts'
import { ACTION, FLAG, KIND, PRICE_DECIMALS, SIDE, SIZE_DECIMALS, WORD } from '../tick/layout.ts'
import { eightBytes, fourBytes } from './digit-words.ts'
import { QuickEpoch } from './quick-epoch.ts'
import { plainDecimal, skipWhole } from './quick-numbers.ts'
import type { SymbolCache } from './symbol-cache.ts'
import { frameFlags, writeHeadWords } from './tick-writer.ts'

const PRICE_UNIT = 10 ** PRICE_DECIMALS
const SIZE_UNIT = 10 ** SIZE_DECIMALS
const COMMA = 0x2c
const CLOSE_OBJECT = 0x7d

const SPOT_0 = fourBytes('{"u"')
const EVENT_0 = eightBytes('{"e":"bo')
const EVENT_8 = eightBytes('okTicker')
const EVENT_16 = fourBytes('","u')
const U_COLON = fourBytes('"u":')
const S_COLON = fourBytes('"s":')
const COMMA_E = fourBytes(',"E"')
const E_COLON = fourBytes('"E":')
const COMMA_T = fourBytes(',"T"')
const T_COLON = fourBytes('"T":')
const COMMA_BID = fourBytes(',"b"')
const BID_QUOTE = fourBytes('b":"')
const COMMA_BID_SIZE = fourBytes(',"B"')
const BID_SIZE_QUOTE = fourBytes('B":"')
const COMMA_ASK = fourBytes(',"a"')
const ASK_QUOTE = fourBytes('a":"')
const COMMA_ASK_SIZE = fourBytes(',"A"')
const ASK_SIZE_QUOTE = fourBytes('A":"')

export class QuickQuote {
  readonly #epoch = new QuickEpoch()
  readonly #symbols: SymbolCache

  constructor(symbols: SymbolCache) {
    this.#symbols = symbols
  }

  /** Behind the payload at `begin`, whose quote is at words[tick] then; `isEvent`: it says so. */
  payload(
    view: DataView,
    begin: number,
    words: Int32Array,
    tick: number,
    meta: FrameMeta,
    isEvent: boolean,
  ): number {
    let at = isEvent ? behindEvent(view, begin) : behindSpot(view, begin)
    if (at === 0) return 0
    const isEarly = view.getInt32(at, true) === COMMA_E
    if (isEarly) {
      at = isEvent ? skipEventTime(view, at) : 0
      if (at !== 0) at = this.#time(view, at)
      if (at === 0) return 0
    }
    if (view.getUint8(at) !== COMMA) return 0
    if (view.getInt32(at + 1, true) !== S_COLON) return 0
    const instrument = this.#symbols.find(view, at + 5)
    if (instrument === 0) return 0
    at = levels(view, at + 5 + this.#symbols.size, words, tick + WORD.p0)
    if (at === 0) return 0
    if (isEvent && !isEarly) {
      at = this.#time(view, at)
      if (at !== 0) at = skipEventTime(view, at)
    }
    if (at === 0 || view.getUint8(at) !== CLOSE_OBJECT) return 0
    const flags = FLAG.LAST | frameFlags(meta)
    writeHeadWords(words, tick, KIND.quote, SIDE.none, instrument, flags, ACTION.none, meta)
    if (isEvent) {
      this.#epoch.write(words, tick + WORD.ts_event)
    } else {
      words[tick + WORD.ts_event] = words[tick + WORD.ts_recv] as number
      words[tick + WORD.ts_event + 1] = words[tick + WORD.ts_recv + 1] as number
    }
    return at + 1
  }

  /** `,"T":n`, and a comma behind it. */
  #time(view: DataView, at: number): number {
    if (view.getInt32(at, true) !== COMMA_T || view.getInt32(at + 1, true) !== T_COLON) return 0
    return this.#epoch.read(view, at + 5)
  }
}

function behindSpot(view: DataView, at: number): number {
  if (view.getInt32(at, true) !== SPOT_0 || view.getInt32(at + 1, true) !== U_COLON) return 0
  return skipWhole(view, at + 5)
}

function behindEvent(view: DataView, at: number): number {
  if (view.getFloat64(at, true) !== EVENT_0 || view.getFloat64(at + 8, true) !== EVENT_8) return 0
  if (view.getInt32(at + 16, true) !== EVENT_16) return 0
  return view.getInt32(at + 18, true) === U_COLON ? skipWhole(view, at + 22) : 0
}

/** `,"E":n`, of which nothing is kept. */
function skipEventTime(view: DataView, at: number): number {
  if (view.getInt32(at, true) !== COMMA_E || view.getInt32(at + 1, true) !== E_COLON) return 0
  return skipWhole(view, at + 5)
}

/** The bid and the ask, from their first comma on. */
function levels(view: DataView, begin: number, words: Int32Array, p0: number): number {
  let at = begin
  if (view.getInt32(at, true) !== COMMA_BID || view.getInt32(at + 2, true) !== BID_QUOTE) return 0
  at = plainDecimal(view, at + 6, PRICE_UNIT, words, p0)
  if (at === 0) return 0
  if (view.getInt32(at, true) !== COMMA_BID_SIZE) return 0
  if (view.getInt32(at + 2, true) !== BID_SIZE_QUOTE) return 0
  at = plainDecimal(view, at + 6, SIZE_UNIT, words, p0 + 2)
  if (at === 0) return 0
  if (view.getInt32(at, true) !== COMMA_ASK || view.getInt32(at + 2, true) !== ASK_QUOTE) return 0
  at = plainDecimal(view, at + 6, PRICE_UNIT, words, p0 + 4)
  if (at === 0) return 0
  if (view.getInt32(at, true) !== COMMA_ASK_SIZE) return 0
  if (view.getInt32(at + 2, true) !== ASK_SIZE_QUOTE) return 0
  return plainDecimal(view, at + 6, SIZE_UNIT, words, p0 + 6)
}
