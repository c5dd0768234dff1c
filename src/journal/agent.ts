// The journal agent: tick ring -> segments -> durable position. The point of durability.
//
//   ring:      | given back |    appended, not fsynced   |   not appended   |
//   sequence             durable                      written           published
//
// Records stay on the ring until their fsync: `durable` is also the ring cursor. Whatever goes
// wrong before (a failed fsync, a crash of this agent), they are still there: a new agent cuts the
// journal back to `durable` and appends them again, so none is lost and none is there twice.
//
// A disk that refuses (full, read-only, over the journal's budget) is not a crash: the agent holds
// (the ring fills, decode and the sources are held back), says so, and tries again until there is
// room. A disk that fails (EIO) is: this agent ends, and the next one goes on in a new segment.

import type { Clock } from '../clock.ts'
import type { Config } from '../config/schema.ts'
import { assert, errorText, TickdError } from '../errors.ts'
import { JOURNAL_BLOCK_TICKS_MAX } from '../limits.ts'
import type { CounterName } from '../ops/counter-catalog.ts'
import type { CounterSet } from '../ops/counters.ts'
import type { IncidentReport } from '../ops/incidents.ts'
import type { Log } from '../ops/log.ts'
import { MARK_BYTES } from '../ring/batch-mark.ts'
import type { Doorbell } from '../ring/doorbell.ts'
import type { SharedSeq } from '../ring/shared-seq.ts'
import type { TickRingConsumer } from '../ring/tick-ring.ts'
import { type Agent, IDLE_MS_MAX } from '../threads/agent.ts'
import { TICK_BYTES } from '../tick/layout.ts'
import { type Disk, realDisk } from './disk.ts'
import { DiskBudget } from './disk-budget.ts'
import { blockBytes } from './headers.ts'
import { Hold } from './hold.ts'
import type { JournalIdentity } from './identity.ts'
import { MarkQueue } from './mark-queue.ts'
import { writePositions } from './positions-file.ts'
import { recoverJournal } from './recovery.ts'
import { removableCount, removeOldest } from './retention.ts'
import type { SegmentInfo } from './segment-files.ts'
import { JournalWriter } from './writer.ts'

/** Most records appended in one duty cycle: other agents may share the thread. */
const DUTY_TICKS_MAX = 4 * JOURNAL_BLOCK_TICKS_MAX
/** Of the ring that may fill while records gather: one in so many. */
const GATHER_SHARE = 8
/** Between looks for segments that may go; one is removed at each. */
const RETENTION_EVERY_MS = 1000
/** Between writings of the positions file. */
const POSITIONS_EVERY_MS = 5000
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
  raise?: ((report: IncidentReport) => void) | undefined
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
  /** undefined while the disk refuses to open one. */
  #writer: JournalWriter | undefined
  /** Closed segments, ascending. */
  #segments: SegmentInfo[] = []
  #closedBytes = 0
  #firstUnsyncedMs = 0
  #retentionDueMs = 0
  #positionsDueMs = 0
  readonly #hold: Hold
  readonly #budget: DiskBudget
  #isDrained = false

  constructor(options: JournalAgentOptions) {
    this.roleName = `journal-${options.shard}`
    this.#options = options
    this.#disk = options.disk ?? realDisk
    this.#marks = options.marks === undefined ? undefined : new MarkQueue(options.marks)
    // Half the ring: the producer fills one half while the other is being fsynced.
    const ringBytes = options.ring.capacity * TICK_BYTES
    const { settings, directory } = options
    this.#syncBytes = Math.min(settings.sync_bytes, ringBytes / 2)
    this.#hold = new Hold(options)
    this.#budget = new DiskBudget({
      disk: this.#disk,
      directory,
      bytesMax: settings.bytes_max,
      freeBytesMin: settings.free_bytes_min,
    })
  }

  onStart(): void {
    const { ring, positions, clock } = this.#options
    const durable = positions.durable.load()
    // An earlier agent may have failed between storing `durable` and giving the ring back.
    assert(ring.seq <= durable, 'the ring keeps what is not durable')
    ring.advance(durable - ring.seq)
    this.#open(clock.monoMs())
  }

  doWork(): number {
    const nowMs = this.#options.clock.monoMs()
    if (this.#writer === undefined && !(this.#hold.mayTry(nowMs) && this.#open(nowMs))) return 0
    const appended = this.#append(nowMs)
    const synced = this.#isSyncDue(nowMs) ? this.#sync(nowMs) : 0
    if (nowMs >= this.#retentionDueMs) this.#retain(nowMs)
    return appended + synced
  }

  idleMsMax(): number {
    if ((this.#writer?.unsyncedBytes ?? 0) === 0) return IDLE_MS_MAX
    const { settings, clock } = this.#options
    const waitMs = this.#firstUnsyncedMs + settings.sync_interval_ms - clock.monoMs()
    return Math.min(Math.max(waitMs, 0), IDLE_MS_MAX)
  }

  /** Until the next fsync is due, records gather on the ring: fewer and larger writes. */
  napMs(): number {
    const { ring } = this.#options
    const isFilling = ring.available() * GATHER_SHARE > ring.capacity
    return (this.#writer?.unsyncedBytes ?? 0) === 0 || isFilling ? 0 : this.idleMsMax()
  }

  drain(): boolean {
    if (this.#writer !== undefined) this.#sync(this.#options.clock.monoMs())
    this.#isDrained = this.#writer !== undefined && this.#options.ring.available() === 0
    return this.#isDrained
  }

  onClose(): void {
    this.#notePositions()
    if (this.#isDrained) this.#writer?.close()
    else this.#writer?.abandon()
    this.#writer = undefined
  }

  /** Makes a writer that goes on behind what is durable. False: the disk refuses for now. */
  #open(nowMs: number): boolean {
    const { directory, shard, epoch, identity, settings, positions, clock, log } = this.#options
    const durable = positions.durable.load()
    try {
      const resume = { endSeq: durable, epoch }
      const { segments, truncatedBytes } = recoverJournal(directory, shard, resume, this.#disk)
      if (truncatedBytes > 0) {
        log.warn({ truncatedBytes, nextSeq: durable }, 'cut back to what was durable')
      }
      this.#segments = segments
    } catch (thrown) {
      this.#refused(thrown, nowMs)
      return false
    }
    positions.written.store(durable)
    this.#closedBytes = this.#segments.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)
    this.#writer = new JournalWriter({
      directory,
      shard,
      epoch,
      ...(identity === undefined ? {} : { identity }),
      nextSeq: durable,
      segmentBytes: settings.segment_bytes,
      clock,
      onSealed: (segment) => {
        this.#segments.push(segment)
        this.#closedBytes += segment.sizeBytes
      },
      disk: this.#disk,
    })
    this.#countSegments()
    if (this.#options.ring.available() === 0) this.#hold.release(nowMs)
    return true
  }

  /** Appends what the ring has, up to a bound. Returns the count of records. */
  #append(nowMs: number): number {
    if (!this.#hold.mayTry(nowMs)) return 0
    const { ring, positions } = this.#options
    const writer = this.#writer as JournalWriter
    const available = ring.seq + ring.available() - writer.nextSeq
    if (available === 0) return 0
    const usedBytes = this.#closedBytes + writer.openBytes
    const refusal = this.#budget.refusal(usedBytes, nowMs)
    if (refusal !== undefined) {
      this.#hold.hold(refusal, nowMs)
      return 0
    }
    const room = Math.ceil((this.#options.settings.bytes_max - usedBytes) / TICK_BYTES)
    const wanted = Math.min(available, room, DUTY_TICKS_MAX)
    if (writer.unsyncedBytes === 0) this.#firstUnsyncedMs = nowMs
    const beganSeq = writer.nextSeq
    try {
      this.#appendBlocks(writer, beganSeq + wanted)
    } catch (thrown) {
      this.#refused(thrown, nowMs)
    }
    positions.written.store(writer.nextSeq)
    return writer.nextSeq - beganSeq
  }

  #appendBlocks(writer: JournalWriter, endSeq: number): void {
    const { ring, settings } = this.#options
    while (writer.nextSeq < endSeq) {
      const slot = (ring.offset() / TICK_BYTES + writer.nextSeq - ring.seq) % ring.capacity
      const rest = endSeq - writer.nextSeq
      const count = Math.min(rest, settings.block_ticks, ring.capacity - slot)
      this.#appendBlock(slot, count)
    }
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
    if (this.#writer === undefined) return false
    const { unsyncedBytes, durableSeq } = this.#writer
    // Rolling to a new segment syncs too: then there is only the news to spread.
    if (unsyncedBytes === 0) return durableSeq > this.#options.ring.seq
    if (unsyncedBytes >= this.#syncBytes) return true
    return nowMs - this.#firstUnsyncedMs >= this.#options.settings.sync_interval_ms
  }

  /** fsync, then tell everybody. Returns the count of records that became durable. */
  #sync(nowMs: number): number {
    const { clock, counters } = this.#options
    const writer = this.#writer as JournalWriter
    const beganMs = clock.monoMs()
    if (writer.unsyncedBytes > 0) {
      try {
        writer.sync()
      } catch (thrown) {
        counters.add('sync_failures')
        this.#refused(thrown, nowMs)
        return 0
      }
      const syncUs = Math.round((clock.monoMs() - beganMs) * 1000)
      counters.add('syncs')
      counters.set('sync_us_max', Math.max(counters.get('sync_us_max'), syncUs))
    }
    return this.#spread(writer.durableSeq, nowMs)
  }

  /** Tells everybody what is durable. Returns the count of records that are so now. */
  #spread(durableSeq: number, nowMs: number): number {
    const { ring, positions, bells } = this.#options
    const count = durableSeq - ring.seq
    if (count === 0) return 0
    // Not by what was appended before the disk refused: then it is too early for another try.
    if (this.#hold.mayTry(nowMs)) this.#hold.release(nowMs)
    // Journal before acknowledge: nobody learns of a record's position before its fsync returned.
    positions.durable.store(durableSeq)
    ring.advance(count)
    this.#marks?.release(durableSeq)
    for (const bell of bells) bell.ring()
    return count
  }

  /** Holds where the disk refuses for now; what else was thrown ends this agent. */
  #refused(thrown: unknown, nowMs: number): void {
    if (!(thrown instanceof TickdError && thrown.canRetry)) throw thrown
    this.#hold.hold(thrown, nowMs)
    if (this.#writer?.isBroken !== true) return
    // Rolling may have made records durable before it broke: they are not appended again.
    const { durableSeq } = this.#writer
    this.#writer.abandon()
    this.#writer = undefined
    this.#spread(durableSeq, nowMs)
    this.#marks?.rewind()
  }

  /** Removes at most one segment that nobody needs. */
  #retain(nowMs: number): void {
    const { directory, settings, positions, storedSeq, clock, counters, log } = this.#options
    if (this.#writer === undefined) return
    this.#retentionDueMs = nowMs + RETENTION_EVERY_MS
    if (nowMs >= this.#positionsDueMs) {
      this.#positionsDueMs = nowMs + POSITIONS_EVERY_MS
      this.#notePositions()
    }
    clock.read()
    const { openBytes } = this.#writer
    const isShort = this.#budget.refusal(this.#closedBytes + openBytes, nowMs) !== undefined
    const count = removableCount(this.#segments, {
      storedSeq: storedSeq(),
      durableSeq: positions.durable.load(),
      retainMs: settings.retain_ms,
      // Where room is short, what is stored goes first.
      retainBytes: isShort ? 0 : settings.retain_bytes,
      nowMs: clock.sec * 1000,
      openBytes,
    })
    if (count > 0) {
      // First: what is gone is known to have been stored.
      this.#notePositions()
      const segment = this.#segments.shift() as SegmentInfo
      this.#closedBytes -= segment.sizeBytes
      removeOldest(directory, segment, positions.oldest, this.#disk)
      counters.add('segments_removed')
      log.debug({ firstSeq: segment.firstSeq, endSeq: segment.endSeq }, 'segment removed')
    }
    this.#countSegments()
  }

  #notePositions(): void {
    const { directory, positions, storedSeq, log } = this.#options
    try {
      const known = { durable: positions.durable.load(), stored: storedSeq() }
      writePositions(directory, known, this.#disk)
    } catch (thrown) {
      log.debug({ error: errorText(thrown) }, 'positions not noted')
    }
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
    counters.set('segments', this.#segments.length + (openBytes > 0 ? 1 : 0))
    counters.set('segment_bytes', this.#closedBytes + openBytes)
    const { freeBytes } = this.#budget
    if (Number.isFinite(freeBytes)) counters.set('free_bytes', freeBytes)
  }
}
