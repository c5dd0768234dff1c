// hot path
// Records to streams: by instrument and kind, through one array look-up a record.
//
// A stream that gets its first record since its last flush is put on `dirty`. A stream whose frame
// is full is flushed at once by `onFull`. Where there is a tally, all records are counted in it.

import type { TickBatch } from '../../tick/batch.ts'
import { KIND, KIND_COUNT, OFFSET, TICK_BYTES, TICK_WORDS, WORD } from '../../tick/layout.ts'
import type { Stream } from './stream.ts'
import type { Tally } from './tally.ts'

/** `isLost`: the records about it are not routed. */
export type StatusHandler = (
  streams: readonly Stream[],
  batch: TickBatch,
  index: number,
  isLost: boolean,
) => void

export interface RouterOptions {
  readonly onFull: (stream: Stream) => void
  /** Counts what is routed. */
  readonly tally?: Tally
  /** Of a record of kind status, and the streams that are to know of it. */
  readonly onStatus?: StatusHandler
}

export class Router {
  /** Streams with records to flush. Bounded by the number of streams. */
  readonly dirty: Stream[] = []
  /** By instrument x KIND_COUNT + kind. Grows with the instruments that are subscribed. */
  readonly #lists: (Stream[] | undefined)[] = []
  readonly #options: RouterOptions
  readonly #counts: Float64Array

  constructor(options: RouterOptions) {
    this.#options = options
    this.#counts = options.tally?.counts ?? new Float64Array(0)
  }

  add(instrument: number, kind: number, stream: Stream): void {
    const index = instrument * KIND_COUNT + kind
    while (this.#lists.length <= index) this.#lists.push(undefined)
    const list = this.#lists[index]
    if (list === undefined) this.#lists[index] = [stream]
    else list.push(stream)
  }

  remove(instrument: number, kind: number, stream: Stream): void {
    const index = instrument * KIND_COUNT + kind
    const list = this.#lists[index]
    if (list === undefined) return
    const at = list.indexOf(stream)
    if (at >= 0) list.splice(at, 1)
    if (list.length === 0) this.#lists[index] = undefined
  }

  /** Appends the records [from, to) of the batch to the frames of the streams that carry them. */
  route(batch: TickBatch, from = 0, to = batch.count): void {
    const { words, bytes } = batch
    const lists = this.#lists
    const counts = this.#counts
    // Records in a row that one stream alone carries are appended in one piece.
    let run: Stream | undefined
    let runFrom = from
    for (let i = from; i < to; i++) {
      const kind = bytes[i * TICK_BYTES + OFFSET.kind] as number
      const instrument = (words[i * TICK_WORDS + WORD.instrument] as number) >>> 0
      const index = instrument * KIND_COUNT + kind
      const list = kind < KIND_COUNT ? lists[index] : undefined
      // Beyond the end it changes nothing.
      if (kind < KIND_COUNT) counts[index] = (counts[index] as number) + 1
      const only = list?.length === 1 && kind !== KIND.status ? list[0] : undefined
      if (only !== run) {
        if (run !== undefined) this.#appendRun(run, batch, runFrom, i)
        run = only
        runFrom = i
      }
      if (only !== undefined || list === undefined) continue
      if (kind === KIND.status) {
        this.#options.onStatus?.(list, batch, i, false)
        continue
      }
      for (let s = 0; s < list.length; s++) this.append(list[s] as Stream, words, i * TICK_WORDS)
    }
    if (run !== undefined) this.#appendRun(run, batch, runFrom, to)
    if (this.#options.tally !== undefined) this.#options.tally.seq += to - from
  }

  /** The streams that carry these records; undefined = none does. */
  streamsOf(instrument: number, kind: number): readonly Stream[] | undefined {
    return this.#lists[instrument * KIND_COUNT + kind]
  }

  /** A record of kind status among records that are not routed. */
  tellLost(batch: TickBatch, index: number): void {
    const list = this.#lists[batch.instrument(index) * KIND_COUNT + KIND.status]
    if (list !== undefined) this.#options.onStatus?.(list, batch, index, true)
  }

  /** As `route`, for one record of known instrument and kind. */
  routeOne(instrument: number, kind: number, words: Int32Array, wordIndex: number): void {
    const list = this.#lists[instrument * KIND_COUNT + kind]
    if (list === undefined) return
    for (let s = 0; s < list.length; s++) this.append(list[s] as Stream, words, wordIndex)
  }

  append(stream: Stream, words: Int32Array, wordIndex: number): void {
    this.#prepare(stream)
    stream.frame.append(words, wordIndex)
  }

  #appendRun(stream: Stream, batch: TickBatch, from: number, to: number): void {
    for (let at = from; at < to; ) {
      this.#prepare(stream)
      at += stream.frame.appendRun(batch, at, to)
    }
  }

  /** Makes room in the stream's frame, and sees to it that it is flushed. */
  #prepare(stream: Stream): void {
    if (stream.frame.isFull) this.#options.onFull(stream)
    if (stream.isDirty) return
    stream.isDirty = true
    this.dirty.push(stream)
  }
}
