// What an image of a stream consists of: the newest values, or books.
//
// By slots (newest.ts). A slot of a stream of values is one record; of a stream that carries books,
// the first slot of an instrument stands for its book, which is many, or none while it is not
// whole. What is read stands exactly where the feed does: behind the last record that it took.

import { LATEST_KIND_COUNT, LATEST_RANK } from '../../aggregate/latest-table-layout.ts'
import { TickBatch } from '../../tick/batch.ts'
import { FLAG, TICK_WORDS } from '../../tick/layout.ts'
import type { Books } from '../book/books.ts'
import type { OrderBook, TickSink } from '../book/order-book.ts'
import { type Newest, slotInstrument, slotKind, slotOf } from './newest.ts'
import type { Stream } from './stream.ts'

export class Images {
  readonly #newest: Newest
  readonly #books: Books
  readonly #scratch = new TickBatch(1)

  constructor(newest: Newest, books: Books) {
    this.#newest = newest
    this.#books = books
  }

  /** The slots of the image that a new subscription would be sent. */
  slots(stream: Stream): number[] {
    const { channel, instruments } = stream
    const slots: number[] = []
    for (const id of instruments) {
      if (channel.depth !== undefined) {
        if (this.#bookOf(stream, slotOf(id)) !== undefined) slots.push(slotOf(id))
        continue
      }
      for (const kind of channel.kinds) {
        const slot = this.#newest.find(id, kind)
        if (slot >= 0) slots.push(slot)
      }
    }
    return slots
  }

  /** The slot whose image makes up for the loss of the record at `index`; -1 = none does. */
  slotOf({ channel }: Stream, batch: TickBatch, index: number): number {
    if (channel.depth !== undefined) return slotOf(batch.instrument(index))
    const rank = LATEST_RANK[batch.kind(index)] as number
    return rank < 0 ? -1 : (batch.instrument(index) - 1) * LATEST_KIND_COUNT + rank
  }

  /** Records of the image of these slots. */
  recordCount(stream: Stream, slots: readonly number[]): number {
    const { depth } = stream.channel
    if (depth === undefined) return slots.length
    return slots.reduce((sum, slot) => {
      return sum + (this.#bookOf(stream, slot)?.recordCount(depth) ?? 0)
    }, 0)
  }

  /** Gives the image of a slot, with the flag `snapshot`. */
  read(stream: Stream, slot: number, sink: TickSink): void {
    const scratch = this.#scratch
    const { depth } = stream.channel
    if (depth !== undefined) {
      this.#bookOf(stream, slot)?.write(depth, scratch, sink)
      return
    }
    // One that was forgotten since it was promised is found again.
    this.#newest.find(slotInstrument(slot), slotKind(slot))
    const from = slot * TICK_WORDS
    scratch.words.set(this.#newest.words.subarray(from, from + TICK_WORDS))
    scratch.addFlags(0, FLAG.SNAPSHOT)
    sink(scratch.words, 0)
  }

  /**
   * A book that an image may have. What follows in a stream of changes completes one that is amid
   * an event; of best levels nothing would.
   */
  #bookOf({ channel }: Stream, slot: number): OrderBook | undefined {
    const book = this.#books.get(slotInstrument(slot))
    const isFit = channel.carries === 'event' ? book?.isSound : book?.isReady
    return isFit === true ? book : undefined
  }
}
