// The journal agent: tick ring -> segments -> durable position. The point of durability.
//
//   ring:      | given back |    appended, not fsynced   |   not appended   |
//   sequence             durable                      written           published
//
// Records stay on the ring until their fsync: `durable` is also the ring cursor. Whatever goes
// wrong before (a failed fsync, a crash of this agent), they are still there: a new agent cuts the
// journal back to `durable` and appends them again, so none is lost and none is there twice.
//
// A full disk is not a crash: the agent holds (the ring fills, decode and the sources are held
// back), says so, and tries again until there is room.

import type { Clock } from '../clock.ts'
import type { Config } from '../config/schema.ts'
import { assert, errorText, TickdError } from '../errors.ts'
import { JOURNAL_BLOCK_TICKS_MAX } from '../limits.ts'
import type { CounterName } from '../ops/counter-catalog.ts'
import type { CounterSet } from '../ops/counters.ts'
import type { Log } from '../ops/log.ts'
import { MARK_BYTES } from '../ring/batch-mark.ts'
import type { Doorbell } from '../ring/doorbell.ts'
import type { SharedSeq } from '../ring/shared-seq.ts'
import type { TickRingConsumer } from '../ring/tick-ring.ts'
import { type Agent, IDLE_MS_MAX } from '../threads/agent.ts'
import { TICK_BYTES } from '../tick/layout.ts'
import { type Disk, realDisk } from './disk.ts'
import { blockBytes } from './headers.ts'
import type { JournalIdentity } from './identity.ts'
import { MarkQueue } from './mark-queue.ts'
import { recoverJournal } from './recovery.ts'
import { removableCount, removeOldest } from './retention.ts'
import type { SegmentInfo } from './segment-files.ts'
import { JournalWriter } from './writer.ts'

/** Most records appended in one duty cycle: other agents may share the thread. */
const DUTY_TICKS_MAX = 4 * JOURNAL_BLOCK_TICKS_MAX
/** Between looks for segments that may go; one is removed at each. */
const RETENTION_EVERY_MS = 1000
/** A full disk is tried again, and said again, this often. */
const HOLD_RETRY_MS = 250
const HOLD_LOG_MS = 10_000
const NO_MARKS = new Uint8Array(0)

export interface JournalAgentOptions {
  shard: number
  /** Of the shard; `openJournal` has recovered it and opened `epoch`. */
  directory: string
  epoch: number
  /** As `openJournal` said. */
  identity?: JournalIdentity
  settings: Config['journal']
  ring: TickRingConsumer
  /** Marks of pushed batches, a tick ring of them; none come where it is not given. */
  marks?: TickRingConsumer
  /** This agent writes them; before its first start they stand where `openJournal` said. */
  positions: { written: SharedSeq; durable: SharedSeq; oldest: SharedSeq }
  /** Next sequence after those that every store has committed: holds segments back. */
  storedSeq: () => number
  /** Threads that wait for durability: stores, and whoever acknowledges. */
  bells: readonly Doorbell[]
  clock: Clock
  log: Log
  counters: CounterSet<CounterName<'journal'>>
  /** The file systems of this machine if not given. */
  disk?: Disk | undefined
}

export class JournalAgent implements Agent {
  readonly roleName: string
  readonly #options: JournalAgentOptions
  readonly #disk: Disk
  /** Unsynced bytes that call for an fsync. */
  readonly #syncBytes: number
  readonly #marks: MarkQueue | undefined
  #writer: JournalWriter | undefined
  /** Closed segments, ascending. */
  #segments: SegmentInfo[] = []
  #firstUnsyncedMs = 0
  #retentionDueMs = 0
  /** While the disk is full: since when, when to try again, when to say so again. */
  #heldSinceMs: number | undefined
  #retryDueMs = 0
  #holdLogDueMs = 0
  #isDrained = false

  constructor(options: JournalAgentOptions) {
    this.roleName = `journal-${options.shard}`
    this.#options = options
    this.#disk = options.disk ?? realDisk
    this.#marks = options.marks === undefined ? undefined : new MarkQueue(options.marks)
    // Half the ring: the producer fills one half while the other is being fsynced.
    const ringBytes = options.ring.capacity * TICK_BYTES
    this.#syncBytes = Math.min(options.settings.sync_bytes, ringBytes / 2)
  }

  onStart(): void {
    const { directory, shard, epoch, settings, ring, positions, clock, log } = this.#options
    const { identity } = this.#options
    const durable = positions.durable.load()
    // An earlier agent may have failed between storing `durable` and giving the ring back.
    assert(ring.seq <= durable, 'the ring keeps what is not durable')
    ring.advance(durable - ring.seq)
    const resume = { endSeq: durable, epoch }
    const { segments, truncatedBytes } = recoverJournal(directory, shard, resume, this.#disk)
    if (truncatedBytes > 0) {
      log.warn({ truncatedBytes, nextSeq: durable }, 'cut back to what was durable')
    }
    positions.written.store(durable)
    this.#segments = segments
    this.#writer = new JournalWriter({
      directory,
      shard,
      epoch,
      ...(identity === undefined ? {} : { identity }),
      nextSeq: durable,
      segmentBytes: settings.segment_bytes,
      clock,
      onSealed: (segment) => this.#segments.push(segment),
      disk: this.#disk,
    })
    this.#countSegments()
  }

  doWork(): number {
    const nowMs = this.#options.clock.monoMs()
    const appended = this.#append(nowMs)
    const synced = this.#isSyncDue(nowMs) ? this.#sync() : 0
    if (nowMs >= this.#retentionDueMs) this.#retain(nowMs)
    return appended + synced
  }

  idleMsMax(): number {
    if ((this.#writer?.unsyncedBytes ?? 0) === 0) return IDLE_MS_MAX
    const { settings, clock } = this.#options
    const waitMs = this.#firstUnsyncedMs + settings.sync_interval_ms - clock.monoMs()
    return Math.min(Math.max(waitMs, 0), IDLE_MS_MAX)
  }

  drain(): boolean {
    this.#sync()
    this.#isDrained = this.#options.ring.available() === 0
    return this.#isDrained
  }

  onClose(): void {
    if (this.#isDrained) this.#writer?.close()
    else this.#writer?.abandon()
    this.#writer = undefined
  }

  /** Appends what the ring has, up to a bound. Returns the count of records. */
  #append(nowMs: number): number {
    if (nowMs < this.#retryDueMs) return 0
    const { ring, settings, positions } = this.#options
    const writer = this.#writer as JournalWriter
    const available = ring.seq + ring.available() - writer.nextSeq
    const wanted = Math.min(available, DUTY_TICKS_MAX)
    if (wanted === 0) return 0
    if (writer.unsyncedBytes === 0) this.#firstUnsyncedMs = nowMs
    const beganSeq = writer.nextSeq
    try {
      while (writer.nextSeq < beganSeq + wanted) {
        const slot = (ring.offset() / TICK_BYTES + writer.nextSeq - ring.seq) % ring.capacity
        const rest = beganSeq + wanted - writer.nextSeq
        const count = Math.min(rest, settings.block_ticks, ring.capacity - slot)
        this.#appendBlock(slot, count)
      }
      if (this.#heldSinceMs !== undefined) this.#release(nowMs)
    } catch (thrown) {
      if (!(thrown instanceof TickdError && thrown.canRetry)) throw thrown
      this.#hold(thrown, nowMs)
    }
    positions.written.store(writer.nextSeq)
    return writer.nextSeq - beganSeq
  }

  /** Appends `count` records from `slot` of the ring on: fewer or more, so that no batch is cut. */
  #appendBlock(slot: number, wanted: number): void {
    const { ring } = this.#options
    const writer = this.#writer as JournalWriter
    const { nextSeq } = writer
    const count = (this.#marks?.cut(nextSeq, nextSeq + wanted) ?? nextSeq + wanted) - nextSeq
    const first = Math.min(count, ring.capacity - slot)
    const start = slot * TICK_BYTES
    const marks = this.#marks?.blockMarks() ?? NO_MARKS
    writer.appendBlock(
      ring.bytes.subarray(start, start + first * TICK_BYTES),
      // A batch that wraps around the ring; whole on it, as decode publishes all of it at once.
      ring.bytes.subarray(0, (count - first) * TICK_BYTES),
      marks,
    )
    this.#marks?.take()
    this.#countBlock(count, marks.length / MARK_BYTES)
  }

  #isSyncDue(nowMs: number): boolean {
    const { unsyncedBytes, durableSeq } = this.#writer as JournalWriter
    // Rolling to a new segment syncs too: then there is only the news to spread.
    if (unsyncedBytes === 0) return durableSeq > this.#options.ring.seq
    if (unsyncedBytes >= this.#syncBytes) return true
    return nowMs - this.#firstUnsyncedMs >= this.#options.settings.sync_interval_ms
  }

  /** fsync, then tell everybody. Returns the count of records that became durable. */
  #sync(): number {
    const { ring, positions, bells, clock, counters } = this.#options
    const writer = this.#writer as JournalWriter
    const beganMs = clock.monoMs()
    if (writer.unsyncedBytes > 0) {
      writer.sync()
      const syncUs = Math.round((clock.monoMs() - beganMs) * 1000)
      counters.add('syncs')
      counters.set('sync_us_max', Math.max(counters.get('sync_us_max'), syncUs))
    }
    const count = writer.durableSeq - ring.seq
    if (count === 0) return 0
    // Journal before acknowledge: nobody learns of a record's position before its fsync returned.
    positions.durable.store(writer.durableSeq)
    ring.advance(count)
    this.#marks?.release(writer.durableSeq)
    for (const bell of bells) bell.ring()
    return count
  }

  /** Removes at most one segment that nobody needs. */
  #retain(nowMs: number): void {
    const { directory, settings, positions, storedSeq, clock, counters, log } = this.#options
    this.#retentionDueMs = nowMs + RETENTION_EVERY_MS
    clock.read()
    const count = removableCount(this.#segments, {
      storedSeq: storedSeq(),
      retainMs: settings.retain_ms,
      retainBytes: settings.retain_bytes,
      nowMs: clock.sec * 1000,
      openBytes: (this.#writer as JournalWriter).openBytes,
    })
    if (count > 0) {
      const segment = this.#segments.shift() as SegmentInfo
      removeOldest(directory, segment, positions.oldest, this.#disk)
      counters.add('segments_removed')
      log.debug({ firstSeq: segment.firstSeq, endSeq: segment.endSeq }, 'segment removed')
    }
    this.#countSegments()
  }

  #hold(error: TickdError, nowMs: number): void {
    const { counters, log } = this.#options
    this.#retryDueMs = nowMs + HOLD_RETRY_MS
    if (this.#heldSinceMs === undefined) {
      this.#heldSinceMs = nowMs
      this.#holdLogDueMs = nowMs
      counters.add('holds')
      counters.set('holding', 1)
    }
    if (nowMs < this.#holdLogDueMs) return
    this.#holdLogDueMs = nowMs + HOLD_LOG_MS
    const heldMs = Math.round(nowMs - this.#heldSinceMs)
    log.error(
      { heldMs, error: errorText(error) },
      'the journal cannot grow: ingest is held back until the disk has room',
    )
  }

  #release(nowMs: number): void {
    const { counters, log } = this.#options
    const heldMs = Math.round(nowMs - (this.#heldSinceMs as number))
    this.#heldSinceMs = undefined
    counters.set('holding', 0)
    log.info({ heldMs }, 'the journal goes on: the disk has room again')
  }

  #countBlock(count: number, markCount: number): void {
    const { counters } = this.#options
    counters.add('records', count)
    counters.add('blocks')
    counters.add('bytes', blockBytes(count, markCount))
  }

  #countSegments(): void {
    const { counters } = this.#options
    const openBytes = this.#writer?.openBytes ?? 0
    const closedBytes = this.#segments.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)
    counters.set('segments', this.#segments.length + (openBytes > 0 ? 1 : 0))
    counters.set('segment_bytes', closedBytes + openBytes)
  }
}
