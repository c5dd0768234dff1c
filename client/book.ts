// Order books, built from the records of the channels `book` and `book.N`.
//
// One book an instrument. It is whole at the end of the event that begins with a `clear` of both
// sides; before that it holds only the levels that have changed. Its levels may cross within an
// event of the venue: look at `isCrossed` when `apply` has returned true, which it does at the last
// record of an event.

import type { SubscribeRequest } from './messages.ts'
import type { Handlers } from './outlet.ts'
import type { BookLevel } from './record.ts'
import type { Subscription } from './subscription.ts'

export interface Level {
  /** Exact, as the venue gave it. */
  readonly price: string
  readonly size: string
  readonly priceNumber: number
}

/** The levels of one side, best first. */
class BookSide {
  readonly levels: Level[] = []
  readonly #sign: number

  /** `sign`: +1 lowest first (asks), -1 highest first (bids). */
  constructor(sign: number) {
    this.#sign = sign
  }

  set(price: string, size: string): void {
    const priceNumber = Number(price)
    const at = this.#find(priceNumber)
    const isThere = this.levels[at]?.priceNumber === priceNumber
    this.levels.splice(at, isThere ? 1 : 0, { price, size, priceNumber })
  }

  delete(price: string): void {
    const priceNumber = Number(price)
    const at = this.#find(priceNumber)
    if (this.levels[at]?.priceNumber === priceNumber) this.levels.splice(at, 1)
  }

  /** Index of the first level that is not better than the price. */
  #find(price: number): number {
    let low = 0
    let high = this.levels.length
    while (low < high) {
      const middle = (low + high) >>> 1
      const level = this.levels[middle] as Level
      if ((level.priceNumber - price) * this.#sign < 0) low = middle + 1
      else high = middle
    }
    return low
  }
}

export class Book {
  /** True once an image has made it whole; false again when records of it were lost. */
  isWhole = false
  /** Records applied. */
  updateCount = 0
  /** Behind the `clear` of an image, before its end. */
  #isImage = false
  readonly #bids = new BookSide(-1)
  readonly #asks = new BookSide(1)

  get bids(): readonly Level[] {
    return this.#bids.levels
  }

  get asks(): readonly Level[] {
    return this.#asks.levels
  }

  /** The best bid is not below the best ask: between two events, a sign of a lost record. */
  get isCrossed(): boolean {
    const [bid] = this.bids
    const [ask] = this.asks
    return bid !== undefined && ask !== undefined && bid.priceNumber >= ask.priceNumber
  }

  /** Applies one record. True when it is the last of its event: the book may be looked at. */
  apply(record: BookLevel): boolean {
    const { action, side, price, size, flags } = record
    const isLast = flags.includes('last')
    this.updateCount++
    if (action === 'clear') this.#clear(side)
    else if (price !== null && side !== 'none') {
      const levels = side === 'buy' ? this.#bids : this.#asks
      if (action === 'set' && size !== null) levels.set(price, size)
      else levels.delete(price)
    }
    if (isLast && this.#isImage) {
      this.#isImage = false
      this.isWhole = true
    }
    return isLast
  }

  /** Records of the stream were lost: what is shown may be wrong until the next image. */
  doubt(): void {
    this.isWhole = false
    this.#isImage = false
  }

  #clear(side: BookLevel['side']): void {
    if (side !== 'sell') this.#bids.levels.length = 0
    if (side !== 'buy') this.#asks.levels.length = 0
    if (side !== 'none') return
    this.isWhole = false
    this.#isImage = true
  }
}

/** The books of a subscription, by `venue:symbol`. */
export class Books {
  readonly #books = new Map<string, Book>()

  get(name: string): Book | undefined {
    return this.#books.get(name)
  }

  names(): string[] {
    return [...this.#books.keys()]
  }

  /** Applies a record to its book. The book when it may be looked at, otherwise undefined. */
  apply(record: BookLevel): Book | undefined {
    const name = `${record.venue}:${record.symbol}`
    let book = this.#books.get(name)
    if (book === undefined) {
      book = new Book()
      this.#books.set(name, book)
    }
    return book.apply(record) ? book : undefined
  }

  /** These are not right, or, without names, any may not be: until their next image. */
  doubt(names: Iterable<string> = this.#books.keys()): void {
    for (const name of names) this.#books.get(name)?.doubt()
  }
}

/** Where books come from: a Feed. */
export interface BookFeed {
  subscribe(request: SubscribeRequest, handlers: Handlers): Subscription
}

export interface BooksRequest {
  readonly symbols?: readonly string[]
  /** The best levels of each side only, 1 … 50, conflated; without it all levels, each change. */
  readonly depth?: number
  readonly shard?: number
}

export interface FollowedBooks {
  readonly books: Books
  readonly subscription: Subscription
}

/**
 * Subscribes to books and keeps them. `onBook` is called at the end of each event of a book that is
 * whole and not crossed, and with `undefined` when a book is no longer to be trusted.
 */
export function followBooks(
  feed: BookFeed,
  { depth, ...rest }: BooksRequest,
  onBook: (name: string, book: Book | undefined) => void,
): FollowedBooks {
  const books = new Books()
  const doubt = (names: readonly string[]) => {
    const lost = names.filter((name) => books.get(name)?.isWhole)
    books.doubt(names)
    for (const name of lost) onBook(name, undefined)
  }
  const channel = depth === undefined ? 'book' : `book.${depth}`
  const subscription = feed.subscribe(
    { channel, from: 'snapshot', ...rest },
    {
      batch: (batch) => {
        for (let i = 0; i < batch.count; i++) {
          const record = batch.record(i)
          const book = record.type === 'book' ? books.apply(record) : undefined
          if (book === undefined || record.type !== 'book') continue
          const name = `${record.venue}:${record.symbol}`
          if (book.isCrossed) doubt([name])
          else if (book.isWhole) onBook(name, book)
        }
      },
      broken: ({ instruments }) => doubt(instruments.map((i) => `${i.venue}:${i.symbol}`)),
      // What the venue said while the daemon was away is missing.
      epoch: () => doubt(books.names()),
      // Of what was conflated an image follows.
      gap: ({ cause, message }) => {
        if (cause === 'conflated') return
        const id = cause === 'upstream' ? message?.instrument : undefined
        const named = subscription.ack?.symbols
          .flatMap(({ instruments = [] }) => instruments)
          .find((instrument) => instrument.id === id)
        doubt(named === undefined ? books.names() : [`${named.venue}:${named.symbol}`])
      },
    },
  )
  return { books, subscription }
}
