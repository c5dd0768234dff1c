// hot path
// How a batch goes into tables: its ticks by kind, and the daily partitions they need.
//
// A transaction takes a prefix of the batch with a bounded number of partitions, so that a feed of
// scattered days cannot exhaust the server's lock table. Times outside the plausible days (and
// absent ones) belong to the default partition and need nothing.

import { assert } from '../../errors.ts'
import { PARTITIONS_PER_TRANSACTION_MAX } from '../../limits.ts'
import type { TickBatch } from '../../tick/batch.ts'
import {
  KIND_COUNT,
  NULL_HI,
  NULL_LO,
  OFFSET,
  TICK_BYTES,
  TICK_WORDS,
  WORD,
} from '../../tick/layout.ts'

/** A day is 2^16 x DAY_UNITS nanoseconds, exactly. */
const DAY_UNITS = 1_318_359_375
const TWO_16 = 65536
/** In `leafDays`: no tick of the kind, or ticks of several days or none. No day is as small. */
const NO_DAY = -(2 ** 31)
export const SEVERAL_DAYS = NO_DAY + 1

export class BatchPlan {
  /** Indexes of the planned ticks but those taken out, grouped by kind, in order within a kind. */
  readonly order: Int32Array
  /** Ticks of kind k: order[starts[k], starts[k + 1]). */
  readonly starts = new Int32Array(KIND_COUNT + 1)
  /** Planned ticks: [from, to) of the batch. */
  from = 0
  to = 0
  /** Partitions needed: kinds and days (since 1970), in pairs. */
  readonly partitionKinds = new Int32Array(PARTITIONS_PER_TRANSACTION_MAX)
  readonly partitionDays = new Int32Array(PARTITIONS_PER_TRANSACTION_MAX)
  partitionCount = 0
  /** By kind: the one day of all its planned ticks, or SEVERAL_DAYS. */
  readonly leafDays = new Int32Array(KIND_COUNT)
  /** By kind: the day of the last tick, in units of 2^16 ns: [start, start + DAY_UNITS). */
  readonly #dayStarts = new Float64Array(KIND_COUNT)
  readonly #counts = new Int32Array(KIND_COUNT)

  constructor(capacity: number) {
    this.order = new Int32Array(capacity)
  }

  /** Plans ticks [from, to) of the batch, or a prefix. `firstDay` … `lastDay` get partitions. */
  build(
    batch: TickBatch,
    from: number,
    firstDay: number,
    lastDay: number,
    to: number = batch.count,
  ): void {
    assert(to <= batch.count && to <= this.order.length, 'the plan was made for this capacity')
    this.from = from
    this.to = to
    this.#count(batch, firstDay, lastDay)
    this.#sort(batch)
  }

  /** Takes a tick out, if it is planned: it is refused, not stored. */
  exclude(index: number): void {
    if (index < this.from || index >= this.to) return
    const { order, starts } = this
    const count = starts[KIND_COUNT] as number
    let at = 0
    while (at < count && order[at] !== index) at++
    assert(at < count, 'a tick is taken out once')
    order.copyWithin(at, at + 1, count)
    for (let kind = KIND_COUNT; (starts[kind] as number) > at; kind--) {
      starts[kind] = (starts[kind] as number) - 1
    }
  }

  /** Ticks to be stored. */
  get rowCount(): number {
    return this.starts[KIND_COUNT] as number
  }

  #count(batch: TickBatch, firstDay: number, lastDay: number): void {
    const { words, bytes } = batch
    const count = this.to
    const leafDays = this.leafDays.fill(NO_DAY)
    const counts = this.#counts.fill(0)
    const dayStarts = this.#dayStarts.fill(Number.NaN)
    this.partitionCount = 0
    let index = this.from
    for (; index < count; index++) {
      const kind = bytes[index * TICK_BYTES + OFFSET.kind] as number
      assert(kind > 0 && kind < KIND_COUNT, 'a stored tick is of a known kind')
      const at = index * TICK_WORDS + WORD.ts_event
      const lo = words[at] as number
      const hi = words[at + 1] as number
      const since = hi * TWO_16 + (lo >>> 16) - (dayStarts[kind] as number)
      if (hi === NULL_HI && lo === NULL_LO) leafDays[kind] = SEVERAL_DAYS
      else if (!(since >= 0 && since < DAY_UNITS)) {
        // Not within the day of the kind's last tick (or there was none: NaN).
        const day = Math.floor((hi * TWO_16 + (lo >>> 16)) / DAY_UNITS)
        if (day >= firstDay && day <= lastDay && !this.#need(kind, day)) break
        leafDays[kind] = leafDays[kind] === NO_DAY ? day : SEVERAL_DAYS
        dayStarts[kind] = day * DAY_UNITS
      }
      counts[kind] = (counts[kind] as number) + 1
    }
    this.to = index
  }

  /** Notes a partition; false when there is no room for one more. */
  #need(kind: number, day: number): boolean {
    const { partitionKinds, partitionDays } = this
    for (let i = 0; i < this.partitionCount; i++) {
      if (partitionKinds[i] === kind && partitionDays[i] === day) return true
    }
    if (this.partitionCount === PARTITIONS_PER_TRANSACTION_MAX) return false
    partitionKinds[this.partitionCount] = kind
    partitionDays[this.partitionCount] = day
    this.partitionCount++
    return true
  }

  #sort(batch: TickBatch): void {
    const { order, starts } = this
    const next = this.#counts
    let start = 0
    for (let kind = 0; kind < KIND_COUNT; kind++) {
      starts[kind] = start
      start += next[kind] as number
      next[kind] = starts[kind] as number
    }
    starts[KIND_COUNT] = start
    for (let index = this.from; index < this.to; index++) {
      const kind = batch.bytes[index * TICK_BYTES + OFFSET.kind] as number
      const at = next[kind] as number
      order[at] = index
      next[kind] = at + 1
    }
  }
}
