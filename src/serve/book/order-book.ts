// hot path
// One instrument's order book, out of its records; and the image of it, as records again.
//
//   unknown   changes came, but no image yet: nothing is held
//   building  behind a `clear` of the whole book, before the end of that event
//   whole     right, as far as anybody can tell
//   broken    it cannot be right: nothing is held until the next `clear` of the whole book
//
// Whole it becomes at the end of the first event (a record with LAST) behind the `clear`. Looked at
// only between events: within one, levels may cross.

import type { TickBatch } from '../../tick/batch.ts'
import { writeNull } from '../../tick/fixed-point.ts'
import { ACTION, FLAG, KIND, OFFSET, SIDE, TICK_BYTES, WORD } from '../../tick/layout.ts'
import { type BookBudget, BookSide } from './book-side.ts'

export const BOOK_STATE = Object.freeze({ unknown: 0, building: 1, whole: 2, broken: 3 })

const TICK_HALVES = TICK_BYTES / 2
/** Words of the fields before the payload. */
const HEAD_WORDS = WORD.p0
/** What an image keeps of the flags of the record that made the book what it is. */
const KEPT_FLAGS = 0xffff & ~(FLAG.LAST | FLAG.SNAPSHOT)

/** Takes the tick at words[at …], which is valid during the call only. */
export type TickSink = (words: Int32Array, at: number) => void

export class OrderBook {
  readonly instrument: number
  readonly bids: BookSide
  readonly asks: BookSide
  state: number = BOOK_STATE.unknown
  /** Between two records of one event. */
  isMid = false
  /** Best rank changed since the owner looked last; Infinity = none. */
  changedRank = Infinity
  /** Whose ring its records come from. */
  shard = 0
  /** Why it is not whole: a number of the owner's. */
  cause = 0
  /** In the owner's list of changed books. */
  isListed = false
  /** A fresh image was asked for then, ms of the monotonic clock. */
  askedAtMs = Number.NEGATIVE_INFINITY
  /** Of the newest record: its head, and its update id. */
  readonly #head = new Int32Array(HEAD_WORDS + 2)

  constructor(instrument: number, levelsMax: number, budget: BookBudget) {
    this.instrument = instrument
    this.bids = new BookSide(true, levelsMax, budget)
    this.asks = new BookSide(false, levelsMax, budget)
  }

  /** Whether it may be looked at. */
  get isReady(): boolean {
    return this.state === BOOK_STATE.whole && !this.isMid
  }

  /** An image of it may be sent: with what follows in its stream it will be right. */
  get isSound(): boolean {
    return this.state === BOOK_STATE.whole || this.state === BOOK_STATE.building
  }

  /** Applies the book record at `index`. True = it was the last of its event. */
  apply(batch: TickBatch, index: number): boolean {
    const { words, bytes, halves } = batch
    const at = index * (TICK_BYTES / 4)
    const byte = index * TICK_BYTES
    const action = bytes[byte + OFFSET.action] as number
    const side = bytes[byte + OFFSET.side] as number
    const flags = halves[index * TICK_HALVES + OFFSET.flags / 2] as number
    const isLast = (flags & FLAG.LAST) !== 0
    if (action === ACTION.clear) this.#clear(side)
    this.isMid = !isLast
    if (this.state === BOOK_STATE.unknown || this.state === BOOK_STATE.broken) return isLast
    const head = this.#head
    for (let i = 0; i < HEAD_WORDS; i++) head[i] = words[at + i] as number
    head[HEAD_WORDS] = words[at + WORD.p2] as number
    head[HEAD_WORDS + 1] = words[at + WORD.p2 + 1] as number
    if (action !== ACTION.clear && side !== SIDE.none) {
      const levels = side === SIDE.buy ? this.bids : this.asks
      const rank = action === ACTION.delete ? levels.delete(words, at) : levels.set(words, at)
      if (rank >= 0 && rank < this.changedRank) this.changedRank = rank
    }
    if (isLast && this.state === BOOK_STATE.building) {
      this.state = BOOK_STATE.whole
      this.cause = 0
      this.changedRank = 0
      this.askedAtMs = Number.NEGATIVE_INFINITY
    }
    return isLast
  }

  /** It cannot be right any more. What it held is forgotten. */
  break(cause: number): void {
    this.state = BOOK_STATE.broken
    this.cause = cause
    this.changedRank = Infinity
    this.bids.release()
    this.asks.release()
  }

  /** Records of an image with at most so many levels a side. */
  recordCount(depth: number): number {
    return 1 + Math.min(depth, this.bids.count) + Math.min(depth, this.asks.count)
  }

  /** The image: a clear, bids from the best, asks from the best; LAST unless an event is cut. */
  write(depth: number, scratch: TickBatch, sink: TickSink): void {
    const left = { count: this.recordCount(depth) - 1 }
    const { words } = scratch
    words.set(this.#head.subarray(0, HEAD_WORDS))
    const flags = (scratch.flags(0) & KEPT_FLAGS) | FLAG.SNAPSHOT
    const last = this.isMid ? flags : flags | FLAG.LAST
    words[WORD.p2] = this.#head[HEAD_WORDS] as number
    words[WORD.p2 + 1] = this.#head[HEAD_WORDS + 1] as number
    writeNull(words, WORD.p0)
    writeNull(words, WORD.p1)
    writeNull(words, WORD.p3)
    scratch.setKindSide(0, KIND.book, SIDE.none)
    scratch.setAction(0, ACTION.clear)
    scratch.setFlags(0, left.count === 0 ? last : flags)
    sink(words, 0)
    scratch.setAction(0, ACTION.set)
    scratch.setKindSide(0, KIND.book, SIDE.buy)
    writeSide(this.bids, depth, scratch, left, last, sink)
    scratch.setKindSide(0, KIND.book, SIDE.sell)
    writeSide(this.asks, depth, scratch, left, last, sink)
  }

  #clear(side: number): void {
    if (side !== SIDE.sell) this.bids.clear()
    if (side !== SIDE.buy) this.asks.clear()
    this.changedRank = 0
    if (side === SIDE.none) this.state = BOOK_STATE.building
  }
}

function writeSide(
  side: BookSide,
  depth: number,
  scratch: TickBatch,
  left: { count: number },
  lastFlags: number,
  sink: TickSink,
): void {
  const count = Math.min(depth, side.count)
  for (let rank = 0; rank < count; rank++) {
    left.count--
    if (left.count === 0) scratch.setFlags(0, lastFlags)
    side.read(rank, scratch.words)
    sink(scratch.words, 0)
  }
}
