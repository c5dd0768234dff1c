// The rings between two threads, beside a bare copy of the same bytes within one.
//
//   writer thread ─[tick ring, as the daemon's]─▶ gated reader    (the writer waits for it)
//   writer thread ─[tick ring, as the daemon's]─▶ lapping reader  (it is overrun, and says so)
//   writer thread ─[frame ring, 8 MiB]─────────▶ reader
//
// Doorbells and counters are on, as in the daemon. Verified: every record and frame arrives once,
// in order and with its own contents; of the lapping reader, read + declared lost = written.
// Yardstick: one thread copying batches of the same size from the same source into memory of the
// ring's size, over and over.

import { FRAME_RING_BYTES, TICK_RING_TICKS } from '../src/limits.ts'
import { Doorbell } from '../src/ring/doorbell.ts'
import { frameRingBytes } from '../src/ring/frame-ring-layout.ts'
import { createTickRing } from '../src/ring/tick-ring-layout.ts'
import { TICK_BYTES } from '../src/tick/layout.ts'
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
import type { RingOutcome, RingTask } from './ring-worker.ts'

const CYCLE_TICKS = 3 * 4096
const NS_PER_S = 1e9
/** Of the goal: records a second with batches of this size. */
const GOAL_BATCH = 256
const GOAL_PER_SECOND = 100e6

type Size = 'rounds' | 'ticks'

interface Case {
  readonly name: string
  readonly writer: RingTask['role']
  readonly reader: RingTask['role']
  /** Records in a publication; bytes of a frame. */
  readonly size: number
  /** Records or frames in a round, as a share of `ticks`: small ones cost more each. */
  readonly share: number
}

const gated = (size: number, share: number): Case => {
  const name = `gated, batches of ${size}`
  return { name, writer: 'tick writer', reader: 'gated reader', size, share }
}

const CASES: readonly Case[] = [
  gated(1, 0.05),
  gated(16, 0.3),
  gated(GOAL_BATCH, 1),
  gated(4096, 1),
  {
    name: 'lapped, batches of 256',
    writer: 'tick writer',
    reader: 'lapping reader',
    size: 256,
    share: 1,
  },
  {
    name: 'frames of 144 bytes',
    writer: 'frame writer',
    reader: 'frame reader',
    size: 144,
    share: 0.05,
  },
  {
    name: 'frames of 64 KiB',
    writer: 'frame writer',
    reader: 'frame reader',
    size: 65_536,
    share: 0.0005,
  },
]

interface CaseReport {
  readonly name: string
  /** Bytes of one record or frame. */
  readonly itemBytes: number
  readonly perSecond: number[]
  readonly yardstickPerSecond: number[]
  /** Share of the records that the reader was overrun on. */
  readonly lostShare: number[]
}

export const ringBench: Bench<Size> = {
  name: 'ring',
  summary: 'Tick ring and frame ring between two threads, beside a bare copy loop',
  full: { rounds: 7, ticks: 60_000_000 },
  smoke: { rounds: 2, ticks: 300_000 },
  run,
  text,
}

async function run(options: BenchOptions<Size>): Promise<Report> {
  const cases: CaseReport[] = []
  for (const each of CASES) {
    cases.push(await runCase(each, options))
    options.progress(`${each.name}: ${Math.round(median(cases.at(-1)!.perSecond) / 1e6)} M/s`)
  }
  const goal = cases.find(({ name }) => name === gated(GOAL_BATCH, 1).name) as CaseReport
  return {
    ticks: options.ticks,
    ringTicks: TICK_RING_TICKS,
    ringBytes: FRAME_RING_BYTES,
    cases,
    goals: [
      atLeast(
        GOAL_PER_SECOND / 1e6,
        'ring, gated, batches of 256',
        median(goal.perSecond) / 1e6,
        'M records/s',
      ),
    ],
  }
}

async function runCase(each: Case, { rounds, ticks }: BenchOptions<Size>): Promise<CaseReport> {
  const isTicks = each.writer === 'tick writer'
  const ring = isTicks
    ? createTickRing(TICK_RING_TICKS, 0)
    : new SharedArrayBuffer(frameRingBytes(FRAME_RING_BYTES))
  const bells = new SharedArrayBuffer(Doorbell.bytes(2))
  const slots = each.reader === 'gated reader' ? [0] : []
  const task = { ring, bells, size: each.size, cycleTicks: CYCLE_TICKS, slots }
  const reader = await Crew.thread('./ring-worker.ts', { ...task, role: each.reader })
  const writer = await Crew.thread('./ring-worker.ts', { ...task, role: each.writer })
  const itemBytes = isTicks ? TICK_BYTES : each.size
  const copy = copyLoop(isTicks, each.size)
  const report: CaseReport = {
    name: each.name,
    itemBytes,
    perSecond: [],
    yardstickPerSecond: [],
    lostShare: [],
  }
  try {
    // The first round warms both threads up, and is not counted.
    for (let round = -1; round < rounds; round++) {
      const perRound = isTicks ? each.size : 1
      const count = Math.max(1, Math.round((ticks * each.share) / perRound)) * perRound
      const result = await runRound(writer, reader, count, slots.length === 0 && isTicks)
      const yardstick = copy(count)
      if (round < 0) continue
      report.perSecond.push(count / result.seconds)
      report.lostShare.push(result.lost / count)
      report.yardstickPerSecond.push(count / yardstick)
    }
  } finally {
    await writer.end()
    await reader.end()
  }
  return report
}

async function runRound(
  writer: Crew,
  reader: Crew,
  count: number,
  mayLose: boolean,
): Promise<{ seconds: number; lost: number }> {
  const [ended, began] = await Promise.all([
    reader.ask<RingOutcome>(count),
    writer.ask<RingOutcome>(count),
  ])
  const { wrong, lost } = ended
  if (wrong > 0 || ended.count + lost !== count || (lost > 0 && !mayLose)) {
    throw new Error(`${ended.count} of ${count} arrived, ${lost} declared lost, ${wrong} wrong`)
  }
  return { seconds: (ended.timeNs - began.timeNs) / NS_PER_S, lost }
}

/** Returns a function that copies `count` records or frames and says how many seconds it took. */
function copyLoop(isTicks: boolean, size: number): (count: number) => number {
  const pieceBytes = isTicks ? size * TICK_BYTES : size
  const sourceBytes = isTicks ? CYCLE_TICKS * TICK_BYTES : size
  const ringBytes = isTicks ? TICK_RING_TICKS * TICK_BYTES : FRAME_RING_BYTES
  const source = new Uint8Array(sourceBytes).fill(0x5a)
  const target = new Uint8Array(new SharedArrayBuffer(ringBytes))
  return (count) => {
    const beganMs = performance.now()
    const pieces = isTicks ? count / size : count
    let from = 0
    let to = 0
    for (let piece = 0; piece < pieces; piece++) {
      target.set(source.subarray(from, from + pieceBytes), to)
      from = from + 2 * pieceBytes > sourceBytes ? 0 : from + pieceBytes
      to = to + 2 * pieceBytes > ringBytes ? 0 : to + pieceBytes
    }
    return (performance.now() - beganMs) / 1000
  }
}

function text(report: Report): string {
  const cases = report.cases as CaseReport[]
  let out = headText(report, `between two threads, ring of ${report.ringTicks} records`)
  for (const { name, itemBytes, perSecond, yardstickPerSecond, lostShare } of cases) {
    const millions = (values: number[]) => values.map((value) => value / 1e6)
    out += figureText(name, millions(perSecond), 2, 'M/s')
    const gigabytes = perSecond.map((value) => (value * itemBytes) / 1e9)
    out += figureText('  in bytes', gigabytes, 2, 'GB/s')
    out += figureText('  bare copy loop in one thread', millions(yardstickPerSecond), 2, 'M/s')
    const ratios = perSecond.map((value, i) => value / (yardstickPerSecond[i] as number))
    out += figureText('  ratio', ratios, 2, '')
    if (median(lostShare) > 0) out += figureText('  share overrun, declared', lostShare, 3, '')
  }
  return `${out}  verified: each record once, in order, with its contents\n${goalsText(report)}`
}
