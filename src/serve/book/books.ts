// hot path
// The books of all instruments that have book records, kept as the feed reads its rings.
//
// A record that breaks a book stops `apply` right behind it, so that it can be told at its place
// among the records: a hole in the venue's own numbers, or a book that is crossed at the end of an
// event. A book that is not whole asks for a fresh image (`want`), now and then, until it is: only
// that instrument. Venues answer; of a pushed book it is the pusher who sends `clear` and levels.
//
// Bounded: one book an instrument, FEED_BOOK_LEVELS_MAX a side, FEED_BOOKS_BYTES_MAX in all.

import { FEED_BOOK_LEVELS_MAX, FEED_BOOKS_BYTES_MAX } from '../../limits.ts'
import type { TickBatch } from '../../tick/batch.ts'
import { KIND, OFFSET, STATUS, TICK_BYTES, TICK_WORDS, WORD } from '../../tick/layout.ts'
import type { BookBudget } from './book-side.ts'
import { BOOK_STATE, OrderBook } from './order-book.ts'

/** Why a book is not whole. */
export const BOOK_CAUSE = Object.freeze({ none: 0, gap: 1, crossed: 2, incomplete: 3, lost: 4 })

/** A book that is not whole asks again after so long. */
const WANT_EVERY_MS = 5000

export interface BooksOptions {
  /** The book of the instrument needs an image. */
  readonly want: (shard: number, instrument: number) => void
  readonly levelsMax?: number
  readonly bytesMax?: number
}

export class Books {
  /** Whole books whose levels have changed since `clearChanged`. */
  readonly changed: OrderBook[] = []
  /** The book that the last record of `apply` broke. */
  broken: OrderBook | undefined
  /** Books broken so far. */
  breakCount = 0
  readonly #options: BooksOptions
  readonly #budget: BookBudget
  /** By instrument. Grows with the instruments that have one. */
  readonly #books: (OrderBook | undefined)[] = []
  /** How many there are. */
  count = 0
  #nowMs = 0
  #sweptAtMs = 0

  constructor(options: BooksOptions) {
    this.#options = options
    this.#budget = { leftBytes: options.bytesMax ?? FEED_BOOKS_BYTES_MAX }
  }

  /** The time, of the monotonic clock; books that are still not whole ask again. */
  setTime(nowMs: number): void {
    this.#nowMs = nowMs
    if (nowMs - this.#sweptAtMs < WANT_EVERY_MS) return
    this.#sweptAtMs = nowMs
    for (let i = 0; i < this.#books.length; i++) {
      const book = this.#books[i]
      if (book !== undefined && !book.isSound) this.#want(book)
    }
  }

  /** undefined: the instrument has had no book record. */
  get(instrument: number): OrderBook | undefined {
    return this.#books[instrument]
  }

  /** Books that are not whole, and not about to be. */
  get brokenCount(): number {
    return this.#books.reduce((sum, book) => sum + (book?.isSound === false ? 1 : 0), 0)
  }

  /** Applies records of a shard from index `from` on; returns the index behind the last applied. */
  apply(batch: TickBatch, from: number, shard: number): number {
    const { bytes, words, count } = batch
    this.broken = undefined
    for (let i = from; i < count; i++) {
      const kind = bytes[i * TICK_BYTES + OFFSET.kind] as number
      if (kind !== KIND.book && kind !== KIND.status) continue
      const instrument = (words[i * TICK_WORDS + WORD.instrument] as number) >>> 0
      let book = this.#books[instrument]
      if (kind === KIND.status) {
        const isGap = bytes[i * TICK_BYTES + OFFSET.action] === STATUS.gap
        // Missing trades or quotes leave the book as it is.
        const of = words[i * TICK_WORDS + WORD.p0] as number
        const isOther = of === KIND.trade || of === KIND.quote
        if (!isGap || isOther || book === undefined || !book.isSound) continue
        this.#break(book, BOOK_CAUSE.gap)
        return i + 1
      }
      if (book === undefined) book = this.#add(instrument, shard)
      if (!book.apply(batch, i)) continue
      if (book.state !== BOOK_STATE.whole) this.#want(book)
      else if (book.bids.crosses(book.asks)) {
        this.#break(book, BOOK_CAUSE.crossed)
        return i + 1
      } else if (book.changedRank < Infinity && !book.isListed) {
        book.isListed = true
        this.changed.push(book)
      }
    }
    return count
  }

  /** Applies all records, where nobody is to be told at their place what breaks. */
  applyAll(batch: TickBatch, shard: number): void {
    for (let from = 0; from < batch.count; ) from = this.apply(batch, from, shard)
  }

  /** Begins the list of changed books anew; those amid an event stay in it. */
  clearChanged(): void {
    const { changed } = this
    let kept = 0
    for (let i = 0; i < changed.length; i++) {
      const book = changed[i] as OrderBook
      if (book.state === BOOK_STATE.whole && book.isMid) {
        changed[kept++] = book
        continue
      }
      book.isListed = false
      book.changedRank = Infinity
    }
    changed.length = kept
  }

  /** Records of the shard were lost, nobody knows which. */
  lose(shard: number): void {
    for (const book of this.#books) {
      if (book?.shard === shard && book.isSound) this.#break(book, BOOK_CAUSE.lost)
    }
  }

  #add(instrument: number, shard: number): OrderBook {
    while (this.#books.length <= instrument) this.#books.push(undefined)
    const levelsMax = this.#options.levelsMax ?? FEED_BOOK_LEVELS_MAX
    const book = new OrderBook(instrument, levelsMax, this.#budget)
    book.shard = shard
    book.cause = BOOK_CAUSE.incomplete
    this.#books[instrument] = book
    this.count++
    return book
  }

  #break(book: OrderBook, cause: number): void {
    book.break(cause)
    this.broken = book
    this.breakCount++
    if (cause !== BOOK_CAUSE.gap) this.#want(book)
  }

  #want(book: OrderBook): void {
    if (this.#nowMs - book.askedAtMs < WANT_EVERY_MS) return
    book.askedAtMs = this.#nowMs
    this.#options.want(book.shard, book.instrument)
  }
}
