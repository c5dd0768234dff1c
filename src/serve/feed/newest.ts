// hot path
// The newest record of each instrument and kind as of the feed's own reading position.
//
// The shared latest table runs ahead of the feed or behind it; an image sent to a subscriber must
// stand exactly where its stream does. A slot that the feed has not filled yet is looked up in the
// shared table. One thread; a record flagged OUT_OF_ORDER replaces nothing, as in the table.

import type { LatestTable } from '../../aggregate/latest-table.ts'
import {
  LATEST_KIND_COUNT,
  LATEST_KINDS,
  LATEST_RANK,
} from '../../aggregate/latest-table-layout.ts'
import { TickBatch } from '../../tick/batch.ts'
import { FLAG, OFFSET, TICK_BYTES, TICK_WORDS, WORD } from '../../tick/layout.ts'

const TICK_HALVES = TICK_BYTES / 2

export class Newest {
  /** The records by slot; a kind of 0 = none yet. Pages are only touched where records are. */
  readonly words: Int32Array
  /** Slots changed since `clearChanged`, in the order of their first change. */
  readonly changed: Int32Array
  changedCount = 0
  readonly #bytes: Uint8Array
  readonly #isChanged: Uint8Array
  /** Within `apply`: slots with a record in the batch, and by slot its last one's index + 1. */
  readonly #touched: Int32Array
  readonly #lastIndex: Int32Array
  readonly #capacity: number
  readonly #shared: LatestTable
  readonly #scratch = new TickBatch(1)

  constructor(shared: LatestTable) {
    const slotCount = shared.capacity * LATEST_KIND_COUNT
    const memory = new ArrayBuffer(slotCount * TICK_BYTES)
    this.words = new Int32Array(memory)
    this.#bytes = new Uint8Array(memory)
    this.changed = new Int32Array(slotCount)
    this.#isChanged = new Uint8Array(slotCount)
    this.#touched = new Int32Array(slotCount)
    this.#lastIndex = new Int32Array(slotCount)
    this.#capacity = shared.capacity
    this.#shared = shared
  }

  /** Returns the records of other kinds: no values. Of each slot only the last one is copied. */
  apply(batch: TickBatch): number {
    const { bytes, words, halves, count } = batch
    const lastIndex = this.#lastIndex
    const touched = this.#touched
    let touchedCount = 0
    let otherCount = 0
    for (let i = 0; i < count; i++) {
      const kind = bytes[i * TICK_BYTES + OFFSET.kind] as number
      const rank = kind < LATEST_RANK.length ? (LATEST_RANK[kind] as number) : -1
      if (rank < 0) {
        otherCount++
        continue
      }
      const flags = halves[i * TICK_HALVES + OFFSET.flags / 2] as number
      const instrument = (words[i * TICK_WORDS + WORD.instrument] as number) >>> 0
      if ((flags & FLAG.OUT_OF_ORDER) !== 0 || instrument > this.#capacity) continue
      const slot = (instrument - 1) * LATEST_KIND_COUNT + rank
      if (lastIndex[slot] === 0) touched[touchedCount++] = slot
      lastIndex[slot] = i + 1
    }
    for (let t = 0; t < touchedCount; t++) this.#take(words, touched[t] as number)
    return otherCount
  }

  /** Copies the record that was noted for a slot. */
  #take(words: Int32Array, slot: number): void {
    const from = ((this.#lastIndex[slot] as number) - 1) * TICK_WORDS
    this.#lastIndex[slot] = 0
    const to = slot * TICK_WORDS
    for (let w = 0; w < TICK_WORDS; w++) this.words[to + w] = words[from + w] as number
    if (this.#isChanged[slot] !== 0) return
    this.#isChanged[slot] = 1
    this.changed[this.changedCount++] = slot
  }

  clearChanged(): void {
    for (let i = 0; i < this.changedCount; i++) this.#isChanged[this.changed[i] as number] = 0
    this.changedCount = 0
  }

  /** The slot of an instrument and kind when there is a record in it; -1 when there is none. */
  find(instrument: number, kind: number): number {
    const rank = LATEST_RANK[kind] as number
    if (rank < 0) return -1
    const slot = (instrument - 1) * LATEST_KIND_COUNT + rank
    if (this.#bytes[slot * TICK_BYTES + OFFSET.kind] !== 0) return slot
    if (this.#shared.read(instrument, kind, this.#scratch, 0) < 0) return -1
    this.words.set(this.#scratch.words, slot * TICK_WORDS)
    return slot
  }

  /** After records were lost, what is here may be old: back to the shared table. */
  forget(instrumentCount: number): void {
    this.words.fill(0, 0, instrumentCount * LATEST_KIND_COUNT * TICK_WORDS)
    this.clearChanged()
  }
}

/** The first slot of an instrument; it stands for its book where a stream carries books. */
export function slotOf(instrument: number): number {
  return (instrument - 1) * LATEST_KIND_COUNT
}

export function slotInstrument(slot: number): number {
  return Math.floor(slot / LATEST_KIND_COUNT) + 1
}

export function slotKind(slot: number): number {
  return LATEST_KINDS[slot % LATEST_KIND_COUNT] as number
}
