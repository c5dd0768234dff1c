// Book snapshots of a Binance source: fetches what the snapshot queue says, and passes the answers
// on as frames. A snapshot, unlike the stream, can wait for room on the ring.

import type { Clock } from '../../clock.ts'
import type { SourceConfigOf } from '../../config/schema.ts'
import type { Log } from '../../ops/log.ts'
import { venueSymbol } from '../../tick/symbols.ts'
import { LogRepeats } from '../log-repeats.ts'
import type { SourceCapture } from '../raw-capture.ts'
import type { FrameSink } from '../source.ts'
import { BinanceRest, type SnapshotOutcome } from './binance-rest.ts'
import {
  SnapshotQueue,
  SPOT_WEIGHT_MAX,
  spotDepthWeight,
  USDM_WEIGHT_MAX,
  usdmDepthWeight,
} from './binance-snapshots.ts'
import { type BinanceFacts, snapshotLimit, wrapSnapshot } from './binance-wire.ts'

export interface BinanceBooksOptions {
  config: SourceConfigOf<'binance'>
  facts: BinanceFacts
  sink: FrameSink
  clock: Clock
  log: Log
  capture?: SourceCapture | undefined
  newId: () => number
}

/** A snapshot that waits for room, and when it came. */
interface Waiting {
  symbol: string
  frame: Buffer
  recvSec: number
  recvNsec: number
}

export class BinanceBooks {
  readonly #options: BinanceBooksOptions
  readonly #symbols: ReadonlySet<string>
  readonly #limit: number
  readonly #queue: SnapshotQueue
  readonly #rest: BinanceRest
  readonly #failures: LogRepeats
  /** Connection id of the requests in a capture. */
  readonly #conn: number
  #waiting: Waiting | undefined
  #limitsAsked = false
  #stopped = false

  constructor(options: BinanceBooksOptions) {
    const { config, facts, log } = options
    this.#options = options
    this.#symbols = new Set(config.symbols.map((symbol) => venueSymbol(config.venue, symbol)))
    this.#limit = snapshotLimit(facts, config.snapshot_limit)
    this.#rest = new BinanceRest(config.rest_endpoint, facts)
    this.#failures = new LogRepeats(log, 'book snapshots failed; trying again')
    this.#conn = options.newId()
    const isUsdm = config.venue === 'binance-usdm'
    this.#queue = new SnapshotQueue({
      limit: this.#limit,
      weightMax: isUsdm ? USDM_WEIGHT_MAX : SPOT_WEIGHT_MAX,
      weightOf: isUsdm ? usdmDepthWeight : spotDepthWeight,
    })
  }

  /** The book of the symbol, in the venue's spelling, needs a snapshot. */
  want(symbol: string): void {
    if (this.#symbols.has(symbol)) this.#queue.want(symbol)
  }

  doWork(): number {
    const nowMs = this.#options.clock.monoMs()
    this.#failures.tick(nowMs)
    if (this.#waiting !== undefined) return this.#pass(this.#waiting) ? 1 : 0
    if (this.#stopped) return 0
    const symbol = this.#queue.next(nowMs)
    if (symbol === undefined) return 0
    void this.#fetch(symbol)
    return 1
  }

  stop(): void {
    this.#stopped = true
  }

  drained(): boolean {
    return this.#waiting === undefined
  }

  async close(): Promise<void> {
    this.#stopped = true
    await this.#rest.close()
  }

  async #fetch(symbol: string): Promise<void> {
    if (!this.#limitsAsked) {
      this.#limitsAsked = true
      const weightMax = await this.#rest.weightMax(symbol)
      if (weightMax !== undefined) this.#queue.setWeightMax(weightMax)
    }
    const outcome = await this.#rest.snapshot(symbol, this.#limit)
    if (!this.#stopped) this.#settle(symbol, outcome)
  }

  #settle(symbol: string, outcome: SnapshotOutcome): void {
    const { sink, clock, log, config, capture } = this.#options
    const nowMs = clock.monoMs()
    switch (outcome.type) {
      case 'snapshot': {
        this.#queue.done(nowMs, outcome.usedWeight)
        sink.counters.add('snapshots')
        sink.stamp()
        capture?.http(this.#conn, sink, outcome.url, outcome.body)
        const { recvSec, recvNsec } = sink
        this.#pass({ symbol, frame: wrapSnapshot(symbol, outcome.body), recvSec, recvNsec })
        break
      }
      case 'refused':
        this.#queue.refused()
        sink.counters.add('refusals')
        log.warn(
          { source: config.name, symbol, reason: outcome.reason },
          'the venue refused a book snapshot; the symbol has no book',
        )
        break
      case 'failed':
        this.#queue.failed(nowMs, outcome.waitMs)
        this.#failures.note(nowMs, 0, {
          source: config.name,
          symbol,
          reason: outcome.reason,
          wait_ms: outcome.waitMs,
        })
    }
  }

  #pass(waiting: Waiting): boolean {
    const { sink, facts } = this.#options
    const { frame, recvSec, recvNsec } = waiting
    sink.stampAt(recvSec, recvNsec)
    const passed = sink.offer(facts.format, 0, 0, frame, 0, frame.length)
    if (!passed) sink.held()
    this.#waiting = passed ? undefined : waiting
    return passed
  }
}
