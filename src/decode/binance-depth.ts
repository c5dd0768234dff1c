// hot path
// Binance order books -> level records: depth updates and REST snapshots, kept in order.
//
// A depth update becomes one book record a level, bids then asks, action `set` (or `delete` where
// the quantity is 0), p2 = the event's last update id, LAST on the last one. An update without
// levels moves the book on and is ignored as `empty`.
//
// A snapshot becomes an image: a `clear` record (no price, no side: the whole book is void), then
// `set` records of all levels, all with SNAPSHOT. Levels that newer updates had changed before the
// snapshot came follow it (see depth-sync.ts), so that a consumer's book is whole after LAST. It
// is one event. A snapshot that nobody needs is ignored as `unused_snapshot`; one that is too old
// for the updates at hand as well, and a fresh one is asked for (tally.onGap, no gap is counted).
//
// A gap is counted, told (tally.onGap), and recorded: a status record, status `gap`, code `book`,
// p1 … p2 = the ids that never came, before the levels of the update that revealed it. The book
// counts as unsynced until the next snapshot. So does one that is begun by a decoder made anew
// (tally.isResumed): whether an update was missed between the two is not known, and a snapshot is
// asked for.

import type { FrameMeta } from '../ring/frame-ring.ts'
import type { TickBatch } from '../tick/batch.ts'
import { isZero, parseDecimal, writeInteger, writeNull } from '../tick/fixed-point.ts'
import {
  ACTION,
  FLAG,
  KIND,
  OFFSET,
  PRICE_DECIMALS,
  SIDE,
  SIZE_DECIMALS,
  STATUS,
  TICK_BYTES,
  TICK_WORDS,
  WORD,
} from '../tick/layout.ts'
import { M } from './binance-names.ts'
import { type DecodeTally, EVENT } from './decoder.ts'
import { type Book, DepthSync, IMAGE, VERDICT } from './depth-sync.ts'
import { decimalReason, readEpoch, readWhole, reasonOf, wrongType } from './fields.ts'
import { skipSpace } from './json-scan.ts'
import { type ObjectScan, VALUE } from './object-scan.ts'
import { IGNORE, OK, REJECT } from './reason-index.ts'
import { copyHead, frameFlags, writeHead, writeNullPayload } from './tick-writer.ts'

const QUOTE = 0x22
const COMMA = 0x2c
const OPEN = 0x5b
const CLOSE = 0x5d

export class BinanceDepth {
  readonly #sync = new DepthSync()
  readonly #chainsByPrevious: boolean
  readonly #time = { sec: 0, nsec: 0 }
  #instrument = 0
  /** Ticks written of the event in hand, from out.count on; not valid before it is accepted. */
  #count = 0

  constructor(market: 'spot' | 'usdm') {
    this.#chainsByPrevious = market === 'usdm'
  }

  /** The instrument of this source's books if it has one only; else -1 - missing_field. */
  get onlyInstrument(): number {
    return this.#sync.count === 1 ? this.#instrument : -1 - REJECT.missing_field
  }

  /** A depth update. OK = accounted for; otherwise the reason to reject it. */
  update(
    scan: ObjectScan,
    text: Uint8Array,
    instrument: number,
    meta: FrameMeta,
    out: TickBatch,
    tally: DecodeTally,
    start: number,
    end: number,
  ): number {
    const first = readWhole(scan, M.firstId, text)
    if (first < 0) return reasonOf(first)
    const last = readWhole(scan, M.lastId, text)
    if (last < 0) return reasonOf(last)
    const previous = this.#chainsByPrevious ? readWhole(scan, M.previousId, text) : first - 1
    if (previous < 0 && this.#chainsByPrevious) return reasonOf(previous)
    if (first > last || previous >= first) return REJECT.bad_field
    const timeReason = this.#eventTime(scan, text)
    if (timeReason !== OK) return timeReason
    const book = this.#sync.book(instrument)
    const verdict = this.#sync.judge(book, previous, last)
    this.#count = 0
    if (verdict === VERDICT.gap || verdict === VERDICT.reset) {
      this.#writeGap(book, verdict, previous, meta, out)
    }
    const levels = this.#count
    let reason = this.#levels(scan, M.bid, text, SIDE.buy, instrument, 0, last, meta, out)
    if (reason !== OK) return reason
    reason = this.#levels(scan, M.ask, text, SIDE.sell, instrument, 0, last, meta, out)
    if (reason !== OK) return reason
    this.#settle(book, verdict, previous, last, levels, out, tally, start, end)
    return OK
  }

  /**
   * A depth update whose levels somebody else has written, as `update` would: ticks [out.count,
   * out.count + levelCount), without LAST. False, and nothing is done, where a gap has to be
   * recorded before them.
   */
  written(
    instrument: number,
    previous: number,
    last: number,
    levelCount: number,
    out: TickBatch,
    tally: DecodeTally,
    start: number,
    end: number,
  ): boolean {
    const book = this.#sync.book(instrument)
    const verdict = this.#sync.judge(book, previous, last)
    if (verdict === VERDICT.gap || verdict === VERDICT.reset) return false
    this.#count = levelCount
    this.#settle(book, verdict, previous, last, 0, out, tally, start, end)
    return true
  }

  /** Applies the update of which #count ticks are written, the first `levels` no levels. */
  #settle(
    book: Book,
    verdict: number,
    previous: number,
    last: number,
    levels: number,
    out: TickBatch,
    tally: DecodeTally,
    start: number,
    end: number,
  ): void {
    this.#instrument = book.instrument
    if (verdict === VERDICT.stale) {
      this.#sync.stale(book)
      tally.ignore(IGNORE.stale_depth)
      return
    }
    const from = out.count
    if (verdict !== VERDICT.apply) tellGap(tally, book, verdict, previous)
    else if (book.last < 0 && tally.isResumed) tally.onGap?.(book.instrument, last + 1, last)
    this.#sync.applied(book, verdict, previous, last, out, from + levels, this.#count - levels)
    if (this.#count === levels) {
      // No levels; a gap record alone is a status event's.
      if (levels === 0) tally.ignore(IGNORE.empty)
      else this.#accept(EVENT.status, out, tally, start, end)
      return
    }
    if (levels > 0) tally.events[EVENT.status] = (tally.events[EVENT.status] as number) + 1
    out.addFlags(from + this.#count - 1, FLAG.LAST)
    this.#accept(EVENT.book, out, tally, start, end)
  }

  /** The book of the instrument needs a fresh image. False = there is none. */
  resync(instrument: number): boolean {
    return this.#sync.desync(instrument)
  }

  /** A REST snapshot of the instrument. As `update`. */
  image(
    scan: ObjectScan,
    text: Uint8Array,
    instrument: number,
    meta: FrameMeta,
    out: TickBatch,
    tally: DecodeTally,
    start: number,
    end: number,
  ): number {
    const id = readWhole(scan, M.snapshotId, text)
    if (id < 0) return reasonOf(id)
    const { types } = scan
    this.#time.sec = meta.recvSec
    this.#time.nsec = meta.recvNsec
    if (types[M.time] !== VALUE.absent || types[M.eventTime] !== VALUE.absent) {
      const timeReason = this.#eventTime(scan, text)
      if (timeReason !== OK) return timeReason
    }
    const from = out.count
    if (from >= out.capacity) return REJECT.too_many_records
    this.#writeClear(instrument, id, meta, out)
    const flags = FLAG.SNAPSHOT
    let reason = this.#levels(scan, M.bids, text, SIDE.buy, instrument, flags, id, meta, out)
    if (reason !== OK) return reason
    reason = this.#levels(scan, M.asks, text, SIDE.sell, instrument, flags, id, meta, out)
    if (reason !== OK) return reason
    const book = this.#sync.book(instrument)
    const verdict = this.#sync.judgeImage(book, id)
    this.#instrument = instrument
    if (verdict !== IMAGE.apply) {
      // An empty range: no id is missing, but the book needs a fresh snapshot.
      if (verdict === IMAGE.tooOld) tally.onGap?.(instrument, id + 1, id)
      tally.ignore(IGNORE.unused_snapshot)
      return OK
    }
    if (!this.#writeKept(book, id, out)) return REJECT.too_many_records
    this.#sync.imaged(book, id)
    out.addFlags(from + this.#count - 1, FLAG.LAST)
    this.#accept(EVENT.book, out, tally, start, end)
    return OK
  }

  /** Engine time where there is one (futures), else the time of sending. */
  #eventTime(scan: ObjectScan, text: Uint8Array): number {
    const slot = scan.types[M.time] === VALUE.absent ? M.eventTime : M.time
    return readEpoch(scan, slot, text, this.#time)
  }

  #accept(event: number, out: TickBatch, tally: DecodeTally, start: number, end: number): void {
    for (let index = out.count; index < out.count + this.#count; index++) {
      tally.origins[2 * index] = start
      tally.origins[2 * index + 1] = end
    }
    out.count += this.#count
    tally.accept(event, this.#count)
  }

  #writeGap(book: Book, verdict: number, previous: number, meta: FrameMeta, out: TickBatch): void {
    const index = out.count
    if (index >= out.capacity) return
    const { sec, nsec } = this.#time
    const flags = FLAG.LAST | FLAG.SYNTHETIC | frameFlags(meta)
    writeHead(out, index, KIND.status, SIDE.none, book.instrument, flags, sec, nsec, meta)
    out.setAction(index, STATUS.gap)
    const at = index * TICK_WORDS
    writeNullPayload(out, index)
    writeInteger(out.words, at + WORD.p0, KIND.book)
    writeInteger(out.words, at + WORD.p1, gapFrom(book, verdict))
    writeInteger(out.words, at + WORD.p2, previous)
    this.#count = 1
  }

  #writeClear(instrument: number, id: number, meta: FrameMeta, out: TickBatch): void {
    const index = out.count
    const { sec, nsec } = this.#time
    const flags = FLAG.SNAPSHOT | frameFlags(meta)
    writeHead(out, index, KIND.book, SIDE.none, instrument, flags, sec, nsec, meta)
    out.setAction(index, ACTION.clear)
    writeNullPayload(out, index)
    writeInteger(out.words, index * TICK_WORDS + WORD.p2, id)
    this.#count = 1
  }

  /** Adds the kept levels that the snapshot does not include. False = no room. */
  #writeKept(book: Book, id: number, out: TickBatch): boolean {
    const { kept } = book
    if (kept === undefined) return true
    const first = out.count
    for (let index = this.#sync.keptFrom(book, id); index < kept.count; index++) {
      const to = first + this.#count
      if (to >= out.capacity) return false
      const source = kept.bytes.subarray(index * TICK_BYTES, (index + 1) * TICK_BYTES)
      out.bytes.set(source, to * TICK_BYTES)
      // The image has one time and one origin; price, size and update id stay the level's own.
      copyHead(out, first, to)
      out.setKindSide(to, KIND.book, kept.side(index))
      out.setAction(to, kept.action(index))
      this.#count++
    }
    return true
  }

  /** Writes a record a level of `[["price","quantity"],…]`, from out.count + #count on. */
  #levels(
    scan: ObjectScan,
    slot: number,
    text: Uint8Array,
    side: number,
    instrument: number,
    flags: number,
    id: number,
    meta: FrameMeta,
    out: TickBatch,
  ): number {
    const type = scan.types[slot] as number
    if (type !== VALUE.array) return wrongType(type)
    const end = scan.ends[slot] as number
    let at = skipSpace(text, (scan.starts[slot] as number) + 1, end)
    if (text[at] === CLOSE) return OK
    const like = out.count + this.#count
    if (like >= out.capacity) return REJECT.too_many_records
    const all = flags | frameFlags(meta)
    const { sec, nsec } = this.#time
    writeHead(out, like, KIND.book, side, instrument, all, sec, nsec, meta)
    out.setAction(like, ACTION.set)
    const { words, bytes, capacity } = out
    for (let index = like; ; index++) {
      if (index >= capacity) return REJECT.too_many_records
      if (index > like) copyHead(out, like, index)
      const word = index * TICK_WORDS
      const next = readLevel(text, at, end, words, word + WORD.p0)
      if (next < 0) return reasonOf(next)
      writeInteger(words, word + WORD.p2, id)
      writeNull(words, word + WORD.p3)
      const isDelete = isZero(words, word + WORD.p1)
      bytes[index * TICK_BYTES + OFFSET.action] = isDelete ? ACTION.delete : ACTION.set
      this.#count++
      at = skipSpace(text, next, end)
      if (text[at] === CLOSE) return OK
      at = skipSpace(text, at + 1, end)
    }
  }
}

/** Ids from here to `previous` never came; after a reset, of the new numbering. */
function gapFrom(book: Book, verdict: number): number {
  return verdict === VERDICT.reset ? 0 : book.last + 1
}

function tellGap(tally: DecodeTally, book: Book, verdict: number, previous: number): void {
  tally.gaps++
  tally.idsMissing += Math.max(0, previous - gapFrom(book, verdict) + 1)
  tally.onGap?.(book.instrument, gapFrom(book, verdict), previous)
}

/**
 * Reads `["price","quantity"…]` at `at` into words[p0] and words[p0 + 2]; further elements are
 * passed over. The array is well-formed (the scanner has seen it), but may hold anything.
 * Returns the offset behind it, or -1 - reason.
 */
function readLevel(
  text: Uint8Array,
  at: number,
  end: number,
  words: Int32Array,
  p0: number,
): number {
  if (text[at] !== OPEN) return -1 - REJECT.bad_field
  const price = skipSpace(text, at + 1, end)
  if (text[price] !== QUOTE) return -1 - REJECT.bad_field
  const priceEnd = closingQuote(text, price + 1)
  let reason = decimalReason(parseDecimal(text, price + 1, priceEnd, PRICE_DECIMALS, words, p0))
  if (reason !== OK) return -1 - reason
  let next = skipSpace(text, priceEnd + 1, end)
  if (text[next] !== COMMA) return -1 - REJECT.bad_field
  const size = skipSpace(text, next + 1, end)
  if (text[size] !== QUOTE) return -1 - REJECT.bad_field
  const sizeEnd = closingQuote(text, size + 1)
  reason = decimalReason(parseDecimal(text, size + 1, sizeEnd, SIZE_DECIMALS, words, p0 + 2))
  if (reason !== OK) return -1 - reason
  next = skipSpace(text, sizeEnd + 1, end)
  if (text[next] === CLOSE) return next + 1
  // A third element: binance.com sent an empty array there for years.
  return behindLevel(text, next)
}

/** Offset of the quote that closes a string without escaped quotes (or of any earlier one). */
function closingQuote(text: Uint8Array, start: number): number {
  let at = start
  while (text[at] !== QUOTE) at++
  return at
}

/** Behind the bracket that closes the level in which `from` lies. */
function behindLevel(text: Uint8Array, from: number): number {
  let depth = 1
  for (let at = from; ; at++) {
    const byte = text[at] as number
    if (byte === QUOTE) return -1 - REJECT.bad_field
    if (byte === OPEN) depth++
    else if (byte === CLOSE && --depth === 0) return at + 1
  }
}
