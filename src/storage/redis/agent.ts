// The role `redis`: keeps the newest value of each instrument and kind in Redis.
//
// Every flush_ms it compares the latest table's versions with those it has written, and sends what
// changed in one pipeline: the cost depends on the number of instruments, not of ticks. A Redis
// that is slow or away costs nobody else anything; once it is back, all values are written again.

import type { Clock } from '../../clock.ts'
import type { Config } from '../../config/schema.ts'
import { errorText, TickdError } from '../../errors.ts'
import { REDIS_PIPELINE_VALUES_MAX, STORE_STALL_MS_MAX } from '../../limits.ts'
import type { CounterName } from '../../ops/counter-catalog.ts'
import type { CounterSet } from '../../ops/counters.ts'
import type { Log } from '../../ops/log.ts'
import { type Agent, IDLE_MS_MAX } from '../../threads/agent.ts'
import { TickBatch } from '../../tick/batch.ts'
import type { Instrument, InstrumentTable } from '../../tick/instruments.ts'
import { KIND } from '../../tick/layout.ts'
import { Backoff } from '../backoff.ts'
import { RedisWriter } from './writer.ts'

const CONNECT_MS_MAX = 10_000
/** Kinds of which there is a latest value. */
const KINDS = [KIND.trade, KIND.quote, KIND.price, KIND.status]

/** What is needed of the latest table (src/aggregate/latest-table.ts). */
export interface LatestValues {
  /** Changes with each write; 0 = never written. */
  version(instrument: number, kind: number): number
  /** Copies the record to tick `index` of `out`. Returns its sequence; -1 = none to be had. */
  read(instrument: number, kind: number, out: TickBatch, index: number): number
}

export interface RedisAgentOptions {
  config: Config['redis']
  /** Where Redis is now. */
  url: () => string
  latest: LatestValues
  instruments: InstrumentTable
  clock: Clock
  log: Log
  counters: CounterSet<CounterName<'redis'>>
  /** Asks for a duty cycle. */
  wake: () => void
}

export class RedisAgent implements Agent {
  readonly roleName = 'redis'
  readonly #options: RedisAgentOptions
  readonly #backoff: Backoff
  /** Versions as last written, or being written: (instrument - 1) x KINDS.length + kind's rank. */
  readonly #versions: Int32Array
  readonly #scratch = new TickBatch(1)
  #writer: RedisWriter | undefined
  #isOpening = false
  #isFlushing = false
  #isDraining = false
  #isClosed = false
  #flushedMs = Number.NEGATIVE_INFINITY
  /** Where the next scan begins: it was cut off here, as the pipeline was full. */
  #scanFrom = 0
  #saidError = ''
  #lastError: TickdError | undefined

  constructor(options: RedisAgentOptions) {
    this.#options = options
    this.#backoff = new Backoff(options.clock)
    this.#versions = new Int32Array(options.instruments.capacity * KINDS.length)
  }

  async onStart(): Promise<void> {
    await this.#open()
  }

  doWork(): number {
    const { clock, config } = this.#options
    if (this.#writer === undefined) {
      if (!this.#isOpening && this.#backoff.isOver()) void this.#open()
      return 0
    }
    const sinceFlushMs = clock.monoMs() - this.#flushedMs
    if (this.#isFlushing) {
      if (sinceFlushMs > STORE_STALL_MS_MAX) this.#fail(stalled())
      return 0
    }
    if (sinceFlushMs < config.flush_ms && this.#scanFrom === 0 && !this.#isDraining) return 0
    return this.#flush(this.#writer)
  }

  idleMsMax(): number {
    return Math.min(this.#options.config.flush_ms, IDLE_MS_MAX)
  }

  drain(): boolean {
    this.#isDraining = true
    if (this.#writer === undefined) return !this.#isOpening
    return !this.#isFlushing && !this.#hasChanged()
  }

  onClose(): void {
    this.#isClosed = true
    this.#release()
  }

  /** For readiness and for tests. */
  status(): { connected: boolean; lastError: TickdError | undefined } {
    return { connected: this.#writer !== undefined, lastError: this.#lastError }
  }

  async #open(): Promise<void> {
    const { config, log, counters } = this.#options
    this.#isOpening = true
    let writer: RedisWriter | undefined
    try {
      writer = await RedisWriter.open({
        url: this.#options.url(),
        prefix: config.prefix,
        streamEntriesMax: config.stream_entries_max,
        connectTimeoutMs: CONNECT_MS_MAX,
        onLost: () => {
          if (writer !== undefined && writer === this.#writer) this.#fail(lost())
        },
      })
      if (this.#isClosed) return writer.close()
      // Nothing is known of what this Redis holds: every value is new to it.
      this.#versions.fill(0)
      this.#scanFrom = 0
      this.#writer = writer
      this.#lastError = undefined
      counters.set('connected', 1)
      log.info({}, 'Redis connected')
    } catch (thrown) {
      this.#fail(thrown)
    } finally {
      this.#isOpening = false
      this.#options.wake()
    }
  }

  /** Sends the values that changed. Returns how many. */
  #flush(writer: RedisWriter): number {
    const { instruments, clock, counters } = this.#options
    this.#flushedMs = clock.monoMs()
    const count = instruments.count
    writer.addInstruments(count, (id) => instruments.get(id))
    this.#scan(writer, count * KINDS.length)
    const { values, streamEntries } = writer
    if (values === 0) return 0
    this.#isFlushing = true
    writer.flush().then(
      () => {
        if (writer !== this.#writer) return
        this.#isFlushing = false
        this.#backoff.reset()
        this.#saidError = ''
        counters.add('flushes')
        counters.add('keys', values)
        counters.add('stream_entries', streamEntries)
        this.#options.wake()
      },
      (thrown) => {
        if (writer === this.#writer) this.#fail(thrown)
      },
    )
    return values
  }

  #scan(writer: RedisWriter, slotCount: number): void {
    const { latest, instruments } = this.#options
    let slot = this.#scanFrom
    for (; slot < slotCount && writer.values < REDIS_PIPELINE_VALUES_MAX; slot++) {
      const id = Math.floor(slot / KINDS.length) + 1
      const kind = KINDS[slot % KINDS.length] as number
      const version = latest.version(id, kind)
      if (version === this.#versions[slot]) continue
      // The copy may be newer than the version: then it is written once more next time.
      const seq = latest.read(id, kind, this.#scratch, 0)
      if (seq < 0) continue
      this.#versions[slot] = version
      writer.addValue(instruments.get(id) as Instrument, this.#scratch, 0, seq)
    }
    this.#scanFrom = slot < slotCount ? slot : 0
  }

  #hasChanged(): boolean {
    const { latest, instruments } = this.#options
    const slotCount = instruments.count * KINDS.length
    for (let slot = 0; slot < slotCount; slot++) {
      const version = latest.version(
        Math.floor(slot / KINDS.length) + 1,
        KINDS[slot % KINDS.length] as number,
      )
      if (version !== this.#versions[slot]) return true
    }
    return false
  }

  /** Gives the connection up; the next one writes everything. */
  #fail(thrown: unknown): void {
    const { counters, log } = this.#options
    const error =
      thrown instanceof TickdError
        ? thrown
        : new TickdError('REDIS_UNREACHABLE', errorText(thrown), { cause: thrown })
    const isRepeat = this.#saidError === error.message
    this.#saidError = error.message
    this.#lastError = error
    this.#release()
    if (this.#isClosed) return
    counters.add('failures')
    const retryMs = Math.round(this.#backoff.next())
    const fields = { code: error.code, retryMs, error: error.message }
    // The same trouble again is worth a line only to those who look for it.
    if (isRepeat) log.debug(fields, 'Redis still fails')
    else log.error(fields, 'Redis failed; its latest values stand still')
  }

  #release(): void {
    const writer = this.#writer
    this.#writer = undefined
    this.#isFlushing = false
    writer?.close()
    this.#options.counters.set('connected', 0)
  }
}

function lost(): TickdError {
  return new TickdError('REDIS_UNREACHABLE', 'the connection to Redis was lost', { canRetry: true })
}

function stalled(): TickdError {
  return new TickdError(
    'REDIS_UNREACHABLE',
    `Redis did not answer for ${STORE_STALL_MS_MAX / 1000} s; connecting anew`,
    { canRetry: true },
  )
}
