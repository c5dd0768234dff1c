// The role `postgres`: stores the durable records of one shard, exactly once, at its own pace.
//
// Reads the journal from the position that the database has committed. While one batch is being
// stored, the next is read. A database that is slow or away costs nobody else anything: this
// falls behind in the journal, which keeps what is not stored. After any failure the connection is
// given up and, when the circuit breaker says so, opened anew at the committed position. What the
// database refuses for what is in it is dead-lettered, and the rest stored: refusals.ts.

import { errorText, TickdError } from '../../errors.ts'
import { PARTITION_DAYS_AHEAD_MAX, STORE_STALL_MS_MAX, STORE_START_MS_MAX } from '../../limits.ts'
import type { IncidentReport } from '../../ops/incidents.ts'
import { type Agent, IDLE_MS_MAX } from '../../threads/agent.ts'
import { Breaker } from '../breaker.ts'
import type { PostgresAgentOptions, StoreReader } from './agent-options.ts'
import { BatchPlan } from './batch-plan.ts'
import type { Lineage } from './connection.ts'
import { activeCopyKernel } from './copy-kernel.ts'
import { stalled } from './explain.ts'
import { FlushWatch } from './flush-watch.ts'
import { type Load, newLoad } from './load.ts'
import { DAY_S, FIRST_DAY } from './partitions.ts'
import { Refusals, RowsRefused, tooManyRefused } from './refusals.ts'
import { resume } from './resume.ts'
import { PostgresWriter, type Stored } from './writer.ts'

export type { PostgresAgentOptions, RefusedRecords, StoreReader } from './agent-options.ts'

/** A server that has nothing to do is given this part of a full batch as soon as it is there. */
const IDLE_SHARE = 8

export class PostgresAgent implements Agent {
  readonly roleName: string
  readonly #options: PostgresAgentOptions
  readonly #plan: BatchPlan
  readonly #breaker: Breaker
  readonly #refusals = new Refusals()
  #now: Load
  #next: Load
  #writer: PostgresWriter | undefined
  #reader: StoreReader | undefined
  /** While a connection is being opened: cuts that short. */
  #opening: AbortController | undefined
  #isStoring = false
  #isDraining = false
  #isClosed = false
  /** When the server last took or sent something while it owed us an answer. */
  #progressMs = 0
  /** When records were first seen that do not fill a batch; Infinity = none. */
  #waitingSinceMs = Number.POSITIVE_INFINITY
  /** Next sequence to store, as last heard of; -1 = not yet. */
  #committedSeq = -1
  /** Of this connection: another may be to a server that has lost what this one had. */
  #flushes = new FlushWatch()
  /** Of the server that was stored to last. */
  #lineage: Lineage | undefined
  #lastError: TickdError | undefined
  /** The trouble that was logged last, while it lasts. */
  #saidError = ''

  constructor(options: PostgresAgentOptions) {
    const capacity = options.config.batch_rows
    this.roleName = `postgres-${options.shard}`
    this.#options = options
    this.#plan = new BatchPlan(capacity)
    this.#breaker = new Breaker({
      name: this.roleName,
      clock: options.clock,
      board: options.breaker,
      ...(options.random === undefined ? {} : { random: options.random }),
    })
    this.#now = newLoad(capacity)
    this.#next = newLoad(capacity)
  }

  /** Throws when the database is there and not ours; one that is away, or busy, is waited for. */
  async onStart(): Promise<void> {
    await this.#open(STORE_START_MS_MAX)
    const error = this.#lastError
    if (error?.code === 'POSTGRES_CONFLICT' && !error.canRetry) throw error
  }

  doWork(): number {
    const nowMs = this.#options.clock.monoMs()
    const isStalled = nowMs - this.#progressMs > STORE_STALL_MS_MAX
    if (this.#writer === undefined) {
      if (this.#opening !== undefined && isStalled) this.#opening.abort()
      if (this.#opening === undefined && this.#breaker.tryNow()) void this.#open()
      return 0
    }
    if (this.#isStoring && isStalled) {
      this.#fail(stalled())
      return 0
    }
    const rows = this.#read(nowMs)
    if (!this.#isStoring && this.#isFlushDue()) this.#askFlushed()
    this.#storeNext()
    return rows
  }

  idleMsMax(): number {
    if (this.#breaker.state === 'open') return Math.min(this.#breaker.retryInMs, IDLE_MS_MAX)
    if (this.#waitingSinceMs === Number.POSITIVE_INFINITY) return IDLE_MS_MAX
    const waitedMs = this.#options.clock.monoMs() - this.#waitingSinceMs
    return Math.min(Math.max(this.#options.config.batch_ms - waitedMs, 0), IDLE_MS_MAX)
  }

  drain(): boolean {
    this.#isDraining = true
    if (this.#writer === undefined) return this.#opening === undefined
    return this.#writer.seq >= this.#options.durable()
  }

  onClose(): void {
    this.#isClosed = true
    this.#opening?.abort()
    this.#release()
    this.#options.refused.close()
  }

  /** For readiness and for tests. */
  status(): { connected: boolean; storedSeq: number; lastError: TickdError | undefined } {
    return {
      connected: this.#writer !== undefined,
      storedSeq: this.#options.counters.get('stored_seq'),
      lastError: this.#lastError,
    }
  }

  async #open(timeoutMsMax = Number.POSITIVE_INFINITY): Promise<void> {
    const { config, shard, instruments, log } = this.#options
    this.#opening = new AbortController()
    this.#progressMs = this.#options.clock.monoMs()
    let writer: PostgresWriter | undefined
    try {
      writer = await PostgresWriter.open({
        url: this.#options.url(),
        schema: config.schema,
        shard,
        connectTimeoutMs: Math.min(config.connect_timeout_ms, timeoutMsMax),
        lockTimeoutMs: Math.min(config.connect_timeout_ms, timeoutMsMax),
        after: this.#lineage,
        copyBufferBytes: config.copy_buffer_bytes,
        synchronousCommit: config.synchronous_commit,
        partitionDaysAhead: config.partition_days_ahead,
        instruments,
        kernel: this.#options.kernel ?? activeCopyKernel(),
        ...(this.#options.connect === undefined ? {} : { connect: this.#options.connect }),
        log,
        signal: this.#opening.signal,
        onProgress: () => {
          this.#progressMs = this.#options.clock.monoMs()
        },
        onLost: (error) => {
          // Before it is ours, open() itself throws.
          if (writer !== undefined && writer === this.#writer) this.#fail(error)
        },
      })
      const fromSeq = await this.#resume(writer)
      if (this.#isClosed) writer.close()
      else this.#begin(writer, fromSeq)
    } catch (thrown) {
      this.#fail(thrown)
    } finally {
      this.#opening = undefined
      this.#options.wake()
    }
  }

  /** Where to read on; the database is told when that is another journal's beginning. */
  async #resume(writer: PostgresWriter): Promise<number> {
    try {
      const { fromSeq, journal } = resume(writer.found, this.#options)
      if (journal !== undefined) await writer.jump(fromSeq, journal)
      return fromSeq
    } catch (thrown) {
      writer.close()
      throw thrown
    }
  }

  /** Opens the journal where the database left off. */
  #begin(writer: PostgresWriter, fromSeq: number): void {
    const { shard, counters, log, stored, flushed } = this.#options
    this.#writer = writer
    // Before any count of it: the ledger takes what follows for a new beginning, whoever's agent
    // had the connection before.
    counters.add('connects')
    this.#reader = this.#options.openReader(fromSeq)
    this.#flushes = new FlushWatch()
    flushed?.store(Math.min(flushed.load(), writer.seq))
    this.#now.batch.count = 0
    this.#next.batch.count = 0
    this.#lastError = undefined
    this.#lineage = writer.lineage ?? this.#lineage
    this.#countUnanswered(writer.seq)
    this.#committedSeq = writer.seq
    // With records to store, the first commit is what shows that the database does its work.
    if (writer.seq >= this.#options.durable()) this.#breaker.succeeded()
    stored.store(writer.seq)
    counters.set('stored_seq', writer.seq)
    counters.set('connected', 1)
    log.info({ shard, seq: writer.seq, host: writer.host }, 'PostgreSQL connected')
  }

  /** A commit whose answer was lost with the connection did store its records. */
  #countUnanswered(seq: number): void {
    const { shard, counters, log } = this.#options
    if (this.#committedSeq < 0) return
    if (seq < this.#committedSeq) {
      const back = { shard, from: seq, to: this.#committedSeq - 1 }
      log.warn(back, 'PostgreSQL has lost what it had committed; it is stored again')
      this.#raise('database_restored', `PostgreSQL lost records of shard ${shard}`, back)
      return
    }
    const refused = this.#refusals.committed(seq)
    counters.add('records', seq - this.#committedSeq - refused)
    counters.add('records_refused', refused)
  }

  /** Fills the spare batch, when there is a full one to be had or the wait is over. */
  #read(nowMs: number): number {
    const { config, durable } = this.#options
    const reader = this.#reader as StoreReader
    const { batch } = this.#next
    if (batch.count > 0) return 0
    const available = durable() - reader.seq
    if (available <= 0) {
      this.#waitingSinceMs = Number.POSITIVE_INFINITY
      return 0
    }
    this.#waitingSinceMs = Math.min(this.#waitingSinceMs, nowMs)
    const isDue = nowMs - this.#waitingSinceMs >= config.batch_ms || this.#isDraining
    const wanted = this.#isStoring ? config.batch_rows : config.batch_rows / IDLE_SHARE
    if (available < wanted && !isDue) return 0
    this.#waitingSinceMs = Number.POSITIVE_INFINITY
    try {
      reader.read(batch)
      // Not where it began: damaged records were passed over.
      this.#next.firstSeq = reader.seq - batch.count
      this.#next.epoch = reader.epoch
      this.#next.journal = reader.journal
      this.#next.start = reader.start
      this.#next.storedCount = 0
      return batch.count
    } catch (thrown) {
      // Segments that are missing are the operator's to bring back; ingest and the feed go on.
      this.#fail(thrown)
      return 0
    }
  }

  /** Starts the next transaction unless one is under way. */
  #storeNext(): void {
    const { clock } = this.#options
    if (this.#isStoring || this.#writer === undefined) return
    if (this.#now.storedCount >= this.#now.batch.count) {
      if (this.#next.batch.count === 0) return
      const done = this.#now
      this.#now = this.#next
      this.#next = done
      done.batch.count = 0
      done.storedCount = 0
    }
    clock.read()
    const today = Math.floor(clock.sec / DAY_S)
    const { batch, storedCount, firstSeq } = this.#now
    const from = firstSeq + storedCount
    const to = this.#refusals.limit(from, firstSeq + batch.count) - firstSeq
    this.#plan.build(batch, storedCount, FIRST_DAY, today + PARTITION_DAYS_AHEAD_MAX, to)
    const { culprits } = this.#refusals
    for (const seq of culprits.keys()) this.#plan.exclude(seq - firstSeq)
    this.#isStoring = true
    this.#progressMs = clock.monoMs()
    const writer = this.#writer
    writer.store({ ...this.#now, plan: this.#plan, culprits }, today).then(
      (stored) => this.#onStored(writer, stored),
      (thrown) => this.#onFailed(writer, thrown),
    )
  }

  #onStored(writer: PostgresWriter, stored: Stored): void {
    if (writer !== this.#writer) return
    const { counters } = this.#options
    this.#isStoring = false
    // Only now: a database that takes connections but no rows is not to be hammered.
    this.#breaker.succeeded()
    this.#refusals.committed(writer.seq)
    this.#saidError = ''
    this.#now.storedCount = this.#plan.to
    this.#committedSeq = writer.seq
    this.#options.stored.store(writer.seq)
    counters.set('stored_seq', writer.seq)
    counters.add('records', stored.rows)
    counters.add('records_refused', stored.refused)
    counters.add('batches')
    counters.add('bytes', stored.bytes)
    counters.add('partitions', stored.partitions)
    counters.add('instruments', stored.instruments)
    if (this.#isFlushDue()) this.#askFlushed()
    // The batch read meanwhile goes out at once: the server is idle until it does.
    else this.#storeNext()
    this.#options.wake()
  }

  #isFlushDue(): boolean {
    const { flushed, clock } = this.#options
    return flushed !== undefined && this.#flushes.isDue(this.#committedSeq, clock.monoMs())
  }

  /** Learns what is on the server's disk; takes its turn as a batch does. */
  #askFlushed(): void {
    const { clock, flushed, wake } = this.#options
    const writer = this.#writer as PostgresWriter
    const watch = this.#flushes
    this.#isStoring = true
    this.#progressMs = clock.monoMs()
    const onAnswer = () => {
      if (writer !== this.#writer) return
      this.#isStoring = false
      flushed?.store(watch.seq)
      this.#storeNext()
      wake()
    }
    writer.ask(watch, clock.monoMs()).then(onAnswer, (thrown) => this.#onFailed(writer, thrown))
  }

  #onFailed(writer: PostgresWriter, thrown: unknown): void {
    // Of a writer that was given up, this is only the echo.
    if (writer !== this.#writer) return
    if (thrown instanceof RowsRefused) this.#onRefused(thrown)
    else this.#fail(thrown)
  }

  /** Tries again without the record that is to blame, or with fewer until it is known. */
  #onRefused({ why, index }: RowsRefused): void {
    const { shard, clock, log, refused } = this.#options
    const { batch, firstSeq } = this.#now
    const from = firstSeq + this.#plan.from
    const to = firstSeq + this.#plan.to
    const named = index < 0 ? -1 : firstSeq + index
    const outcome = this.#refusals.refused(from, to, named, why, clock.monoMs())
    if (outcome === 'too many') {
      this.#fail(tooManyRefused(why))
      return
    }
    if (outcome !== 'halved') {
      // Kept before the commit that leaves it out: a crash between the two keeps it twice.
      refused.add(batch, outcome - firstSeq, outcome, `${why.sqlState} ${why.text}`)
      const fields = { shard, seq: outcome, sqlstate: why.sqlState, error: why.text }
      log.warn(fields, 'PostgreSQL refused a record: it is dead-lettered')
      this.#raise('records_refused', `PostgreSQL refused records of shard ${shard}`, fields)
    }
    this.#isStoring = false
    this.#storeNext()
    this.#options.wake()
  }

  /** Gives the connection up; the next one begins at what was committed. */
  #fail(thrown: unknown): void {
    const { shard, counters, log } = this.#options
    const error =
      thrown instanceof TickdError
        ? thrown
        : new TickdError('POSTGRES_BROKEN', errorText(thrown), { cause: thrown })
    const isRepeat = this.#saidError === error.message
    this.#saidError = error.message
    this.#lastError = error
    this.#release()
    if (this.#isClosed) return
    counters.add('failures')
    // One that says no will say it again; one that was cut off may be back at once.
    const retryMs = Math.round(
      this.#breaker.failed(error.message, error.code !== 'POSTGRES_UNREACHABLE'),
    )
    const fields = { shard, code: error.code, retryMs, error: error.message }
    // The same trouble again is worth a line only to those who look for it.
    if (isRepeat) log.debug(fields, 'storing still fails')
    else log.error(fields, 'storing failed; records wait in the journal')
    if (isRepeat || error.code === 'POSTGRES_UNREACHABLE') return
    this.#raise('store_held', `PostgreSQL takes no records of shard ${shard}`, fields)
  }

  #raise(kind: IncidentReport['kind'], summary: string, evidence: Record<string, unknown>): void {
    this.#options.raise?.({ kind, severity: 'warning', summary, evidence })
  }

  #release(): void {
    this.#isStoring = false
    this.#writer?.close()
    this.#reader?.close()
    this.#writer = undefined
    this.#reader = undefined
    this.#options.counters.set('connected', 0)
  }
}
