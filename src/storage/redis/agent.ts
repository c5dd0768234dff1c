// The role `redis`: keeps the newest value of each instrument and kind in Redis.
//
// When the latest table has changed, and flush_ms after the last time at the earliest, it compares
// the table's versions with those it has written, and sends what differs in one pipeline: the cost
// depends on the number of instruments, not of ticks, and there is none while nothing changes. A
// Redis that is slow or away costs nobody else anything; once it is back, all values are written
// again. One flush is under way at a time, so that no more than one waits in memory.

import type { Clock } from '../../clock.ts'
import type { Config } from '../../config/schema.ts'
import { errorText, TickdError } from '../../errors.ts'
import { REDIS_CHECK_MS, REDIS_PIPELINE_VALUES_MAX, STORE_START_MS_MAX } from '../../limits.ts'
import type { CounterName } from '../../ops/counter-catalog.ts'
import type { CounterSet } from '../../ops/counters.ts'
import type { Log } from '../../ops/log.ts'
import { type Agent, IDLE_MS_MAX } from '../../threads/agent.ts'
import { TickBatch } from '../../tick/batch.ts'
import type { Instrument, InstrumentTable } from '../../tick/instruments.ts'
import { KIND } from '../../tick/layout.ts'
import { Breaker, type BreakerBoard } from '../breaker.ts'
import type { RedisTarget } from './config.ts'
import { RedisWriter, type RedisWriterOptions } from './writer.ts'

/** Kinds of which there is a latest value. */
const KINDS = [KIND.trade, KIND.quote, KIND.price, KIND.status]

/** What is needed of the latest table (src/aggregate/latest-table.ts). */
export interface LatestValues {
  /** Changes with each write; 0 = never written. */
  version(instrument: number, kind: number): number
  /** Copies the record to tick `index` of `out`. Returns its sequence; -1 = none to be had. */
  read(instrument: number, kind: number, out: TickBatch, index: number): number
}

/** What tells that the table has changed (src/aggregate/change-notice.ts). */
export interface LatestNotice {
  /** A change from here on is told. */
  arm(): void
  readonly isTaken: boolean
}

export interface RedisAgentOptions {
  readonly config: Config['redis']
  /** Where Redis is now. */
  readonly target: () => RedisTarget
  readonly latest: LatestValues
  readonly notice: LatestNotice
  readonly instruments: InstrumentTable
  readonly clock: Clock
  readonly log: Log
  readonly counters: CounterSet<CounterName<'redis'>>
  readonly board: BreakerBoard
  /** Asks for a duty cycle. */
  readonly wake: () => void
  /** Opens the way to Redis; a simulation has its own. */
  readonly open?: (options: RedisWriterOptions) => Promise<LatestWriter>
  /** Numbers in [0, 1), for the jitter of waits. */
  readonly random?: () => number
}

/** The writer, as this agent uses it. */
export type LatestWriter = Pick<RedisWriter, keyof RedisWriter>

export class RedisAgent implements Agent {
  readonly roleName = 'redis'
  readonly #options: RedisAgentOptions
  readonly #breaker: Breaker
  /** Versions as last written, or being written: (instrument - 1) x KINDS.length + kind's rank. */
  readonly #versions: Int32Array
  readonly #scratch = new TickBatch(1)
  #writer: LatestWriter | undefined
  #isOpening = false
  /** A flush or a check is under way. */
  #isAsking = false
  #isDraining = false
  #isClosed = false
  #flushedMs = Number.NEGATIVE_INFINITY
  #checkedMs = Number.NEGATIVE_INFINITY
  /** Since when Redis owes an answer; and the bytes it had sent by then. */
  #progressMs = 0
  #progressBytes = 0
  /** The table is to be looked at, whatever the notice says. */
  #mustScan = true
  /** Where the next scan begins: it was cut off here, as the pipeline was full. */
  #scanFrom = 0
  #saidError = ''
  #lastError: TickdError | undefined

  constructor(options: RedisAgentOptions) {
    const { clock, board, random, instruments } = options
    this.#options = options
    this.#breaker = new Breaker({
      name: this.roleName,
      clock,
      board,
      ...(random === undefined ? {} : { random }),
    })
    this.#versions = new Int32Array(instruments.capacity * KINDS.length)
  }

  /** A Redis that is away, or says no, holds a start up for a moment only. */
  async onStart(): Promise<void> {
    await this.#tryOpen(STORE_START_MS_MAX)
  }

  doWork(): number {
    const nowMs = this.#options.clock.monoMs()
    const writer = this.#writer
    if (writer === undefined) {
      if (!this.#isOpening) void this.#tryOpen()
      return 0
    }
    if (this.#isAsking) {
      this.#watch(writer, nowMs)
      return 0
    }
    if (this.#isDue(nowMs)) return this.#flush(writer, nowMs)
    if (nowMs - this.#checkedMs >= REDIS_CHECK_MS) this.#check(writer, nowMs)
    return 0
  }

  idleMsMax(): number {
    if (this.#writer === undefined) {
      return this.#isOpening ? IDLE_MS_MAX : Math.min(this.#breaker.retryInMs, IDLE_MS_MAX)
    }
    if (this.#isAsking) return Math.min(this.#options.config.timeout_ms, IDLE_MS_MAX)
    if (!this.#hasNews()) return IDLE_MS_MAX
    const sinceMs = this.#options.clock.monoMs() - this.#flushedMs
    return Math.min(Math.max(0, this.#options.config.flush_ms - sinceMs), IDLE_MS_MAX)
  }

  drain(): boolean {
    this.#isDraining = true
    // A stop does not wait to hear the same again from one that is away.
    if (this.#writer === undefined) return !this.#isOpening || this.#lastError !== undefined
    return !this.#isAsking && !this.#hasChanged()
  }

  onClose(): void {
    this.#isClosed = true
    this.#release()
  }

  /** For readiness and for tests. */
  status(): { connected: boolean; lastError: TickdError | undefined } {
    return { connected: this.#writer !== undefined, lastError: this.#lastError }
  }

  async #tryOpen(openMsMax?: number): Promise<void> {
    if (this.#isClosed || !this.#breaker.tryNow()) return
    const { config, log, counters, open = RedisWriter.open } = this.#options
    this.#isOpening = true
    let writer: LatestWriter | undefined
    try {
      writer = await open({
        target: this.#options.target(),
        prefix: config.prefix,
        streamEntriesMax: config.stream_entries_max,
        timeoutMs: config.timeout_ms,
        ...(openMsMax === undefined ? {} : { openMsMax }),
        onLost: () => {
          if (writer !== undefined && writer === this.#writer) this.#fail(lost())
        },
      })
      if (this.#isClosed) return writer.close()
      // Nothing is known of what this Redis holds: every value is new to it.
      this.#versions.fill(0)
      this.#scanFrom = 0
      this.#mustScan = true
      this.#writer = writer
      this.#checkedMs = this.#options.clock.monoMs()
      counters.set('connected', 1)
      log.info({}, 'Redis connected')
    } catch (thrown) {
      this.#fail(thrown)
    } finally {
      this.#isOpening = false
      this.#options.wake()
    }
  }

  /** Something in the table may not have been written. */
  #hasNews(): boolean {
    return this.#mustScan || this.#scanFrom > 0 || this.#options.notice.isTaken
  }

  #isDue(nowMs: number): boolean {
    if (!this.#hasNews()) return false
    if (this.#isDraining || this.#scanFrom > 0) return true
    return nowMs - this.#flushedMs >= this.#options.config.flush_ms
  }

  /** Sends the values that changed. Returns how many. */
  #flush(writer: LatestWriter, nowMs: number): number {
    const { instruments, notice, counters } = this.#options
    this.#flushedMs = nowMs
    this.#mustScan = false
    // Before the look at the table: what changes after it is told.
    notice.arm()
    const count = instruments.count
    writer.addInstruments(count, (id) => instruments.get(id))
    this.#scan(writer, count * KINDS.length)
    const { values, streamEntries } = writer
    if (values === 0) {
      this.#onAnswered()
      return 0
    }
    this.#ask(writer, writer.flush(), () => {
      counters.add('flushes')
      counters.add('keys', values)
      counters.add('stream_entries', streamEntries)
    })
    return values
  }

  #check(writer: LatestWriter, nowMs: number): void {
    this.#checkedMs = nowMs
    this.#ask(writer, writer.check(), () => {})
  }

  #ask(writer: LatestWriter, answer: Promise<void>, onAnswer: () => void): void {
    this.#isAsking = true
    this.#progressMs = this.#options.clock.monoMs()
    this.#progressBytes = writer.bytesRead
    answer.then(
      () => {
        if (writer !== this.#writer) return
        this.#isAsking = false
        onAnswer()
        this.#onAnswered()
        if (writer.hasMoved) this.#forgetMoved(writer)
        this.#options.wake()
      },
      (thrown) => {
        // Of a writer that was given up, this is only the echo.
        if (writer === this.#writer) this.#fail(thrown)
      },
    )
  }

  #onAnswered(): void {
    this.#breaker.succeeded()
    this.#saidError = ''
    this.#lastError = undefined
  }

  /** A Redis that is slow is waited for; one that says nothing at all is given up. */
  #watch(writer: LatestWriter, nowMs: number): void {
    const { timeout_ms: timeoutMs } = this.#options.config
    const bytes = writer.bytesRead
    if (bytes !== this.#progressBytes) {
      this.#progressBytes = bytes
      this.#progressMs = nowMs
    } else if (nowMs - this.#progressMs > timeoutMs) {
      this.#fail(stalled(timeoutMs), true)
    }
  }

  #scan(writer: LatestWriter, slotCount: number): void {
    const { latest, instruments } = this.#options
    // The probe of a Redis that has failed is one value, not ten thousand.
    const valuesMax = this.#breaker.state === 'half-open' ? 1 : REDIS_PIPELINE_VALUES_MAX
    let slot = this.#scanFrom
    for (; slot < slotCount && writer.values < valuesMax; slot++) {
      const id = Math.floor(slot / KINDS.length) + 1
      const kind = KINDS[slot % KINDS.length] as number
      const version = latest.version(id, kind)
      if (version === this.#versions[slot]) continue
      // The copy may be newer than the version: then it is written once more next time.
      const seq = latest.read(id, kind, this.#scratch, 0)
      if (seq < 0) {
        // Its writer stopped in the midst of it: look again, as no notice need come.
        this.#mustScan = true
        continue
      }
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

  /** Keys that have another master are new to it. */
  #forgetMoved(writer: LatestWriter): void {
    const { instruments } = this.#options
    for (let id = 1; id <= instruments.count; id++) {
      const instrument = instruments.get(id)
      if (instrument === undefined || !writer.isMoved(instrument)) continue
      this.#versions.fill(0, (id - 1) * KINDS.length, id * KINDS.length)
    }
    writer.forgetMoved()
    this.#scanFrom = 0
    this.#mustScan = true
  }

  /** Gives the connection up; the next one writes everything. `opens`: as of the breaker. */
  #fail(thrown: unknown, opens = false): void {
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
    const retryMs = Math.round(this.#breaker.failed(error.message, opens || !error.canRetry))
    const fields = { code: error.code, retryMs, error: error.message }
    // The same trouble again is worth a line only to those who look for it.
    if (isRepeat) log.debug(fields, 'Redis still fails')
    else log.error(fields, 'Redis failed; its latest values stand still')
  }

  #release(): void {
    const writer = this.#writer
    this.#writer = undefined
    this.#isAsking = false
    writer?.close()
    this.#options.counters.set('connected', 0)
  }
}

function lost(): TickdError {
  return new TickdError('REDIS_UNREACHABLE', 'the connection to Redis was lost', { canRetry: true })
}

function stalled(timeoutMs: number): TickdError {
  return new TickdError(
    'REDIS_UNREACHABLE',
    `Redis said nothing for ${timeoutMs} ms (redis.timeout_ms); connecting anew`,
    { canRetry: true },
  )
}
