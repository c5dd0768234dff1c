// The journal alone: tick ring → agent → group fsync, beside raw appends of the same bytes.
//
//   publisher thread ─[tick ring]─▶ journal thread ─writev, fdatasync─▶ segments
//     1,024 at a time                JournalAgent under the daemon's runner
//
// The clock stops when the last record of a round is durable. Yardstick: one thread, one file, a
// writev of header and ticks for each block, an fdatasync after as many blocks as the agent had on
// average, from the same prepared ticks. No checksum, no ring. Verified: every byte of the journal
// is read again, with its checksums, and every record is the one that was published.

import {
  closeSync,
  fdatasyncSync,
  mkdtempSync,
  openSync,
  rmSync,
  statfsSync,
  writevSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { configSchema } from '../src/config/schema.ts'
import { JournalReader } from '../src/journal/reader.ts'
import { openJournal } from '../src/journal/recovery.ts'
import { shardDirectory } from '../src/journal/segment-files.ts'
import { BLOCK_HEADER_BYTES } from '../src/journal/segment-layout.ts'
import { verifyJournal } from '../src/journal/verify.ts'
import { JOURNAL_BLOCK_TICKS_MAX, TICK_RING_TICKS } from '../src/limits.ts'
import { counterNames } from '../src/ops/counter-catalog.ts'
import { CounterSet } from '../src/ops/counters.ts'
import { POSITION, POSITION_COUNT } from '../src/pipeline.ts'
import { Doorbell } from '../src/ring/doorbell.ts'
import { SharedSeq } from '../src/ring/shared-seq.ts'
import { createTickRing } from '../src/ring/tick-ring-layout.ts'
import { COMMAND, Lifecycle, STATE } from '../src/threads/lifecycle.ts'
import { TickBatch } from '../src/tick/batch.ts'
import { TICK_BYTES, TICK_WORDS } from '../src/tick/layout.ts'
import {
  atLeast,
  type Bench,
  type BenchOptions,
  figureText,
  goalsText,
  headText,
  median,
  type Report,
} from './bench.ts'
import { Crew } from './crew.ts'
import type { JournalTask } from './journal-worker.ts'

/** Not a divisor of the ring or of a block: a record that is out of its place shows. */
const PREPARED_TICKS = 3 * 8192
const BATCH_TICKS = 1024
const GOAL_PER_SECOND = 2e6
const NS_PER_S = 1e9
const ROUND_MS_MAX = 120_000
const TMPFS_MAGIC = 0x01021994

type Size = 'rounds' | 'ticks'

interface Round {
  ticksPerSecond: number
  yardstickPerSecond: number
  ratio: number
  syncs: number
  ticksPerSync: number
  ticksPerBlock: number
}

export const journalBench: Bench<Size> = {
  name: 'journal',
  summary: 'Tick ring to durable segments, beside raw writev and fdatasync of the same bytes',
  full: { rounds: 7, ticks: 4_000_000 },
  smoke: { rounds: 2, ticks: 100_000 },
  run,
  text,
}

async function run(options: BenchOptions<Size>): Promise<Report> {
  const stateDir = mkdtempSync(join(tmpdir(), 'tickd-bench-'))
  const rig = await Rig.start(shardDirectory(stateDir, 0))
  const rounds: Round[] = []
  try {
    const ticks = Math.ceil(options.ticks / BATCH_TICKS) * BATCH_TICKS
    // The first round warms up, and is not counted.
    for (let round = -1; round < options.rounds; round++) {
      const sizes = round % 2 === 0 ? rounds.at(-1) : undefined
      const result = await runRound(rig, ticks, join(stateDir, 'raw'), sizes)
      options.progress(`${Math.round(result.ticksPerSecond)} durable ticks/s`)
      if (round >= 0) rounds.push(result)
    }
    await rig.stop()
    verify(rig, ticks * (options.rounds + 1))
  } finally {
    await rig.end()
    rmSync(stateDir, { recursive: true, force: true })
  }
  const rate = median(rounds.map(({ ticksPerSecond }) => ticksPerSecond))
  const isMemory = statfsSync(tmpdir()).type === TMPFS_MAGIC
  return {
    ticks: options.ticks,
    durability: isMemory
      ? 'none: the temporary directory is in memory, fdatasync does nothing (set TMPDIR)'
      : 'fdatasync of a group before a record counts; the yardstick likewise',
    rounds,
    goals: [atLeast(GOAL_PER_SECOND / 1e6, 'journal, durable', rate / 1e6, 'M ticks/s')],
  }
}

/** A journal's agent on its thread, and a publisher on another. */
class Rig {
  readonly task: JournalTask
  readonly counters: CounterSet
  readonly durable: SharedSeq
  readonly #lifecycle: Lifecycle
  #publisher: Crew | undefined
  #journal: Crew | undefined

  private constructor(directory: string) {
    const { nextSeq, epoch, oldestSeq } = openJournal(directory, 0)
    const shared = (bytes: number) => new SharedArrayBuffer(bytes)
    this.task = {
      role: 'journal',
      directory,
      epoch,
      nextSeq,
      settings: configSchema.parse({}).journal,
      ring: createTickRing(TICK_RING_TICKS, nextSeq),
      bells: shared(Doorbell.bytes(3)),
      positions: shared(SharedSeq.bytes(POSITION_COUNT)),
      counters: shared(counterNames('journal').length * Float64Array.BYTES_PER_ELEMENT),
      lifecycle: shared(Lifecycle.bytes(1)),
      ticks: shared(PREPARED_TICKS * TICK_BYTES),
      tickCount: PREPARED_TICKS,
      batchTicks: BATCH_TICKS,
    }
    const { positions, lifecycle, ticks } = this.task
    new SharedSeq(positions, POSITION.oldest).store(oldestSeq)
    this.durable = new SharedSeq(positions, POSITION.durable)
    this.durable.store(nextSeq)
    new SharedSeq(positions, POSITION.written).store(nextSeq)
    this.counters = new CounterSet(counterNames('journal'), this.task.counters)
    this.#lifecycle = new Lifecycle(lifecycle, 0)
    const words = new Int32Array(ticks)
    for (let i = 0; i < words.length; i++) words[i] = wordOf(Math.floor(i / TICK_WORDS), i % 16)
  }

  static async start(directory: string): Promise<Rig> {
    const rig = new Rig(directory)
    rig.#journal = await Crew.thread('./journal-worker.ts', rig.task)
    rig.#publisher = await Crew.thread('./journal-worker.ts', { ...rig.task, role: 'publisher' })
    await rig.#command(COMMAND.run, STATE.running)
    return rig
  }

  /** Publishes `count` ticks; seconds until they are durable. */
  async publish(count: number): Promise<number> {
    const end = this.durable.load() + count
    const bell = new Doorbell(this.task.bells, 2)
    const began = (this.#publisher as Crew).ask<number>(count)
    const deadlineMs = performance.now() + ROUND_MS_MAX
    while (this.durable.load() < end) {
      bell.prepare()
      // Short: the last ring may have come before prepare().
      if (this.durable.load() < end) await bell.waitAsync(1)
      bell.wake()
      if (performance.now() > deadlineMs) throw new Error(`not durable in ${ROUND_MS_MAX} ms`)
    }
    const endedNs = Number(process.hrtime.bigint())
    return (endedNs - (await began)) / NS_PER_S
  }

  /** Drains and seals the journal. */
  async stop(): Promise<void> {
    await this.#command(COMMAND.drain, STATE.drained)
    await this.#command(COMMAND.close, STATE.closed)
  }

  async end(): Promise<void> {
    await this.#publisher?.end()
    await this.#journal?.end()
  }

  async #command(command: number, state: number): Promise<void> {
    this.#lifecycle.command = command
    new Doorbell(this.task.bells, 1).ring()
    const reached = await this.#lifecycle.waitState([state, STATE.failed], ROUND_MS_MAX)
    if (reached !== state) throw new Error(`the journal's agent is in state ${reached}`)
  }
}

/** The yardstick goes first where it knows its sizes: those of the round before. */
async function runRound(
  rig: Rig,
  ticks: number,
  file: string,
  sizes: Round | undefined,
): Promise<Round> {
  const yardstickFirst = sizes && runYardstick(rig.task, ticks, sizes, file)
  const before = { ...rig.counters.toJSON() }
  const seconds = await rig.publish(ticks)
  const since = (name: string) => rig.counters.get(name) - (before[name] as number)
  const syncs = since('syncs')
  const pieces = { ticksPerBlock: ticks / since('blocks'), ticksPerSync: ticks / syncs }
  const yardstick = yardstickFirst ?? runYardstick(rig.task, ticks, pieces, file)
  return {
    ticksPerSecond: ticks / seconds,
    yardstickPerSecond: ticks / yardstick,
    ratio: yardstick / seconds,
    syncs,
    ...pieces,
  }
}

/** Seconds for raw appends of as many bytes, in pieces of the same sizes. */
function runYardstick(
  task: JournalTask,
  ticks: number,
  { ticksPerBlock, ticksPerSync }: Pick<Round, 'ticksPerBlock' | 'ticksPerSync'>,
  file: string,
): number {
  const header = new Uint8Array(BLOCK_HEADER_BYTES)
  const source = new Uint8Array(task.ticks)
  const blockTicks = Math.max(1, Math.round(ticksPerBlock))
  const fd = openSync(file, 'w')
  const beganMs = performance.now()
  try {
    let unsynced = 0
    for (let done = 0; done < ticks; ) {
      const from = done % (PREPARED_TICKS - JOURNAL_BLOCK_TICKS_MAX)
      const count = Math.min(blockTicks, ticks - done)
      writevSync(fd, [header, source.subarray(from * TICK_BYTES, (from + count) * TICK_BYTES)])
      done += count
      unsynced += count
      if (unsynced < ticksPerSync && done < ticks) continue
      fdatasyncSync(fd)
      unsynced = 0
    }
    return (performance.now() - beganMs) / 1000
  } finally {
    closeSync(fd)
    rmSync(file)
  }
}

function wordOf(index: number, word: number): number {
  return Math.imul(index * TICK_WORDS + word + 1, 0x9e3779b1) | 0
}

/** Throws unless the journal holds each of `ticks` records once, in order and unharmed. */
function verify({ task, durable }: Rig, ticks: number): void {
  const report = verifyJournal(task.directory)
  const end = durable.load()
  if (report.faults.length > 0 || report.recordCount !== ticks || end !== task.nextSeq + ticks) {
    throw new Error(`the journal has ${JSON.stringify(report)}, expected ${ticks} records`)
  }
  const reader = new JournalReader({
    directory: task.directory,
    fromSeq: task.nextSeq,
    durable: () => end,
  })
  const batch = new TickBatch(JOURNAL_BLOCK_TICKS_MAX)
  try {
    for (let seq = task.nextSeq; seq < end; seq += batch.count) {
      if (reader.read(batch) === 0) throw new Error(`the journal ends at ${seq}, not ${end}`)
      for (let i = 0; i < batch.count; i++) {
        const wanted = wordOf((seq + i) % PREPARED_TICKS, 3)
        if (batch.words[i * TICK_WORDS + 3] !== wanted)
          throw new Error(`record ${seq + i} is wrong`)
      }
    }
  } finally {
    reader.close()
  }
}

function text(report: Report): string {
  const rounds = report.rounds as Round[]
  const of = (field: keyof Round, unit = 1) => rounds.map((round) => round[field] / unit)
  return (
    headText(report, `${report.ticks} ticks from ring to disk, ${rounds.length} rounds`) +
    figureText('journal, published to durable', of('ticksPerSecond', 1e6), 2, 'M ticks/s') +
    figureText('raw writev and fdatasync', of('yardstickPerSecond', 1e6), 2, 'M ticks/s') +
    figureText('ratio', of('ratio'), 2, '') +
    figureText('ticks in a block', of('ticksPerBlock'), 0, '') +
    figureText('ticks in an fsync', of('ticksPerSync'), 0, '') +
    '  verified: read again with checksums; each record once, in order, as published\n' +
    goalsText(report)
  )
}
