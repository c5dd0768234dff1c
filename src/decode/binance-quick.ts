// hot path
// The quick way of Binance frames: trades and quotes whose members come in the venues' order.
//
// The twin of native/binance_quick.h. Reads payloads without white space and in their plain form,
// bare and combined, words at a time:
//
//   {"e":"trade",…}   {"e":"aggTrade",…}                  see binance-quick-trade.ts
//   {"u":n,…}         {"e":"bookTicker","u":n,…}          see binance-quick-quote.ts
//   {"stream":"…","data":one of these}
//
// Anything else, and a symbol that the cache does not have, makes it give up, and binance-flat.ts
// reads the frame. What it takes it reads as the full decoder would (a property test compares
// them). Each function returns the offset behind what it has read, or 0 where it gives up.
//
// It looks for no end on its way: whether all was within the frame shows behind the last brace.
// Invariant: it looks at no more than LOOK_BYTES bytes from the frame's first on.

import type { FrameMeta } from '../ring/frame-ring.ts'
import type { TickBatch } from '../tick/batch.ts'
import { KIND, TICK_WORDS } from '../tick/layout.ts'
import { QuickQuote } from './binance-quick-quote.ts'
import { QuickTrade } from './binance-quick-trade.ts'
import { eightBytes, fourBytes } from './digit-words.ts'
import type { SymbolCache } from './symbol-cache.ts'

const LOOK_BYTES = 1024
const STREAM_BYTES_MAX = 64
const QUOTE = 0x22
const CLOSE_OBJECT = 0x7d
const BACKSLASH = 0x5c
const SPACE = 0x20

const STREAM_0 = eightBytes('{"stream')
const STREAM_7 = fourBytes('m":"')
const DATA_0 = eightBytes('","data"')
const DATA_5 = fourBytes('ta":')
/** Of a trade and of an aggregate alike; quotes begin otherwise, or go on with `b`. */
const EVENT_2 = fourBytes('e":"')
const LETTER_B = 0x62
/** Where that stands in `{"e":"bookTicker"`. */
const EVENT_AT = 6

export class BinanceQuick {
  #bytes: Uint8Array = new Uint8Array(0)
  #view: DataView = new DataView(new ArrayBuffer(0))
  readonly #trades: QuickTrade
  readonly #quotes: QuickQuote

  constructor(symbols: SymbolCache) {
    this.#trades = new QuickTrade(symbols)
    this.#quotes = new QuickQuote(symbols)
  }

  /**
   * Makes the trade or quote bytes[start, end) tick out.count, which has room. Returns its KIND, or
   * -1 where it gave up.
   */
  read(bytes: Uint8Array, start: number, end: number, meta: FrameMeta, out: TickBatch): number {
    if (bytes !== this.#bytes) {
      this.#bytes = bytes
      this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
    }
    if (start + LOOK_BYTES > bytes.length) return -1
    const view = this.#view
    const isCombined = view.getFloat64(start, true) === STREAM_0
    const begin = isCombined ? skipStream(view, start) : start
    const isEvent = view.getInt32(begin + 2, true) === EVENT_2
    const isQuote = !isEvent || view.getUint8(begin + EVENT_AT) === LETTER_B
    const tick = out.count * TICK_WORDS
    let at = isQuote
      ? this.#quotes.payload(view, begin, out.words, tick, meta, isEvent)
      : this.#trades.payload(view, begin, out.words, tick, meta)
    if (isCombined && at !== 0) at = view.getUint8(at) === CLOSE_OBJECT ? at + 1 : 0
    if (at !== end) return -1
    return isQuote ? KIND.quote : KIND.trade
  }
}

/** At the payload of a combined frame; somewhere else where there is none. */
function skipStream(view: DataView, begin: number): number {
  if (view.getInt32(begin + 7, true) !== STREAM_7) return begin
  const last = begin + STREAM_BYTES_MAX
  for (let at = begin + 11; at < last; at++) {
    const byte = view.getUint8(at)
    if (byte === QUOTE) {
      const isData = view.getFloat64(at, true) === DATA_0
      return isData && view.getInt32(at + 5, true) === DATA_5 ? at + 9 : begin
    }
    if (byte < SPACE || byte === BACKSLASH) return begin
  }
  return begin
}
