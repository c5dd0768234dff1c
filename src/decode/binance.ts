// hot path
// Binance JSON frames -> records: spot (binance.com, Binance.US) and USD-M futures.
//
// A frame is one message: a payload (raw stream), or {"stream":…,"data":payload} (combined).
//
//   trade, aggTrade   one trade record; id = t or a; aggressor = m ? sell : buy; time T, else E;
//                     before it the record of a leap over ids, see trade-chain.ts
//   bookTicker        one quote record; spot sends no time: ts_event = ts_recv
//   depthUpdate       a book record a level, bids first; see binance-depth.ts
//   REST snapshot     {"lastUpdateId":…}: an image of the book; arrives as the payload of
//                     "<symbol>@depthSnapshot", or bare where a source has one book only
//   kline             counted as a bar, ignored: tickd builds its own
//   replies, errors, serverShutdown: ignored as control; other known events: unsupported_stream
//
// Prices and quantities are JSON strings, ids and times JSON integers, m a boolean; anything else
// is a bad_field. Members may come in any order, unknown ones are checked for well-formedness only.

import type { FrameMeta } from '../ring/frame-ring.ts'
import type { TickBatch } from '../tick/batch.ts'
import { writeNull } from '../tick/fixed-point.ts'
import type { InstrumentTable } from '../tick/instruments.ts'
import {
  FLAG,
  KIND,
  PRICE_DECIMALS,
  SIDE,
  SIZE_DECIMALS,
  TICK_WORDS,
  WORD,
} from '../tick/layout.ts'
import { splitEpoch } from '../tick/time.ts'
import { BinanceDepth } from './binance-depth.ts'
import { BinanceFlat } from './binance-flat.ts'
import { E, EVENTS, M, MEMBERS, S, SUFFIXES } from './binance-names.ts'
import { BinanceQuick } from './binance-quick.ts'
import { type Decoder, type DecodeTally, EVENT } from './decoder.ts'
import { readDecimal, readEpoch, readI64, wrongType } from './fields.ts'
import { InstrumentResolver } from './instrument-resolver.ts'
import { BAD, NestedWalker, skipScalar, skipSpace } from './json-scan.ts'
import { Unescaper } from './json-unescape.ts'
import { ObjectScan, VALUE } from './object-scan.ts'
import { IGNORE, OK, REJECT } from './reason-index.ts'
import { SymbolCache } from './symbol-cache.ts'
import { frameFlags, writeHead } from './tick-writer.ts'
import { TradeChain } from './trade-chain.ts'

const AT_SIGN = 0x40
const EXCLAMATION = 0x21
const OPEN_ARRAY = 0x5b
const OPEN_OBJECT = 0x7b

export interface BinanceOptions {
  venue: string
  instruments: InstrumentTable
  /** How depth updates chain: spot by U, USD-M futures by pu. */
  market: 'spot' | 'usdm'
}

export class BinanceDecoder implements Decoder {
  readonly #venue: Uint8Array
  readonly #resolver: InstrumentResolver
  readonly #depth: BinanceDepth
  readonly #chain: TradeChain
  readonly #payload = new ObjectScan(MEMBERS)
  readonly #outer = new ObjectScan(MEMBERS, M.data, this.#payload)
  readonly #walker = new NestedWalker()
  readonly #unescaper = new Unescaper()
  readonly #symbols = new SymbolCache()
  readonly #quick = new BinanceQuick(this.#symbols)
  readonly #flat = new BinanceFlat(this.#symbols)
  readonly #time = { sec: 0, nsec: 0 }
  // The message in hand: its text (the frame, or the frame rewritten without escapes), and where
  // it lies in the frame.
  #text: Uint8Array
  #start = 0
  #end = 0

  /** `depth`, `chain`: books and trade ids of the source, where somebody else keeps them too. */
  constructor(
    { venue, instruments, market }: BinanceOptions,
    depth = new BinanceDepth(market),
    chain = new TradeChain(),
  ) {
    this.#venue = new TextEncoder().encode(venue)
    this.#text = this.#venue
    this.#resolver = new InstrumentResolver(instruments)
    this.#depth = depth
    this.#chain = chain
  }

  decode(
    bytes: Uint8Array,
    start: number,
    end: number,
    meta: FrameMeta,
    out: TickBatch,
    tally: DecodeTally,
  ): void {
    this.#start = start
    this.#end = end
    if (out.count < out.capacity) {
      const kind = this.#quick.read(bytes, start, end, meta, out)
      if (kind >= 0) {
        this.#accept(kind, start, end, out, tally)
        return
      }
      if (this.#decodeFlat(bytes, meta, out, tally)) return
    }
    const reason = this.#decode(bytes, start, end, meta, out, tally)
    if (reason !== OK) tally.reject(reason, bytes, start, end)
  }

  resync(instrument: number): boolean {
    return this.#depth.resync(instrument)
  }

  /** True = the frame was a trade or quote, and is accounted for. */
  #decodeFlat(bytes: Uint8Array, meta: FrameMeta, out: TickBatch, tally: DecodeTally): boolean {
    const flat = this.#flat
    const kind = flat.read(bytes, this.#start, this.#end, out)
    if (kind < 0) return false
    if (flat.time < 0) {
      this.#time.sec = meta.recvSec
      this.#time.nsec = meta.recvNsec
    } else if (!splitEpoch(flat.time, this.#time)) return false
    let { instrument } = flat
    if (instrument === 0) {
      instrument = this.#resolve(bytes, flat.symbolStart, flat.symbolEnd)
      if (instrument < 0) return false
      flat.remember(instrument)
    }
    let side: number = SIDE.none
    if (kind === KIND.trade) {
      side = flat.buyerIsMaker ? SIDE.sell : SIDE.buy
      writeNull(out.words, out.count * TICK_WORDS + WORD.p3)
    }
    this.#finish(out, kind, side, instrument, meta, tally)
    return true
  }

  /** OK = the message is accounted for; otherwise the reason to reject it. */
  #decode(
    bytes: Uint8Array,
    start: number,
    end: number,
    meta: FrameMeta,
    out: TickBatch,
    tally: DecodeTally,
  ): number {
    this.#text = bytes
    const brace = skipSpace(bytes, start, end)
    if (brace >= end || bytes[brace] !== OPEN_OBJECT) return this.#notAnObject(bytes, brace, end)
    const next = this.#outer.scan(bytes, brace, end)
    if (next === BAD || skipSpace(bytes, next, end) !== end) return REJECT.bad_json
    if (this.#outer.escaped) {
      const size = this.#unescaper.rewrite(bytes, brace, next)
      this.#text = this.#unescaper.bytes
      this.#outer.scan(this.#text, 0, size)
    }
    const outer = this.#outer.types
    if (outer[M.stream] !== VALUE.string) return this.#event(this.#outer, meta, out, tally)
    if (outer[M.data] === VALUE.object) return this.#event(this.#payload, meta, out, tally)
    return this.#streamWithoutObject(tally)
  }

  #event(scan: ObjectScan, meta: FrameMeta, out: TickBatch, tally: DecodeTally): number {
    const type = scan.types[M.event] as number
    if (type !== VALUE.string) {
      if (type === VALUE.absent) return this.#eventless(scan, meta, out, tally)
      return wrongType(type)
    }
    const start = scan.starts[M.event] as number
    switch (EVENTS.find(this.#text, start, scan.ends[M.event] as number)) {
      case E.trade:
        return this.#trade(scan, M.tradeId, meta, out, tally)
      case E.aggTrade:
        return this.#trade(scan, M.aggregateId, meta, out, tally)
      case E.bookTicker:
        return this.#quote(scan, meta, out, tally)
      case E.depthUpdate: {
        const instrument = this.#instrument(scan)
        if (instrument < 0) return -1 - instrument
        return this.#depth.update(
          scan,
          this.#text,
          instrument,
          meta,
          out,
          tally,
          this.#start,
          this.#end,
        )
      }
      case E.kline:
        tally.events[EVENT.bar] = (tally.events[EVENT.bar] as number) + 1
        tally.ignore(IGNORE.bar)
        return OK
      case E.serverShutdown:
        tally.ignore(IGNORE.control)
        return OK
      case -1:
        return REJECT.unknown_event
      default:
        tally.ignore(IGNORE.unsupported_stream)
        return OK
    }
  }

  /** A payload without an event type: told by its stream's name, or by the members it has. */
  #eventless(scan: ObjectScan, meta: FrameMeta, out: TickBatch, tally: DecodeTally): number {
    const { types } = scan
    const suffix = scan === this.#outer ? -1 : this.#suffix()
    if (types[M.snapshotId] !== VALUE.absent) {
      if (suffix >= 0 && suffix !== S.depthSnapshot) {
        tally.ignore(IGNORE.unsupported_stream)
        return OK
      }
      const instrument = suffix >= 0 ? this.#streamInstrument() : this.#depth.onlyInstrument
      if (instrument < 0) return -1 - instrument
      return this.#depth.image(
        scan,
        this.#text,
        instrument,
        meta,
        out,
        tally,
        this.#start,
        this.#end,
      )
    }
    const isReply = types[M.result] !== VALUE.absent || types[M.error] !== VALUE.absent
    if (isReply || (types[M.code] === VALUE.number && types[M.msg] === VALUE.string)) {
      tally.ignore(IGNORE.control)
      return OK
    }
    const isQuote = types[M.bidQuantity] === VALUE.string && types[M.askQuantity] === VALUE.string
    if (suffix === S.bookTicker || isQuote) return this.#quote(scan, meta, out, tally)
    return scan === this.#outer || suffix >= 0 ? REJECT.missing_field : REJECT.unknown_event
  }

  #trade(
    scan: ObjectScan,
    idSlot: number,
    meta: FrameMeta,
    out: TickBatch,
    tally: DecodeTally,
  ): number {
    const index = out.count
    if (index === out.capacity) return REJECT.too_many_records
    const instrument = this.#instrument(scan)
    if (instrument < 0) return -1 - instrument
    const maker = scan.types[M.buyerIsMaker] as number
    if (maker !== VALUE.true && maker !== VALUE.false) return wrongType(maker)
    const { words } = out
    const p0 = index * TICK_WORDS + WORD.p0
    const text = this.#text
    const timeSlot = scan.types[M.time] === VALUE.absent ? M.eventTime : M.time
    let reason = readEpoch(scan, timeSlot, text, this.#time)
    if (reason !== OK) return reason
    reason = readDecimal(scan, M.price, text, PRICE_DECIMALS, words, p0)
    if (reason !== OK) return reason
    reason = readDecimal(scan, M.quantity, text, SIZE_DECIMALS, words, p0 + 2)
    if (reason !== OK) return reason
    reason = readI64(scan, idSlot, text, words, p0 + 4)
    if (reason !== OK) return reason
    writeNull(words, p0 + 6)
    const side = maker === VALUE.true ? SIDE.sell : SIDE.buy
    this.#finish(out, KIND.trade, side, instrument, meta, tally)
    return OK
  }

  #quote(scan: ObjectScan, meta: FrameMeta, out: TickBatch, tally: DecodeTally): number {
    const index = out.count
    if (index === out.capacity) return REJECT.too_many_records
    const instrument = this.#instrument(scan)
    if (instrument < 0) return -1 - instrument
    const { words } = out
    const p0 = index * TICK_WORDS + WORD.p0
    const text = this.#text
    let reason = this.#quoteTime(scan, meta)
    if (reason !== OK) return reason
    reason = readDecimal(scan, M.bid, text, PRICE_DECIMALS, words, p0)
    if (reason !== OK) return reason
    reason = readDecimal(scan, M.bidQuantity, text, SIZE_DECIMALS, words, p0 + 2)
    if (reason !== OK) return reason
    reason = readDecimal(scan, M.ask, text, PRICE_DECIMALS, words, p0 + 4)
    if (reason !== OK) return reason
    reason = readDecimal(scan, M.askQuantity, text, SIZE_DECIMALS, words, p0 + 6)
    if (reason !== OK) return reason
    this.#finish(out, KIND.quote, SIDE.none, instrument, meta, tally)
    return OK
  }

  /** Futures quotes have a time; spot quotes have none, and get the time of receipt. */
  #quoteTime(scan: ObjectScan, meta: FrameMeta): number {
    const { types } = scan
    if (types[M.time] === VALUE.absent && types[M.eventTime] === VALUE.absent) {
      this.#time.sec = meta.recvSec
      this.#time.nsec = meta.recvNsec
      return OK
    }
    const timeSlot = types[M.time] === VALUE.absent ? M.eventTime : M.time
    return readEpoch(scan, timeSlot, this.#text, this.#time)
  }

  /** The one record whose payload is written: its head, and what counts it. */
  #finish(
    out: TickBatch,
    kind: number,
    side: number,
    instrument: number,
    meta: FrameMeta,
    tally: DecodeTally,
  ): void {
    const index = out.count
    const flags = FLAG.LAST | frameFlags(meta)
    writeHead(out, index, kind, side, instrument, flags, this.#time.sec, this.#time.nsec, meta)
    this.#accept(kind, this.#start, this.#end, out, tally)
  }

  /** Record out.count, a trade or quote of the message bytes[start, end), counts. */
  #accept(kind: number, start: number, end: number, out: TickBatch, tally: DecodeTally): void {
    const index = out.count
    tally.origins[2 * index] = start
    tally.origins[2 * index + 1] = end
    out.count = index + 1
    if (kind === KIND.trade) {
      tally.accept(EVENT.trade, 1)
      this.#chain.follow(out, tally)
    } else {
      tally.accept(EVENT.quote, 1)
    }
  }

  /** The instrument of member `s`; -1 - reason where there is none. */
  #instrument(scan: ObjectScan): number {
    const type = scan.types[M.symbol] as number
    if (type !== VALUE.string) return -1 - wrongType(type)
    const start = scan.starts[M.symbol] as number
    return this.#resolve(this.#text, start, scan.ends[M.symbol] as number)
  }

  #resolve(symbol: Uint8Array, start: number, end: number): number {
    const venue = this.#venue
    const id = this.#resolver.resolve(venue, 0, venue.length, symbol, start, end)
    if (id > 0) return id
    return -1 - (id === 0 ? REJECT.bad_symbol : REJECT.instrument_limit)
  }

  /** SUFFIXES slot of the stream's name: what follows the '@', up to a second one. */
  #suffix(): number {
    const end = this.#outer.ends[M.stream] as number
    const at = this.#streamAt()
    let suffixEnd = at + 1
    while (suffixEnd < end && this.#text[suffixEnd] !== AT_SIGN) suffixEnd++
    return at === end ? -1 : SUFFIXES.find(this.#text, at + 1, suffixEnd)
  }

  /** Offset of the first '@' in the stream's name; its end where there is none. */
  #streamAt(): number {
    const end = this.#outer.ends[M.stream] as number
    let at = this.#outer.starts[M.stream] as number
    while (at < end && this.#text[at] !== AT_SIGN) at++
    return at
  }

  /** Stream names have the symbol in lower case. Once a snapshot. */
  #streamInstrument(): number {
    const symbol = this.#text.slice(this.#outer.starts[M.stream], this.#streamAt())
    for (let i = 0; i < symbol.length; i++) {
      const byte = symbol[i] as number
      if (byte >= 0x61 && byte <= 0x7a) symbol[i] = byte - 0x20
    }
    return this.#resolve(symbol, 0, symbol.length)
  }

  /** A combined frame whose data is no object: the all-market streams send arrays. */
  #streamWithoutObject(tally: DecodeTally): number {
    const type = this.#outer.types[M.data] as number
    const start = this.#outer.starts[M.stream] as number
    if (type !== VALUE.array) return wrongType(type)
    if (this.#text[start] !== EXCLAMATION) return REJECT.bad_field
    tally.ignore(IGNORE.unsupported_stream)
    return OK
  }

  #notAnObject(bytes: Uint8Array, at: number, end: number): number {
    if (at >= end) return REJECT.bad_json
    const isArray = bytes[at] === OPEN_ARRAY
    const next = isArray ? this.#walker.skip(bytes, at, end) : skipScalar(bytes, at, end)
    if (next === BAD) return REJECT.bad_json
    return skipSpace(bytes, Math.abs(next), end) === end ? REJECT.not_an_object : REJECT.bad_json
  }
}
