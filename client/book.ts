// An order book, built from the records of the `book` channel.
//
// One book an instrument. It is whole after the image that follows a `clear`; before that it holds
// only the levels that have changed. Its levels may cross within an event of the venue: look at
// `isCrossed` when `apply` has returned true, which it does at the last record of an event.

import type { BookLevel } from './record.ts'

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
    this.updateCount++
    if (action === 'clear') this.#clear(side)
    else if (price !== null && side !== 'none') {
      const levels = side === 'buy' ? this.#bids : this.#asks
      if (action === 'set' && size !== null) levels.set(price, size)
      else levels.delete(price)
    }
    if (flags.includes('snapshot') && flags.includes('last')) this.isWhole = true
    return flags.includes('last')
  }

  /** Records of the stream were lost: what is shown may be wrong until the next image. */
  doubt(): void {
    this.isWhole = false
  }

  #clear(side: BookLevel['side']): void {
    if (side !== 'sell') this.#bids.levels.length = 0
    if (side !== 'buy') this.#asks.levels.length = 0
    this.isWhole = false
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

  /** After a gap of the stream: which book lost a record is not known. */
  doubt(): void {
    for (const book of this.#books.values()) book.doubt()
  }
}
