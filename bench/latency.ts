// How long a tick takes from a TCP socket in to a WebSocket out, beside a bare relay.
//
//   generator ─tcp ndjson─▶ tickd ─ws─▶ N subscribers     generator and subscribers: one process
//                            └─▶ journal, PostgreSQL, Redis, all on
//   generator ─tcp lines──▶ relay ─ws─▶ N subscribers     40 lines: a publish for each read
//
// A tick's clock starts when it was due to be sent, not when it was: what waits in the generator,
// in a socket or in a queue is counted (no coordinated omission). It stops when the bytes come to
// a subscriber's socket. Percentiles are over every subscriber's every tick. Ticks are due in
// groups, 200 µs apart. Verified: each subscriber gets every tick, in a dense sequence, or has been
// told which it did not.

import { setTimeout as delay } from 'node:timers/promises'
import { DaemonProcess } from '../test/support/daemon.ts'
import {
  atMost,
  type Bench,
  type BenchOptions,
  figureText,
  type Goal,
  goalsText,
  headText,
  median,
  type Report,
} from './bench.ts'
import { cpuSecondsOf } from './cpu.ts'
import { Crew } from './crew.ts'
import type { LatencySummary } from './histogram.ts'
import type { LoadTask, RunOrder, Sample } from './live-load.ts'

const TARGETS = ['tickd', 'relay'] as const
const GROUP_US = 200
/** Share of a run whose latencies are not counted: connections and code warm up. */
const WARMUP_SHARE = 0.2
const POLL_MS = 250
const SETTLE_MS_MAX = 30_000
const GOAL_US = [
  { name: 'p50', field: 'p50Us', bound: 100 },
  { name: 'p99', field: 'p99Us', bound: 1000 },
  { name: 'p99.9', field: 'p999Us', bound: 5000 },
] as const
const GOAL_IDLE_PERCENT = 1

type Target = (typeof TARGETS)[number]
type Size = 'rounds' | 'rate' | 'lowRate' | 'subscribers' | 'seconds' | 'idleSeconds'

interface Run {
  readonly rate: number
  readonly latency: LatencySummary
  /** How late the generator was: part of the latency. */
  readonly lateness: LatencySummary
  readonly declared: number
  /** Of the server, on average over the run. */
  readonly cores: number
}

type Round = Record<Target, Run>

export const latencyBench: Bench<Size> = {
  name: 'latency',
  summary: 'TCP in to WebSocket out at a steady rate, everything on, beside a bare relay',
  full: {
    rounds: 5,
    rate: 100_000,
    lowRate: 10_000,
    subscribers: 10,
    seconds: 10,
    idleSeconds: 10,
  },
  smoke: { rounds: 1, rate: 20_000, lowRate: 5000, subscribers: 3, seconds: 1, idleSeconds: 1 },
  run,
  text,
}

async function run(options: BenchOptions<Size>): Promise<Report> {
  const daemon = await DaemonProcess.start({
    config: { sources: [{ name: 'push', type: 'tcp', listen: { port: 0 } }] },
  })
  const crew: Crew[] = []
  try {
    const relay = await Crew.process('./relay.ts', [])
    crew.push(relay)
    const relayAt = await relay.ask<Pick<LoadTask, 'host' | 'port' | 'url'>>('address')
    const daemonAt = { ...daemon.listening('push'), url: daemon.address('feed') }
    const load = async (target: Target, address: typeof relayAt) => {
      const { subscribers } = options
      const task = { target, ...address, subscribers, isFirst: true } satisfies LoadTask
      const member = await Crew.process('./live-load.ts', [JSON.stringify(task)])
      crew.push(member)
      return member
    }
    const loads = { tickd: await load('tickd', daemonAt), relay: await load('relay', relayAt) }
    const pids = { tickd: daemon.pid, relay: relay.pid }
    const rounds: Round[] = []
    // The first round warms up and is not counted: code is compiled, PostgreSQL makes its files.
    await runRound(loads, pids, options, options.rate)
    for (let round = 0; round < options.rounds; round++) {
      for (const rate of [options.rate, options.lowRate]) {
        rounds.push(await runRound(loads, pids, options, rate))
        const { p50Us, p99Us } = (rounds.at(-1) as Round).tickd.latency
        options.progress(`${rate} ticks/s: p50 ${p50Us} µs, p99 ${p99Us} µs`)
      }
    }
    const { isFirst, isLean } = await loads.tickd.ask<Sample>({ op: 'sample' })
    const idlePercent = await idleCpu(daemon.pid, options.idleSeconds)
    const redis = daemon.address('redis') !== ''
    return makeReport(options, rounds, idlePercent, { redis, isFirst, isLean })
  } finally {
    // Subscribers before what they are connected to.
    for (const member of crew.toReversed()) await member.end()
    await daemon.stop()
  }
}

function makeReport(
  options: BenchOptions<Size>,
  rounds: Round[],
  idlePercent: number,
  facts: { redis: boolean; isFirst: boolean; isLean: boolean },
): Report {
  const { progress: _, ...sizes } = options
  const goals = [options.rate, options.lowRate].flatMap((rate): Goal[] => {
    const value = (field: keyof LatencySummary) =>
      median(ofRate(rounds, rate).map(({ tickd }) => tickd.latency[field]))
    return GOAL_US.map(({ name, field, bound }) =>
      atMost(bound, `${name} at ${rate} ticks/s`, value(field), 'µs'),
    )
  })
  goals.push(atMost(GOAL_IDLE_PERCENT, 'CPU of the idle daemon', idlePercent, '%'))
  return {
    ...sizes,
    ...facts,
    groupUs: GROUP_US,
    durability: 'the feed does not wait for the disk; journal, PostgreSQL and Redis run beside it',
    rounds,
    idlePercent,
    goals,
  }
}

function ofRate(rounds: readonly Round[], rate: number): Round[] {
  return rounds.filter(({ tickd }) => tickd.rate === rate)
}

async function runRound(
  loads: Record<Target, Crew>,
  pids: Record<Target, number>,
  { seconds, subscribers }: BenchOptions<Size>,
  rate: number,
): Promise<Round> {
  const round = {} as Round
  for (const target of TARGETS) {
    const load = loads[target]
    const before = await load.ask<Sample>({ op: 'sample' })
    const cpuSeconds = cpuSecondsOf(pids[target])
    const beganMs = performance.now()
    const ticks = Math.round(rate * seconds)
    const warmupTicks = Math.round(ticks * WARMUP_SHARE)
    const order: RunOrder = { op: 'run', rate, ticks, groupUs: GROUP_US, warmupTicks }
    await load.ask(order)
    await delay(seconds * 1000)
    const after = await settled(load)
    const cores = ((cpuSecondsOf(pids[target]) - cpuSeconds) * 1000) / (performance.now() - beganMs)
    const declared = after.tally.declared - before.tally.declared
    const records = after.tally.records - before.tally.records
    if (after.tally.holes > 0 || records + declared !== ticks * subscribers) {
      throw new Error(`${target}: ${records} and ${declared} declared of ${ticks * subscribers}`)
    }
    const { latency, lateness } = after as Required<Sample>
    round[target] = { rate, latency, lateness: lateness as LatencySummary, declared, cores }
  }
  return round
}

/** The sample of a whole run: it is taken once, when all has arrived. */
async function settled(load: Crew): Promise<Sample> {
  const deadlineMs = performance.now() + SETTLE_MS_MAX
  for (;;) {
    const isDone = await load.ask<boolean>({ op: 'done' })
    if (isDone) return await load.ask<Sample>({ op: 'sample' })
    if (performance.now() > deadlineMs) {
      throw new Error(
        `not delivered in ${SETTLE_MS_MAX} ms: ${JSON.stringify(await load.ask({ op: 'sample' }))}`,
      )
    }
    await delay(POLL_MS)
  }
}

/** CPU of a process that has nothing to do, in percent of a core. */
async function idleCpu(pid: number, seconds: number): Promise<number> {
  // What the last round left is done first.
  await delay(Math.min(1, seconds) * 1000)
  const cpuSeconds = cpuSecondsOf(pid)
  const beganMs = performance.now()
  await delay(seconds * 1000)
  return ((cpuSecondsOf(pid) - cpuSeconds) * 100_000) / (performance.now() - beganMs)
}

function text(report: Report): string {
  const rounds = report.rounds as Round[]
  let out = headText(
    report,
    `TCP in to WebSocket out, ${report.subscribers} subscribers, ${report.seconds} s a round, ` +
      `Redis ${report.redis ? 'on' : 'off'}`,
  )
  out += report.isFirst
    ? '  generator and subscribers have the processors first, as if on a machine of their own\n'
    : '  generator and subscribers wait for processors, and that is counted: first is a privilege\n'
  out += report.isLean
    ? '  from when a tick was due to when it came to a subscriber’s socket (the system’s stamp)\n'
    : '  from when a tick was due to when Node read it from a subscriber’s socket: no native part\n'
  for (const rate of [report.rate, report.lowRate] as number[]) {
    out += `  at ${rate} ticks/s, due in groups every ${report.groupUs} µs:\n`
    for (const target of TARGETS) {
      const runs = ofRate(rounds, rate).map((round) => round[target])
      const of = (field: keyof LatencySummary) => runs.map(({ latency }) => latency[field])
      out += figureText(`  ${target}: p50`, of('p50Us'), 0, 'µs')
      out += figureText(`  ${target}: p99`, of('p99Us'), 0, 'µs')
      out += figureText(`  ${target}: p99.9`, of('p999Us'), 0, 'µs')
      out += figureText(`  ${target}: longest`, of('maxUs'), 0, 'µs')
      const late = (field: keyof LatencySummary) => runs.map(({ lateness }) => lateness[field])
      out += figureText('    the generator’s own lateness, p50', late('p50Us'), 0, 'µs')
      out += figureText('    the generator’s own lateness, p99', late('p99Us'), 0, 'µs')
      const cores = runs.map((run) => run.cores)
      out += figureText(`    CPU of ${target}`, cores, 2, 'cores')
    }
    for (const { name, field } of GOAL_US) {
      const times = ofRate(rounds, rate).map((r) => r.tickd.latency[field] / r.relay.latency[field])
      out += figureText(`  ${name} of tickd against the relay`, times, 2, 'times')
    }
  }
  out += `  CPU of the idle daemon: ${(report.idlePercent as number).toFixed(2)} % of a core\n`
  const verified = '  verified: every tick to every subscriber, dense, or declared\n'
  return out + verified + goalsText(report)
}
