// Half of what the daemon can take, for long: does memory or latency creep, is anything lost?
//
//   generator ─tcp ndjson─▶ tickd ─COPY─▶ PostgreSQL      generator and subscribers: one process
//                            ├──────────▶ Redis
//                            └────ws────▶ N subscribers
//
// First the most that goes through is measured: ticks as fast as TCP takes them, until they are
// committed. Then `sharePercent` of it, steadily. Every interval: memory of the daemon, heap of its
// threads, latency from the intended time. The table is counted and emptied meanwhile, so that the
// disk need not hold the soak. Fails when a straight line through the samples after the warm-up
// climbs too much, or when the books do not balance: sent = decoded = journalled = rows in
// PostgreSQL, once each; each subscriber: delivered + declared.

import { readFileSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import pg from 'pg'
import { DaemonProcess } from '../test/support/daemon.ts'
import {
  atMost,
  type Bench,
  type BenchOptions,
  figureText,
  goalsText,
  headText,
  isMet,
  type Report,
} from './bench.ts'
import { Crew } from './crew.ts'
import type { LatencySummary } from './histogram.ts'
import type { LoadTask, RunOrder, Sample } from './live-load.ts'
import { readMetrics, StoredCount, sumOf, verifyBalance } from './soak-balance.ts'
import { type Trend, trendOf } from './trend.ts'

const GROUP_US = 1000
const WARMUP_SHARE = 0.25
const POLL_MS = 20
const SETTLE_MS_MAX = 120_000
/** The table is emptied so often. */
const COLLECT_EVERY_MS = 60_000
/** Samples that a trend is judged by, at least; fewer say nothing. */
const SAMPLES_MIN = 20
/** What the fitted line may climb from the end of the warm-up to the end. */
const MEMORY_GROWTH_MIB_MAX = 48
/** Doublings of the fitted p99, likewise. Fitted to logarithms: one slow interval is no creep. */
const LATENCY_DOUBLINGS_MAX = 1
const MIB = 2 ** 20

type Size = 'seconds' | 'sharePercent' | 'maximumTicks' | 'subscribers' | 'intervalSeconds'

interface SoakSample {
  readonly second: number
  readonly rssMib: number
  /** By thread. */
  readonly heapMib: Readonly<Record<string, number>>
  readonly latency: LatencySummary
  /** Durable and not yet committed in PostgreSQL. */
  readonly storeLag: number
}

export const soakBench: Bench<Size> = {
  name: 'soak',
  summary: 'Half of the maximum rate for minutes: memory and latency flat, the balance exact',
  full: {
    seconds: 600,
    sharePercent: 50,
    maximumTicks: 2_000_000,
    subscribers: 10,
    intervalSeconds: 5,
  },
  smoke: {
    seconds: 5,
    sharePercent: 50,
    maximumTicks: 50_000,
    subscribers: 2,
    intervalSeconds: 1,
  },
  run,
  text,
}

async function run(options: BenchOptions<Size>): Promise<Report> {
  const daemon = await DaemonProcess.start({
    config: {
      sources: [{ name: 'push', type: 'tcp', listen: { port: 0 } }],
      // What is stored may go: the soak is larger than the disk should be.
      journal: { retain_ms: 0, retain_bytes: 256 * MIB },
    },
  })
  const client = new pg.Client({ connectionString: daemon.postgresUrl })
  await client.connect()
  let load: Crew | undefined
  try {
    const { subscribers } = options
    const address = { ...daemon.listening('push'), url: daemon.address('feed') }
    const task: LoadTask = { target: 'tickd', ...address, subscribers }
    load = await Crew.process('./live-load.ts', [JSON.stringify(task)])
    const stored = new StoredCount(client)
    const maximum = await measureMaximum(load, stored, options.maximumTicks)
    options.progress(`maximum: ${Math.round(maximum)} ticks/s`)
    const rate = Math.floor((maximum * options.sharePercent) / 100)
    const samples = await soak(daemon, load, stored, options, rate)
    const balance = await verifyBalance(daemon, load, stored, subscribers)
    return makeReport(options, daemon, { maximum, rate, samples, balance })
  } finally {
    await load?.end()
    await client.end()
    await daemon.stop()
  }
}

/** Ticks a second from socket to committed, when nothing but TCP holds the sender back. */
async function measureMaximum(load: Crew, stored: StoredCount, ticks: number): Promise<number> {
  // Once to warm up.
  await runOut(load, stored, ticks)
  return (ticks * 1000) / (await runOut(load, stored, ticks))
}

/** Milliseconds until so many ticks were sent and committed. */
async function runOut(load: Crew, stored: StoredCount, ticks: number): Promise<number> {
  const end = (await stored.seq()) + ticks
  const order: RunOrder = { op: 'run', rate: 0, ticks, groupUs: GROUP_US, warmupTicks: 0 }
  const { startNs } = await load.ask<{ startNs: number }>(order)
  await until(async () => (await stored.seq()) >= end, 'committed')
  const ms = (Number(process.hrtime.bigint()) - startNs) / 1e6
  await until(() => load.ask<boolean>({ op: 'done' }), 'delivered')
  return ms
}

async function soak(
  daemon: DaemonProcess,
  load: Crew,
  stored: StoredCount,
  options: BenchOptions<Size>,
  rate: number,
): Promise<SoakSample[]> {
  const { seconds, intervalSeconds } = options
  const ticks = Math.round(rate * seconds)
  const samples: SoakSample[] = []
  const beganMs = performance.now()
  let collectDueMs = beganMs + COLLECT_EVERY_MS
  await load.ask({ op: 'run', rate, ticks, groupUs: GROUP_US, warmupTicks: 0 } satisfies RunOrder)
  for (let second = intervalSeconds; second <= seconds; second += intervalSeconds) {
    await delay(Math.max(0, beganMs + second * 1000 - performance.now()))
    const { latency } = await load.ask<Sample>({ op: 'sample' })
    const rssMib = residentMib(daemon.pid)
    const metrics = await readMetrics(daemon)
    const storeLag = sumOf(metrics, 'tickd_journal_records_total') - (await stored.seq())
    samples.push({ second, rssMib, heapMib: heapOfThreads(metrics), latency, storeLag })
    options.progress(`${second} s: ${Math.round(rssMib)} MiB, p99 ${latency.p99Us} µs`)
    if (performance.now() < collectDueMs) continue
    collectDueMs += COLLECT_EVERY_MS
    await stored.collect()
  }
  await until(() => load.ask<boolean>({ op: 'done' }), 'delivered')
  return samples
}

async function until(test: () => Promise<boolean>, what: string): Promise<void> {
  const deadlineMs = performance.now() + SETTLE_MS_MAX
  while (!(await test())) {
    if (performance.now() > deadlineMs) throw new Error(`not ${what} in ${SETTLE_MS_MAX} ms`)
    await delay(POLL_MS)
  }
}

function residentMib(pid: number): number {
  const kib = /VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]
  return Number(kib) / 1024
}

/** Of each thread, in MiB. */
function heapOfThreads(metrics: string): Record<string, number> {
  const lines = metrics.matchAll(/^tickd_thread_heap_used_bytes\{[^}]*"([^"]+)"\} (\S+)$/gm)
  return Object.fromEntries(
    [...lines].map(([, thread, value]) => [thread, Number(value) / MIB] as const),
  )
}

function makeReport(
  options: BenchOptions<Size>,
  daemon: DaemonProcess,
  found: { maximum: number; rate: number; samples: SoakSample[]; balance: object },
): Report {
  const { progress: _, ...sizes } = options
  const warm = found.samples.filter(({ second }) => second > options.seconds * WARMUP_SHARE)
  const seconds = warm.map(({ second }) => second)
  const rss = trendOf(
    seconds,
    warm.map((sample) => sample.rssMib),
  )
  const p99 = trendOf(
    seconds,
    warm.map(({ latency }) => Math.log2(Math.max(1, latency.p99Us))),
  )
  const isJudged = warm.length >= SAMPLES_MIN
  const goals = isJudged
    ? [
        atMost(MEMORY_GROWTH_MIB_MAX, 'growth of memory after the warm-up', rss.growth, 'MiB'),
        atMost(LATENCY_DOUBLINGS_MAX, 'growth of p99 after the warm-up', p99.growth, 'doublings'),
      ]
    : []
  return {
    ...sizes,
    redis: daemon.address('redis') !== '',
    durability: 'journal fdatasync before store; PostgreSQL synchronous_commit=off',
    ...found,
    rss,
    p99,
    isJudged,
    goals,
    // Not just a figure that is missed: what creeps ends as an outage.
    failure: goals.every(isMet) ? undefined : 'memory or latency climbs',
  }
}

function text(report: Report): string {
  const samples = report.samples as SoakSample[]
  const rss = report.rss as Trend
  const p99 = report.p99 as Trend
  const threads = Object.keys(samples.at(-1)?.heapMib ?? {})
  const judged = report.isJudged ? '' : '  too few samples to judge the trends\n'
  return (
    headText(
      report,
      `${report.seconds} s at ${report.rate} ticks/s, ${report.sharePercent} % of the measured ` +
        `maximum of ${Math.round(report.maximum as number)}; ${report.subscribers} subscribers`,
    ) +
    figureText(
      'memory of the daemon',
      samples.map((sample) => sample.rssMib),
      0,
      'MiB',
    ) +
    `  ${'  trend after the warm-up'.padEnd(44)} ${rss.perHour.toFixed(1)} MiB/h\n` +
    threads
      .map((thread) =>
        figureText(
          `  heap of ${thread}`,
          samples.map((s) => s.heapMib[thread] ?? 0),
          1,
          'MiB',
        ),
      )
      .join('') +
    figureText(
      'p50 of an interval',
      samples.map(({ latency }) => latency.p50Us),
      0,
      'µs',
    ) +
    figureText(
      'p99 of an interval',
      samples.map(({ latency }) => latency.p99Us),
      0,
      'µs',
    ) +
    `  ${'  trend after the warm-up'.padEnd(44)} doubled ${p99.growth.toFixed(2)} times\n` +
    figureText(
      'ticks not yet in PostgreSQL',
      samples.map((sample) => sample.storeLag),
      0,
      '',
    ) +
    judged +
    `  verified: ${JSON.stringify(report.balance)}\n` +
    goalsText(report)
  )
}
