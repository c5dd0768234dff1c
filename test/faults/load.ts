// A pusher that keeps its promise: trades with identity, in batches with ids, each batch sent again
// until the daemon has acknowledged it, whatever happens to the daemon.
//
// Identity: pusher p pushes the instrument `faults:P<p>`, with trade ids 1, 2, 3 … in order. So
// what must be in the database is known by two numbers, and order and repetition can be seen in it.
// Bounded: a pusher has a window of batches without acknowledgement.

import { setTimeout as delay } from 'node:timers/promises'
import type { Random } from '../../src/source/random.ts'

export const VENUE = 'faults'
/** Trades of a round lie in an hour of their own: the database finds them without reading all. */
const FIRST_HOUR = Date.UTC(2026, 0, 1)
const HOUR_MS = 3_600_000

export interface Batch {
  readonly id: string
  readonly firstTrade: number
  readonly count: number
  readonly body: Buffer
}

export interface LoadOptions {
  /** Number of the pusher: names its instrument. */
  readonly number: number
  /** Port of the way to the daemon. */
  readonly port: number
  readonly random: Random
  readonly batchTradesMax: number
  /** Between two batches. */
  readonly paceMs: number
  /** A wrong answer: it cannot be mended by sending again. */
  readonly onViolation: (text: string) => void
}

/** What became of a batch, as TCP and HTTP say it alike. */
export interface Answer {
  readonly accepted?: number
  readonly repeated?: number
  readonly rejected?: number
  readonly shard?: number
  /** Last sequence of its records. */
  readonly lastSeq?: number | null
}

export abstract class Load {
  readonly symbol: string
  /** Trades in acknowledged batches: ids 1 … this. */
  acknowledged = 0
  /** Batches that were sent again. */
  retries = 0
  /** Batches that had been stored by an earlier try. */
  repeated = 0
  /** Sequence behind the acknowledged records, and their shard. */
  endSeq = 0
  shard = 0
  protected readonly options: LoadOptions
  #made = 0
  #batches = 0
  #isPaused = true
  #isOver = false

  constructor(options: LoadOptions) {
    this.options = options
    this.symbol = `P${options.number}`
  }

  /** Makes batches, and sees to it that they are sent, until `end`. */
  abstract run(): Promise<void>

  resume(): void {
    this.#isPaused = false
  }

  pause(): void {
    this.#isPaused = true
  }

  end(): void {
    this.#isOver = true
  }

  /** All that was made is acknowledged. */
  get isSettled(): boolean {
    return this.acknowledged === this.#made
  }

  get isOver(): boolean {
    return this.#isOver
  }

  /** Event time of the trades made from now on: begins at this hour. */
  hour = 0

  protected get mayMake(): boolean {
    return !this.#isPaused && !this.#isOver
  }

  protected async pace(): Promise<void> {
    await delay(this.options.paceMs)
  }

  protected make(): Batch {
    const { random, batchTradesMax, number } = this.options
    // Mostly small ones, some large.
    const most = random.below(4) === 0 ? batchTradesMax : Math.ceil(batchTradesMax / 8)
    const count = 1 + random.below(most)
    const firstTrade = this.#made + 1
    this.#made += count
    const id = `${number}-${this.#batches++}`
    return { id, firstTrade, count, body: this.#render(firstTrade, count) }
  }

  /** Takes the answer to a batch, which says that it is durable. */
  protected settle(batch: Batch, answer: Answer): void {
    const { accepted = 0, repeated = 0, rejected = 0, lastSeq } = answer
    if (accepted + repeated !== batch.count || rejected !== 0) {
      const text = `batch ${batch.id} of ${batch.count} trades: ${JSON.stringify(answer)}`
      this.options.onViolation(`wrongly acknowledged: ${text}`)
    }
    if (repeated > 0) this.repeated++
    this.acknowledged = batch.firstTrade + batch.count - 1
    this.shard = answer.shard ?? 0
    this.endSeq = Math.max(this.endSeq, (lastSeq ?? -1) + 1)
  }

  #render(firstTrade: number, count: number): Buffer {
    let text = ''
    for (let id = firstTrade; id < firstTrade + count; id++) {
      const time = new Date(hourStart(this.hour) + (id % HOUR_MS)).toISOString()
      text +=
        `{"type":"trade","venue":"${VENUE}","symbol":"${this.symbol}","ts_event":"${time}",` +
        `"id":"${id}","side":"buy","price":"${1 + (id % 1000)}.5","size":"1"}\n`
    }
    return Buffer.from(text)
  }
}

/** Milliseconds since 1970 at which an hour of trades begins. */
export function hourStart(hour: number): number {
  return FIRST_HOUR + hour * HOUR_MS
}
