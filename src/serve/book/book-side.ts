// hot path
// The levels of one side of an order book, in order of price, in one typed array.
//
// Worst first, best last: most changes are near the best, and move little. A rank counts from the
// best: 0 is the best level, 1 the next. A level is six words, copied out of a book record:
//
//   word 0       2       4                    6
//        price   size    order_count
//        i64     i64     i64, as in PAYLOAD (null = the venue does not say)
//
// Bounded by `levelsMax` and by what all books may take together (BookBudget): a side that cannot
// grow gives up its worst levels. It is then right from the best to the worst that it holds.
// Invariants: prices ascend (bids) or descend (asks), none twice; count ≤ the memory's room.

import { WORD } from '../../tick/layout.ts'

const LEVEL_WORDS = 6
const LEVELS_FIRST = 16

/** Memory that all books may still take. */
export interface BookBudget {
  leftBytes: number
}

export class BookSide {
  count = 0
  /** Levels were given up since the last `clear`. */
  isCut = false
  /** +1: the higher price is the better (bids). -1: the lower one (asks). */
  readonly #sign: number
  readonly #levelsMax: number
  readonly #budget: BookBudget
  #words = new Int32Array(0)

  constructor(isBid: boolean, levelsMax: number, budget: BookBudget) {
    this.#sign = isBid ? 1 : -1
    this.#levelsMax = levelsMax
    this.#budget = budget
  }

  /**
   * Sets the level of the record at ticks[at …]. Returns its rank, or -1: it is worse than all, and
   * there is no room.
   */
  set(ticks: Int32Array, at: number): number {
    let slot = this.#find(ticks[at + WORD.p0] as number, ticks[at + WORD.p0 + 1] as number)
    if (!this.#isAt(slot, ticks, at)) {
      const isFull = this.count * LEVEL_WORDS === this.#words.length && !this.#grow()
      if (isFull && slot === 0) {
        this.isCut = true
        return -1
      }
      if (isFull) {
        // The worst makes room.
        this.isCut = true
        slot--
        this.#words.copyWithin(0, LEVEL_WORDS, (slot + 1) * LEVEL_WORDS)
      } else {
        const from = slot * LEVEL_WORDS
        this.#words.copyWithin(from + LEVEL_WORDS, from, this.count * LEVEL_WORDS)
        this.count++
      }
    }
    const words = this.#words
    const to = slot * LEVEL_WORDS
    words[to] = ticks[at + WORD.p0] as number
    words[to + 1] = ticks[at + WORD.p0 + 1] as number
    words[to + 2] = ticks[at + WORD.p1] as number
    words[to + 3] = ticks[at + WORD.p1 + 1] as number
    words[to + 4] = ticks[at + WORD.p3] as number
    words[to + 5] = ticks[at + WORD.p3 + 1] as number
    return this.count - 1 - slot
  }

  /** Deletes the level of that record's price. Returns the rank that it had; -1: there is none. */
  delete(ticks: Int32Array, at: number): number {
    const slot = this.#find(ticks[at + WORD.p0] as number, ticks[at + WORD.p0 + 1] as number)
    if (!this.#isAt(slot, ticks, at)) return -1
    const from = slot * LEVEL_WORDS
    this.#words.copyWithin(from, from + LEVEL_WORDS, this.count * LEVEL_WORDS)
    this.count--
    return this.count - slot
  }

  clear(): void {
    this.count = 0
    this.isCut = false
  }

  /** As `clear`, and gives its memory back. */
  release(): void {
    this.clear()
    this.#budget.leftBytes += this.#words.byteLength
    this.#words = new Int32Array(0)
  }

  /** Writes price, size and order count of the level of a rank into the tick at ticks[0 …]. */
  read(rank: number, ticks: Int32Array): void {
    const words = this.#words
    const from = (this.count - 1 - rank) * LEVEL_WORDS
    ticks[WORD.p0] = words[from] as number
    ticks[WORD.p0 + 1] = words[from + 1] as number
    ticks[WORD.p1] = words[from + 2] as number
    ticks[WORD.p1 + 1] = words[from + 3] as number
    ticks[WORD.p3] = words[from + 4] as number
    ticks[WORD.p3 + 1] = words[from + 5] as number
  }

  /** Whether the best of these bids is not below the best of those asks. */
  crosses(asks: BookSide): boolean {
    if (this.count === 0 || asks.count === 0) return false
    const bid = (this.count - 1) * LEVEL_WORDS
    const ask = (asks.count - 1) * LEVEL_WORDS
    const lo = asks.#words[ask] as number
    return order(this.#words, bid, lo, asks.#words[ask + 1] as number) >= 0
  }

  /** Slot of the first level that is not worse than the price. */
  #find(lo: number, hi: number): number {
    const words = this.#words
    let low = 0
    let high = this.count
    while (low < high) {
      const middle = (low + high) >>> 1
      if (order(words, middle * LEVEL_WORDS, lo, hi) * this.#sign < 0) low = middle + 1
      else high = middle
    }
    return low
  }

  #isAt(slot: number, ticks: Int32Array, at: number): boolean {
    if (slot >= this.count) return false
    const words = this.#words
    const from = slot * LEVEL_WORDS
    return words[from] === ticks[at + WORD.p0] && words[from + 1] === ticks[at + WORD.p0 + 1]
  }

  /** Room for more levels; false where there is none to be had. */
  #grow(): boolean {
    const have = this.#words.length / LEVEL_WORDS
    const levels = Math.min(this.#levelsMax, Math.max(LEVELS_FIRST, have * 2))
    const moreBytes = (levels - have) * LEVEL_WORDS * Int32Array.BYTES_PER_ELEMENT
    if (moreBytes === 0 || moreBytes > this.#budget.leftBytes) return false
    this.#budget.leftBytes -= moreBytes
    const words = new Int32Array(levels * LEVEL_WORDS)
    words.set(this.#words)
    this.#words = words
    return true
  }
}

/** -1, 0, 1: the price of the level at words[from] to another. */
function order(words: Int32Array, from: number, lo: number, hi: number): number {
  const ownHi = words[from + 1] as number
  if (ownHi !== hi) return ownHi < hi ? -1 : 1
  const own = (words[from] as number) >>> 0
  const other = lo >>> 0
  return own === other ? 0 : own < other ? -1 : 1
}
