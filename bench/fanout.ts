// One stream to many subscribers, beside bare `publish` of the same frames.
//
//   [tick ring] ─▶ ServeAgent ─ws─▶ N subscribers, binary sub-protocol   (one process, counts)
//     in the agent's own process         ▲
//   uWS App, app.publish of ready frames ┘  the same bytes to the same process of subscribers
//
// Both servers send as fast as the slowest subscriber takes it. Verified: each subscriber gets
// every record of every round, in a dense sequence, with nothing declared as missing, and both
// servers have sent the same number of bytes.

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
import { cpuSecondsOf } from './cpu.ts'
import { Crew } from './crew.ts'
import type { ConnectOrder, CountAnswer, CountOrder } from './fanout-client.ts'

/** Ticks in a frame: 4 KiB, and the largest that the daemon sends by default. */
const FRAME_TICKS = [64, 1024]
const PUBLISH_TICKS = 1024
const GOAL_RATIO = 0.8
const NS_PER_S = 1e9
const MODES = ['tickd', 'bare'] as const

type Mode = (typeof MODES)[number]
type Size = 'rounds' | 'ticks' | 'subscribers'

interface Run {
  readonly recordsPerSecond: number
  readonly bytesPerSecond: number
  readonly bytes: number
  /** Cores kept busy. */
  readonly serverCores: number
  readonly clientCores: number
}

interface CaseReport {
  readonly frameTicks: number
  readonly rounds: Record<Mode, Run>[]
}

export const fanoutBench: Bench<Size> = {
  name: 'fanout',
  summary: 'One stream to 50 subscribers, beside bare uWebSockets.js publish',
  full: { rounds: 7, ticks: 1_000_000, subscribers: 50 },
  smoke: { rounds: 1, ticks: 50_000, subscribers: 50 },
  run,
  text,
}

async function run(options: BenchOptions<Size>): Promise<Report> {
  const cases: CaseReport[] = []
  for (const frameTicks of FRAME_TICKS) cases.push(await runCase(options, frameTicks))
  const ratio = (each: CaseReport) => median(ratios(each))
  return {
    ticks: options.ticks,
    subscribers: options.subscribers,
    durability: 'none: the feed does not wait for the disk',
    cases,
    goals: cases.map((each) =>
      atLeast(GOAL_RATIO, `fan-out against publish, frames of ${each.frameTicks}`, ratio(each)),
    ),
  }
}

function ratios({ rounds }: CaseReport): number[] {
  return rounds.map(({ tickd, bare }) => tickd.recordsPerSecond / bare.recordsPerSecond)
}

async function runCase(options: BenchOptions<Size>, frameTicks: number): Promise<CaseReport> {
  const crew: Crew[] = []
  try {
    const client = await Crew.process('./fanout-client.ts', [])
    crew.push(client)
    const servers = {} as Record<Mode, Crew>
    for (const mode of MODES) {
      const server = await Crew.process('./fanout-server.ts', [mode, frameTicks])
      crew.push(server)
      servers[mode] = server
      const address = await server.ask<{ url: string; controlPort: number }>('address')
      const { subscribers } = options
      const isBare = mode === 'bare'
      const order: ConnectOrder = { op: 'connect', name: mode, ...address, subscribers, isBare }
      await client.ask(order)
    }
    const rounds: CaseReport['rounds'] = []
    // The first round warms up, and is not counted.
    for (let round = -1; round < options.rounds; round++) {
      const runs = {} as Record<Mode, Run>
      // The two take turns in going first.
      for (const mode of round % 2 === 0 ? MODES : MODES.toReversed()) {
        runs[mode] = await runOnce(servers[mode], client, mode, options)
      }
      if (runs.tickd.bytes !== runs.bare.bytes) {
        throw new Error(`${runs.tickd.bytes} bytes of ours, ${runs.bare.bytes} of the yardstick`)
      }
      if (round >= 0) rounds.push(runs)
      const perSecond = Math.round(runs.tickd.recordsPerSecond / 1e6)
      options.progress(`frames of ${frameTicks}: ${perSecond} M records/s`)
    }
    return { frameTicks, rounds }
  } finally {
    // The subscribers, first in the list, before what they are connected to.
    for (const member of crew) await member.end()
  }
}

async function runOnce(
  server: Crew,
  client: Crew,
  name: Mode,
  options: BenchOptions<Size>,
): Promise<Run> {
  const ticks = Math.ceil(options.ticks / PUBLISH_TICKS) * PUBLISH_TICKS
  const serverCpu = cpuSecondsOf(server.pid)
  const clientCpu = cpuSecondsOf(client.pid)
  const order: CountOrder = { op: 'count', name, ticks }
  const counted = client.ask<CountAnswer>(order)
  const beganNs = await server.ask<number>(ticks)
  const { endedNs, records, bytes, declared, holes } = await counted
  const expected = ticks * options.subscribers
  if (records !== expected || declared > 0 || holes > 0) {
    throw new Error(`${name}: ${records} of ${expected}, ${declared} declared, ${holes} holes`)
  }
  const seconds = (endedNs - beganNs) / NS_PER_S
  return {
    recordsPerSecond: records / seconds,
    bytesPerSecond: bytes / seconds,
    bytes,
    serverCores: (cpuSecondsOf(server.pid) - serverCpu) / seconds,
    clientCores: (cpuSecondsOf(client.pid) - clientCpu) / seconds,
  }
}

function text(report: Report): string {
  const cases = report.cases as CaseReport[]
  let out = headText(
    report,
    `${report.ticks} ticks a round to each of ${report.subscribers} subscribers`,
  )
  for (const each of cases) {
    const of = (mode: Mode, field: keyof Run, unit = 1) =>
      each.rounds.map((round) => round[mode][field] / unit)
    out += `  frames of ${each.frameTicks} ticks:\n`
    out += figureText('  tickd, delivered', of('tickd', 'recordsPerSecond', 1e6), 1, 'M records/s')
    out += figureText('    in bytes', of('tickd', 'bytesPerSecond', 1e9), 2, 'GB/s')
    out += figureText('  bare publish', of('bare', 'recordsPerSecond', 1e6), 1, 'M records/s')
    out += figureText('    in bytes', of('bare', 'bytesPerSecond', 1e9), 2, 'GB/s')
    out += figureText('  ratio', ratios(each), 2, '')
    out += figureText('  CPU of our server', of('tickd', 'serverCores'), 2, 'cores')
    out += figureText('  CPU of the bare server', of('bare', 'serverCores'), 2, 'cores')
    out += figureText('  CPU of the subscribers (tickd)', of('tickd', 'clientCores'), 2, 'cores')
    out += figureText('  CPU of the subscribers (bare)', of('bare', 'clientCores'), 2, 'cores')
  }
  const verified = '  verified: every record to every subscriber, dense, the same bytes\n'
  return out + verified + goalsText(report)
}
