// hot path
// Runs of records into the latest table: of each instrument and kind only the newest is written.
//
// A run is walked from its end, and a slot that was met is stamped: a busy instrument costs one
// write a run, not one a record. A record flagged OUT_OF_ORDER is older than one that came before
// it, and replaces nothing. Not for two threads: the table has one writer.
// The inner loop is here in JS, the reference, and in native/latest_kernel.cc: an atomic store of
// JS is a call, and a record takes twenty.

import { type Addon, activeAddon } from '../native/addon.ts'
import { FLAG, OFFSET, TICK_BYTES, TICK_WORDS, WORD } from '../tick/layout.ts'
import type { LatestTable } from './latest-table.ts'
import { LATEST_KIND_COUNT, LATEST_RANK } from './latest-table-layout.ts'

const TICK_HALVES = TICK_BYTES / 2
const FLAGS_HALF = OFFSET.flags / 2

/** The views of a run's memory: a ring's, or a batch's. */
export interface RunViews {
  readonly bytes: Uint8Array
  readonly words: Int32Array
  readonly halves: Uint16Array
}

export class LatestWriter {
  readonly #table: LatestTable
  readonly #addon: Addon | undefined
  /** Number of the run in which a slot was last written. */
  readonly #stamps: Int32Array
  #run = 0

  /** Writes with the addon, if given; with none where that is undefined. */
  constructor(table: LatestTable, { addon }: { addon?: Addon | undefined } = activeAddon()) {
    this.#table = table
    this.#addon = addon
    this.#stamps = new Int32Array(table.capacity * LATEST_KIND_COUNT)
  }

  /** Applies `count` ticks from index `first` of the views; `firstSeq` is that of the first. */
  apply(views: RunViews, first: number, count: number, firstSeq: number): void {
    if (count === 0) return
    const run = this.#nextRun()
    if (this.#addon === undefined) this.#applyRun(views, first, count, firstSeq, run)
    else {
      const { words } = this.#table
      this.#addon.applyLatest(words, this.#stamps, views.bytes, first, count, firstSeq, run)
    }
  }

  #applyRun(views: RunViews, first: number, count: number, firstSeq: number, run: number): void {
    const { bytes, words, halves } = views
    const table = this.#table
    const stamps = this.#stamps
    for (let i = count - 1; i >= 0; i--) {
      const index = first + i
      const kind = bytes[index * TICK_BYTES + OFFSET.kind] as number
      const rank = kind < LATEST_RANK.length ? (LATEST_RANK[kind] as number) : -1
      if (rank < 0) continue
      if (((halves[index * TICK_HALVES + FLAGS_HALF] as number) & FLAG.OUT_OF_ORDER) !== 0) continue
      const instrument = (words[index * TICK_WORDS + WORD.instrument] as number) >>> 0
      const slot = (instrument - 1) * LATEST_KIND_COUNT + rank
      if (stamps[slot] === run) continue
      stamps[slot] = run
      table.write(words, index * TICK_WORDS, firstSeq + i)
    }
  }

  #nextRun(): number {
    this.#run = (this.#run + 1) | 0
    if (this.#run === 0) {
      this.#stamps.fill(0)
      this.#run = 1
    }
    return this.#run
  }
}
