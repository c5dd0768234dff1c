// Streams that carry books: what they are sent of whole ones, and told of those that are not.
//
// `book` has its changes by way of the router, like any stream of events. `book.N` is sent the best
// N levels of each whole book that changed in them, every FEED_LATEST_MS. Both are told at once of
// a book that breaks, and again where records may have come late or not at all (`restate`): behind
// a gap, an image, a replay. A book that is whole again shows by its image.

import { FEED_INSTRUMENTS_LISTED_MAX } from '../../limits.ts'
import type { CounterName } from '../../ops/counter-catalog.ts'
import type { CounterSet } from '../../ops/counters.ts'
import { TickBatch } from '../../tick/batch.ts'
import type { Instrument, InstrumentTable } from '../../tick/instruments.ts'
import { KIND } from '../../tick/layout.ts'
import { BOOK_CAUSE, type Books } from '../book/books.ts'
import type { OrderBook } from '../book/order-book.ts'
import type { BookNoticeName } from './errors.ts'
import { booksBroken } from './messages.ts'
import { slotOf } from './newest.ts'
import type { Router } from './router.ts'
import type { Stream } from './stream.ts'
import type { Subscription } from './subscriber.ts'

const NOTICE_OF: Readonly<Record<number, BookNoticeName>> = {
  [BOOK_CAUSE.gap]: 'book_gap',
  [BOOK_CAUSE.crossed]: 'book_crossed',
  [BOOK_CAUSE.incomplete]: 'book_incomplete',
  [BOOK_CAUSE.lost]: 'book_lost',
}

export interface BookWatchOptions {
  readonly books: Books
  readonly instruments: InstrumentTable
  /** Router of the channels that carry values. */
  readonly values: Router
  readonly streams: Iterable<Stream>
  /** Sends what the stream has gathered. */
  readonly flush: (stream: Stream) => void
}

export class BookWatch {
  readonly #options: BookWatchOptions
  readonly #scratch = new TickBatch(1)

  constructor(options: BookWatchOptions) {
    this.#options = options
  }

  /** The best levels of the books that changed since the last time, to those who want them. */
  routeTops(): void {
    const { books, values } = this.#options
    for (const book of books.changed) {
      if (!book.isReady) continue
      for (const stream of values.streamsOf(book.instrument, KIND.book) ?? []) {
        const { depth = 0 } = stream.channel
        if (book.changedRank >= depth || isOwed(stream, book)) continue
        book.write(depth, this.#scratch, (words, at) => values.append(stream, words, at))
      }
    }
    books.clearChanged()
  }

  /** Sets the counters of books. */
  count(counters: CounterSet<CounterName<'serve'>>): void {
    const { books } = this.#options
    if (books.count === 0) return
    counters.set('books', books.count)
    counters.set('books_not_whole', books.brokenCount)
    counters.set('books_broken', books.breakCount)
  }

  /** The record that was routed last has broken this book. */
  tell(book: OrderBook): void {
    const name = NOTICE_OF[book.cause]
    if (name === undefined) return
    for (const stream of this.#options.streams) {
      if (stream.channel.depth === undefined || !has(stream.instruments, book.instrument)) continue
      this.#options.flush(stream)
      const message = booksBroken(stream, name, this.#named([book.instrument]))
      for (const { subscriber, replay } of [...stream.subscriptions]) {
        if (replay === undefined) subscriber.sendControl(message)
      }
    }
  }

  /** Which of the subscription's books are not whole now. */
  restate({ subscriber, stream }: Subscription): void {
    if (stream.channel.depth === undefined) return
    const byCause = new Map<number, number[]>()
    for (const id of stream.instruments) {
      const book = this.#options.books.get(id)
      if (book === undefined || book.isSound) continue
      const list = byCause.get(book.cause)
      if (list === undefined) byCause.set(book.cause, [id])
      else list.push(id)
    }
    for (const [cause, ids] of byCause) {
      const name = NOTICE_OF[cause]
      for (let i = 0; name !== undefined && i < ids.length; i += FEED_INSTRUMENTS_LISTED_MAX) {
        const part = this.#named(ids.slice(i, i + FEED_INSTRUMENTS_LISTED_MAX))
        subscriber.sendControl(booksBroken(stream, name, part))
      }
    }
  }

  #named(ids: readonly number[]): Instrument[] {
    return ids.map((id) => this.#options.instruments.get(id) as Instrument)
  }
}

/**
 * Nobody reads the stream fast enough, and each will be sent an image anyway: then the book is a
 * part of it, and nothing is made that would only be skipped.
 */
function isOwed({ subscriptions }: Stream, { instrument }: OrderBook): boolean {
  if (subscriptions.some(({ behindFrom, owed }) => behindFrom === 0 || owed === undefined)) {
    return false
  }
  for (const { owed } of subscriptions) owed?.add(slotOf(instrument))
  return true
}

/** Whether the id is among these, which ascend. */
function has(ids: readonly number[], id: number): boolean {
  let low = 0
  let high = ids.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if ((ids[middle] as number) < id) low = middle + 1
    else high = middle
  }
  return ids[low] === id
}
