// Very many subscribers, each with symbols of its own: what they get, and what they cost.
//
//   generator ─tcp─▶ tickd ─ws─▶ 1,000 subscribers x 10 of 200 symbols, some of which never read
//                    tickd ─ws─▶ 10,000 subscribers x 10 symbols, and no ticks at all
//
// Rounds with and without the stalled ones take turns, so that the others' latencies can be put
// beside each other. A tick's clock starts when it was due to be sent (latency.ts). Verified: each
// subscriber that reads has every record of its symbols and no other, dense and in order, or has
// been told which not; the idle ones are all still connected at the end. Memory is the daemon's
// resident set, before and after, divided by their number.

import { readFileSync } from 'node:fs'
import { loadavg } from 'node:os'
import { setTimeout as delay } from 'node:timers/promises'
import { DaemonProcess } from '../test/support/daemon.ts'
import {
  atLeast,
  atMost,
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
import type { LatencySummary } from './histogram.ts'
import type { LoadTask, RunOrder, Sample } from './live-load.ts'
import { openStalled } from './stalled-reader.ts'
import { type SymbolSets, setOf, symbolsOf } from './symbol-sets.ts'
import { FIRST_ID } from './trade-lines.ts'

const GROUP_US = 1000
const WARMUP_SHARE = 0.2
const POLL_MS = 50
const DELIVERED_MS_MAX = 60_000
const SETTLE_MS = 500
const GOAL_RATIO = 1.1
/** File descriptors that a process needs beside those of its subscribers. */
const FILES_RESERVED = 256
/** Configured: nobody is turned away. */
const SUBSCRIBERS_MAX = 100_000

type Size =
  | 'rounds'
  | 'rate'
  | 'subscribers'
  | 'stalled'
  | 'symbols'
  | 'setSize'
  | 'seconds'
  | 'idleSubscribers'
  | 'idleSeconds'

interface Run {
  readonly latency: LatencySummary
  /** To those that read. */
  readonly recordsPerSecond: number
  readonly framesPerSecond: number
  readonly declared: number
  /** Records that the stalled ones were not sent. */
  readonly skipped: number
  readonly cores: number
  readonly residentMib: number
}

interface Busy {
  readonly rounds: { readonly without: Run; readonly with: Run }[]
  readonly kibPerSubscriber: { readonly connected: number; readonly afterLoad: number }
}

interface Idle {
  readonly wanted: number
  readonly connected: number
  readonly filesMax: number
  readonly kibPerSubscriber: number
  /** Of a core: before anybody had connected, and with all. */
  readonly cpuPercentAlone: number
  readonly cpuPercent: number
}

export const subscribersBench: Bench<Size> = {
  name: 'subscribers',
  summary: 'Thousands of subscribers with symbols of their own, some stalled; and idle ones',
  full: {
    rounds: 3,
    rate: 20_000,
    subscribers: 1000,
    stalled: 10,
    symbols: 200,
    setSize: 10,
    seconds: 15,
    idleSubscribers: 10_000,
    idleSeconds: 10,
  },
  smoke: {
    rounds: 1,
    rate: 2000,
    subscribers: 50,
    stalled: 2,
    symbols: 200,
    setSize: 10,
    seconds: 0.2,
    idleSubscribers: 200,
    idleSeconds: 0.2,
  },
  run,
  text,
}

async function run(options: BenchOptions<Size>): Promise<Report> {
  const { progress: _, ...sizes } = options
  const loadAverage = loadavg().map((each) => Math.round(each * 100) / 100)
  const idle = await withDaemon('off', (daemon) => runIdle(daemon, options))
  options.progress(`${idle.connected} idle: ${Math.round(idle.kibPerSubscriber)} KiB each`)
  const { rounds, kibPerSubscriber } = await withDaemon('embedded', (daemon) =>
    runBusy(daemon, options),
  )
  return {
    ...sizes,
    loadAverage,
    durability: 'the feed does not wait for the disk; journal and PostgreSQL run beside it',
    rounds,
    kibPerSubscriber,
    idle,
    goals: [
      atMost(GOAL_RATIO, 'p99 with the stalled ones, against without', ratioOf(rounds)),
      atLeast(1, 'records a round that the stalled ones were not sent', skippedOf(rounds)),
    ],
  }
}

function ratioOf(rounds: Busy['rounds']): number {
  return median(rounds.map((round) => round.with.latency.p99Us / round.without.latency.p99Us))
}

function skippedOf(rounds: Busy['rounds']): number {
  return median(rounds.map((round) => round.with.skipped))
}

async function withDaemon<T>(
  postgres: 'off' | 'embedded',
  work: (daemon: DaemonProcess) => Promise<T>,
): Promise<T> {
  const daemon = await DaemonProcess.start({
    config: {
      sources: [{ name: 'push', type: 'tcp', listen: { port: 0 } }],
      serve: { listen: { port: 0 }, subscribers_max: SUBSCRIBERS_MAX },
      postgres: { mode: postgres },
      access: { connections_max: 2 * SUBSCRIBERS_MAX },
    },
  })
  try {
    return await work(daemon)
  } finally {
    await daemon.stop()
  }
}

function crowd(daemon: DaemonProcess, subscribers: number, sets: SymbolSets, firstId = FIRST_ID) {
  const address = { ...daemon.listening('push'), url: daemon.address('feed') }
  const task: LoadTask = { target: 'tickd', ...address, subscribers, sets, firstId }
  return Crew.process('./live-load.ts', [JSON.stringify(task)])
}

async function runIdle(daemon: DaemonProcess, options: BenchOptions<Size>): Promise<Idle> {
  const { idleSubscribers: wanted, idleSeconds, symbols, setSize: size } = options
  const filesMax = Math.min(filesMaxOf('self'), filesMaxOf(daemon.pid))
  const connected = Math.max(1, Math.min(wanted, filesMax - FILES_RESERVED))
  // One has shown it the way: code is loaded, buffers are there.
  await (await crowd(daemon, 1, { symbols, size })).end()
  const cpuPercentAlone = await cpuPercent(daemon.pid, idleSeconds)
  const beforeMib = residentMib(daemon.pid)
  const clients = await crowd(daemon, connected, { symbols, size })
  try {
    const used = await cpuPercent(daemon.pid, idleSeconds)
    const kibPerSubscriber = ((residentMib(daemon.pid) - beforeMib) * 1024) / connected
    const there = await metric(daemon, 'subscribers')
    if (there !== connected) throw new Error(`${there} of ${connected} idle subscribers are there`)
    return { wanted, connected, filesMax, kibPerSubscriber, cpuPercentAlone, cpuPercent: used }
  } finally {
    await clients.end()
  }
}

async function runBusy(daemon: DaemonProcess, options: BenchOptions<Size>): Promise<Busy> {
  const { rate, subscribers, stalled, symbols, setSize: size, seconds, rounds: count } = options
  const sets = { symbols, size }
  const ticks = Math.ceil((rate * seconds) / symbols) * symbols
  const warmupTicks = Math.round(ticks * WARMUP_SHARE)
  const order: RunOrder = { op: 'run', rate, ticks, groupUs: GROUP_US, warmupTicks }
  // Rings, buffers and instruments are there before memory is looked at.
  const first = await crowd(daemon, 1, sets)
  await delivered(first, order)
  await first.end()
  const beforeMib = residentMib(daemon.pid)
  const readers = subscribers - stalled
  const kibEach = () => ((residentMib(daemon.pid) - beforeMib) * 1024) / readers
  const clients = await crowd(daemon, readers, sets, FIRST_ID + ticks)
  try {
    const connected = kibEach()
    const rounds: Busy['rounds'] = []
    const once = (isWith: boolean) => runOnce(daemon, clients, order, isWith ? options : undefined)
    // A round that is not counted warms all connections up.
    await once(false)
    const afterLoad = kibEach()
    for (let round = 0; round < count; round++) {
      const isWithFirst = round % 2 === 1
      const one = await once(isWithFirst)
      const other = await once(!isWithFirst)
      rounds.push(isWithFirst ? { without: other, with: one } : { without: one, with: other })
      const { p50Us, p99Us } = (rounds.at(-1) as Busy['rounds'][number]).with.latency
      options.progress(`with stalled ones: p50 ${p50Us} µs, p99 ${p99Us} µs`)
    }
    return { rounds, kibPerSubscriber: { connected, afterLoad } }
  } finally {
    await clients.end()
  }
}

/** `options`: with the stalled ones. */
async function runOnce(
  daemon: DaemonProcess,
  clients: Crew,
  order: RunOrder,
  options: BenchOptions<Size> | undefined,
): Promise<Run> {
  const { stalled = 0, symbols = 0 } = options ?? {}
  const sockets = await Promise.all(
    Array.from({ length: stalled }, (_, i) => {
      // Nearly all of them: so its queue is full within seconds.
      const set = setOf({ symbols, size: symbols - 1 }, i)
      return openStalled(daemon.address('feed'), symbolsOf(set))
    }),
  )
  try {
    const before = await clients.ask<Sample>({ op: 'sample' })
    const skippedBefore = await metric(daemon, 'records_skipped_total')
    const cpuBefore = cpuSecondsOf(daemon.pid)
    const { sample, seconds } = await delivered(clients, order)
    const cores = (cpuSecondsOf(daemon.pid) - cpuBefore) / seconds
    const of = (field: 'records' | 'frames' | 'declared') => {
      return sample.tally[field] - before.tally[field]
    }
    if (sample.tally.holes > 0) throw new Error(`${sample.tally.holes} holes, or ticks of others`)
    const skipped = (await metric(daemon, 'records_skipped_total')) - skippedBefore
    return {
      latency: sample.latency,
      recordsPerSecond: of('records') / seconds,
      framesPerSecond: of('frames') / seconds,
      declared: of('declared'),
      skipped: skipped - of('declared'),
      cores,
      residentMib: residentMib(daemon.pid),
    }
  } finally {
    for (const socket of sockets) socket.destroy()
  }
}

/** A whole run: each subscriber has, or has been told of, all that it is to have. */
async function delivered(
  clients: Crew,
  order: RunOrder,
): Promise<{ sample: Sample; seconds: number }> {
  const { startNs } = await clients.ask<{ startNs: number }>(order)
  const elapsedMs = () => Number(process.hrtime.bigint()) / 1e6 - startNs / 1e6
  const dueMs = (order.ticks / order.rate) * 1000
  await delay(Math.max(0, dueMs - elapsedMs()))
  while (!(await clients.ask<boolean>({ op: 'done' }))) {
    if (elapsedMs() > dueMs + DELIVERED_MS_MAX) {
      const { tally } = await clients.ask<Sample>({ op: 'sample' })
      throw new Error(`not delivered in ${DELIVERED_MS_MAX} ms: ${JSON.stringify(tally)}`)
    }
    await delay(POLL_MS)
  }
  const seconds = elapsedMs() / 1000
  return { sample: await clients.ask<Sample>({ op: 'sample' }), seconds }
}

/** CPU of a process, in percent of a core. */
async function cpuPercent(pid: number, seconds: number): Promise<number> {
  // What came before is done first.
  await delay(Math.min(SETTLE_MS, seconds * 1000))
  const cpuSeconds = cpuSecondsOf(pid)
  const beganMs = performance.now()
  await delay(seconds * 1000)
  return ((cpuSecondsOf(pid) - cpuSeconds) * 100_000) / (performance.now() - beganMs)
}

function residentMib(pid: number): number {
  const kib = /VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]
  return Number(kib) / 1024
}

/** How many files a process may have open: Node raises it to the hard limit when it starts. */
function filesMaxOf(pid: number | 'self'): number {
  const text = readFileSync(`/proc/${pid}/limits`, 'utf8')
  return Number(/Max open files +(\d+)/.exec(text)?.[1] ?? Number.POSITIVE_INFINITY)
}

async function metric(daemon: DaemonProcess, name: string): Promise<number> {
  const text = await (await fetch(`${daemon.address('http')}/metrics`)).text()
  const found = [...text.matchAll(new RegExp(`^tickd_serve_${name}(?:\\{.*\\})? (\\S+)$`, 'gm'))]
  if (found.length === 0) throw new Error(`no metric tickd_serve_${name}`)
  return found.reduce((sum, [, value]) => sum + Number(value), 0)
}

function text(report: Report): string {
  const { rounds, kibPerSubscriber, idle } = report as unknown as Busy & { idle: Idle }
  let out = headText(
    report,
    `${report.subscribers} subscribers x ${report.setSize} of ${report.symbols} symbols, ` +
      `${report.rate} ticks/s, ${report.stalled} stalled`,
  )
  out += `  load average before: ${(report.loadAverage as number[]).join(' ')}\n`
  for (const which of ['without', 'with'] as const) {
    const of = (value: (run: Run) => number) => rounds.map((round) => value(round[which]))
    out += `  ${which} those that never read:\n`
    out += figureText('  delivered to the others, records/s', of(recordsPerSecond), 0, '')
    out += figureText(
      '    in frames/s',
      of(({ framesPerSecond: each }) => each),
      0,
      '',
    )
    out += figureText(
      '  p50',
      of(({ latency }) => latency.p50Us / 1000),
      2,
      'ms',
    )
    out += figureText(
      '  p99',
      of(({ latency }) => latency.p99Us / 1000),
      2,
      'ms',
    )
    out += figureText(
      '  p99.9',
      of(({ latency }) => latency.p999Us / 1000),
      2,
      'ms',
    )
    out += figureText(
      '  declared missing to the others',
      of(({ declared }) => declared),
      0,
      '',
    )
    out += figureText(
      '  not sent to the stalled ones',
      of(({ skipped }) => skipped),
      0,
      '',
    )
    out += figureText(
      '  CPU of the daemon',
      of(({ cores }) => cores),
      2,
      'cores',
    )
    out += figureText(
      '  memory of the daemon',
      of((each) => each.residentMib),
      0,
      'MiB',
    )
  }
  const { connected, afterLoad } = kibPerSubscriber
  out += figureText('memory a subscriber, connected', [connected], 1, 'KiB')
  out += figureText('memory a subscriber, behind a round', [afterLoad], 1, 'KiB')
  out += idleText(idle)
  const verified =
    '  verified: every record of its symbols to each that reads, dense, or declared\n'
  return out + verified + goalsText(report)
}

function idleText(idle: Idle): string {
  const isAll = idle.connected === idle.wanted
  const why = isAll ? '' : ` (${idle.wanted} wanted: \`ulimit -n\` allows ${idle.filesMax} files)`
  let out = `  ${idle.connected} idle subscribers${why}:\n`
  out += figureText('  memory a subscriber', [idle.kibPerSubscriber], 1, 'KiB')
  out += figureText('  CPU of the daemon', [idle.cpuPercent], 2, '% of a core')
  out += figureText('    before they came', [idle.cpuPercentAlone], 2, '% of a core')
  return out
}

function recordsPerSecond({ recordsPerSecond: each }: Run): number {
  return each
}
