// hot path
// Keeping a source's order books whole: which depth updates and snapshots apply; what is missing.
//
// Every update says which ids it covers; `previous` is the id that it follows (spot: U - 1; USD-M
// futures: pu). With `last` the id of the newest update recorded for the instrument:
//
//   u ≤ last              stale: wholly behind what is recorded
//   previous ≤ last       applies (the first update of an instrument always does)
//   previous > last       gap: ids last + 1 … previous never came
//   stale too long        reset: the venue has begun its ids anew
//
// A book is synced once a snapshot was recorded. Updates of an unsynced book are recorded all the
// same, and the newest of them are kept: a snapshot that comes late (the usual case: it is fetched
// after the stream is opened) is then followed by the kept levels that it does not include, and
// the image is complete. Snapshot S, `floor` the id that the oldest kept update follows:
//
//   synced, S < last      unused: nobody needs it
//   S < floor             too old: updates between it and the kept ones are not at hand
//   else                  applies; kept updates with u > S belong to the image
//
// Invariants: `last` never falls but by a reset; kept updates are an unbroken chain floor … last;
// memory is bounded by KEPT_TICKS_MAX a book. Ids are doubles: venues' are below 2^53, and
// others are refused before they come here.

import { TickBatch } from '../tick/batch.ts'
import { readNumber } from '../tick/fixed-point.ts'
import { TICK_BYTES, TICK_WORDS, WORD } from '../tick/layout.ts'

export const VERDICT = Object.freeze({ apply: 0, stale: 1, gap: 2, reset: 3 })
export const IMAGE = Object.freeze({ apply: 0, unused: 1, tooOld: 2 })

/** Level records kept of an unsynced book: a second or two of a busy one. */
const KEPT_TICKS_MAX = 2048
const KEPT_TICKS_MIN = 64
/** So many stale updates in a row are no delay: the venue has begun its ids anew. */
const STALE_RUN_MAX = 256

export class Book {
  readonly instrument: number
  /** Id of the newest recorded update or snapshot; -1 = none yet. */
  last = -1
  synced = false
  floor = -1
  staleRun = 0
  kept: TickBatch | undefined

  constructor(instrument: number) {
    this.instrument = instrument
  }
}

export class DepthSync {
  readonly #books = new Map<number, Book>()
  #recent = new Book(0)

  /** The book of an instrument, begun at its first use; bounded by the instrument table. */
  book(instrument: number): Book {
    if (this.#recent.instrument === instrument) return this.#recent
    let book = this.#books.get(instrument)
    if (book === undefined) {
      book = new Book(instrument)
      this.#books.set(instrument, book)
    }
    this.#recent = book
    return book
  }

  /** The next snapshot counts, whether or not the book has a gap. False = there is no book. */
  desync(instrument: number): boolean {
    const book = this.#books.get(instrument)
    if (book === undefined || book.last < 0) return false
    if (book.synced) {
      book.synced = false
      book.floor = book.last
    }
    return true
  }

  /** Instruments that have a book. */
  get count(): number {
    return this.#books.size
  }

  /** What an update that follows `previous` and ends with `last` is to the book. No change. */
  judge(book: Book, previous: number, last: number): number {
    if (book.last < 0) return VERDICT.apply
    if (last <= book.last) return book.staleRun < STALE_RUN_MAX ? VERDICT.stale : VERDICT.reset
    return previous <= book.last ? VERDICT.apply : VERDICT.gap
  }

  stale(book: Book): void {
    book.staleRun++
  }

  /** An update that is not stale was written as ticks [from, from + count) of `out`. */
  applied(
    book: Book,
    verdict: number,
    previous: number,
    last: number,
    out: TickBatch,
    from: number,
    count: number,
  ): void {
    if (verdict !== VERDICT.apply || book.last < 0) {
      book.synced = false
      book.floor = previous
      if (book.kept !== undefined) book.kept.count = 0
    }
    book.last = last
    book.staleRun = 0
    if (!book.synced) keep(book, out, from, count)
  }

  /** What a snapshot of id `id` is to the book. No change. */
  judgeImage(book: Book, id: number): number {
    if (book.last < 0) return IMAGE.apply
    if (book.synced) return id < book.last ? IMAGE.unused : IMAGE.apply
    return id < book.floor ? IMAGE.tooOld : IMAGE.apply
  }

  /** Index in `book.kept` of the first kept level that snapshot `id` does not include. */
  keptFrom(book: Book, id: number): number {
    const { kept } = book
    if (kept === undefined) return 0
    let index = 0
    while (index < kept.count && updateId(kept, index) <= id) index++
    return index
  }

  /** A snapshot judged `apply` was written, with the kept levels behind it. */
  imaged(book: Book, id: number): void {
    book.last = Math.max(book.last, id)
    book.synced = true
    book.staleRun = 0
    book.kept = undefined
  }
}

/** Copies the levels of an update, giving up the oldest updates when there is no room. */
function keep(book: Book, out: TickBatch, from: number, count: number): void {
  if (count > KEPT_TICKS_MAX) {
    if (book.kept !== undefined) book.kept.count = 0
    book.floor = book.last
    return
  }
  let kept = book.kept
  if (kept === undefined || kept.count + count > kept.capacity) kept = makeRoom(book, count)
  const bytes = out.bytes.subarray(from * TICK_BYTES, (from + count) * TICK_BYTES)
  kept.bytes.set(bytes, kept.count * TICK_BYTES)
  kept.count += count
}

/** A kept batch with room for `count` more: a larger one, or the same without its oldest half. */
function makeRoom(book: Book, count: number): TickBatch {
  const kept = book.kept
  const needed = (kept?.count ?? 0) + count
  if (needed <= KEPT_TICKS_MAX) {
    let capacity = KEPT_TICKS_MIN
    while (capacity < needed) capacity *= 2
    const grown = new TickBatch(capacity)
    if (kept !== undefined) {
      grown.bytes.set(kept.bytes.subarray(0, kept.count * TICK_BYTES))
      grown.count = kept.count
    }
    book.kept = grown
    return grown
  }
  const full = kept as TickBatch
  // Whole updates only: the cut is moved to the end of the update in which it falls.
  let cut = Math.max(full.count - KEPT_TICKS_MAX + count, full.count >> 1)
  const cutId = updateId(full, cut - 1)
  while (cut < full.count && updateId(full, cut) === cutId) cut++
  full.bytes.copyWithin(0, cut * TICK_BYTES, full.count * TICK_BYTES)
  full.count -= cut
  book.floor = cutId
  return full.capacity >= full.count + count ? full : makeRoom(book, count)
}

function updateId(batch: TickBatch, index: number): number {
  return readNumber(batch.words, index * TICK_WORDS + WORD.p2)
}
