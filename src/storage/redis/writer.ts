// Writes latest values to Redis: one pipeline a flush.
//
//   <prefix>latest:<venue>:<symbol>   hash of the newest values (encode.ts)
//   <prefix>instruments               set of <venue>:<symbol>
//   <prefix>stream                    one entry a changed value, capped; conflated, not a history
//
// Lives as long as its connection; after any failure a new one writes all values again. Writing a
// value twice does no harm to the hashes; the stream may then repeat an entry.

import type { ChainableCommander, Redis } from 'ioredis'
import { TickdError } from '../../errors.ts'
import type { TickBatch } from '../../tick/batch.ts'
import type { Instrument } from '../../tick/instruments.ts'
import { KIND_NAMES } from '../../tick/layout.ts'
import { connect, explain } from './connection.ts'
import { latestFields } from './encode.ts'

export interface RedisWriterOptions {
  url: string
  prefix: string
  streamEntriesMax: number
  connectTimeoutMs: number
  onLost: () => void
}

export class RedisWriter {
  readonly #options: RedisWriterOptions
  readonly #redis: Redis
  #pipeline: ChainableCommander
  /** Instruments 1 … this are in the set. */
  #instrumentCount = 0
  /** Values and stream entries in the pipeline. */
  values = 0
  streamEntries = 0

  private constructor(options: RedisWriterOptions, redis: Redis) {
    this.#options = options
    this.#redis = redis
    this.#pipeline = redis.pipeline()
  }

  /** Throws TickdError REDIS_UNREACHABLE or REDIS_REFUSED. */
  static async open(options: RedisWriterOptions): Promise<RedisWriter> {
    const redis = await connect(options.url, options.connectTimeoutMs, options.onLost)
    return new RedisWriter(options, redis)
  }

  /** Adds the instruments up to `count` that this connection has not named yet. */
  addInstruments(count: number, get: (id: number) => Instrument | undefined): void {
    if (this.#instrumentCount >= count) return
    const names: string[] = []
    for (let id = this.#instrumentCount + 1; id <= count; id++) {
      const instrument = get(id)
      if (instrument !== undefined) names.push(`${instrument.venue}:${instrument.symbol}`)
    }
    this.#pipeline.sadd(`${this.#options.prefix}instruments`, ...names)
    this.#instrumentCount = count
  }

  /** Adds the value of tick `index` of the batch. */
  addValue(instrument: Instrument, batch: TickBatch, index: number, seq: number): void {
    const { prefix, streamEntriesMax } = this.#options
    const { venue, symbol } = instrument
    const fields = latestFields(batch, index, seq)
    this.#pipeline.hset(`${prefix}latest:${venue}:${symbol}`, ...fields)
    this.values++
    if (streamEntriesMax === 0) return
    const kind = KIND_NAMES[batch.kind(index)] as string
    const head = ['type', kind, 'venue', venue, 'symbol', symbol]
    const key = `${prefix}stream`
    this.#pipeline.xadd(key, 'MAXLEN', '~', streamEntriesMax, '*', ...head, ...fields)
    this.streamEntries++
  }

  /** Sends what was added. After a throw the writer is of no more use. */
  async flush(): Promise<void> {
    const pipeline = this.#pipeline
    this.#pipeline = this.#redis.pipeline()
    this.values = 0
    this.streamEntries = 0
    try {
      const replies = await pipeline.exec()
      for (const [error] of replies ?? []) if (error !== null) throw error
    } catch (thrown) {
      throw explainReply(thrown, this.#options.url)
    }
  }

  close(): void {
    this.#redis.disconnect()
  }
}

/** A full Redis answers, and says no. */
function explainReply(thrown: unknown, url: string): TickdError {
  const said = thrown instanceof Error ? thrown.message : ''
  if (!said.startsWith('OOM')) return explain(thrown, url)
  return new TickdError(
    'REDIS_REFUSED',
    `Redis is full (${said}); raise its maxmemory, or lower redis.stream_entries_max`,
    { canRetry: true, cause: thrown },
  )
}
