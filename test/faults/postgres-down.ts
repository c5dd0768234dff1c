// Scenario: PostgreSQL is down for minutes while ticks come. Ingest and feed notice nothing; when
// it is back, the store catches up, and every tick is there once.
//
//   generator ─tcp ndjson─▶ tickd ─COPY─▶ PostgreSQL (stopped meanwhile)
//                            └────ws────▶ N subscribers      latency: from due to read, per tick

import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { median } from '../../bench/bench.ts'
import { Crew } from '../../bench/crew.ts'
import type { LoadTask, RunOrder, Sample } from '../../bench/live-load.ts'
import { DaemonProcess, makeStateDir } from '../support/daemon.ts'
import { Database } from './database.ts'
import type { Scenario } from './scenario.ts'

const GROUP_US = 1000
const SAMPLE_MS = 1000
const POLL_MS = 20
const CATCH_UP_MS_MAX = 600_000
/** Median of p99 of a second, during to before. */
const RATIO_GOAL = 1.1
/** Below so many seconds a median of p99 says nothing. */
const JUDGED_SECONDS_MIN = 20
const RATIO_DIGITS = 2

export const postgresDown: Scenario = {
  name: 'postgres-down',
  summary: 'PostgreSQL down for minutes: ingest and feed unaffected, then caught up, exactly',
  full: { minutes: 10, rate: 100_000, before: 60, after: 60, subscribers: 4 },
  smoke: { minutes: 0.05, rate: 5000, before: 3, after: 2, subscribers: 2 },
  run,
}

interface Latency {
  readonly p50Us: number
  readonly p99Us: number
}

async function run(
  sizes: Readonly<Record<string, number>>,
  print: (text: string) => void,
): Promise<boolean> {
  const { minutes = 0, rate = 0, before = 0, after = 0, subscribers = 0 } = sizes
  const directory = makeStateDir()
  const database = await Database.start(join(directory, 'postgres'))
  const daemon = await DaemonProcess.start({
    stateDir: join(directory, 'state'),
    config: {
      sources: [{ name: 'push', type: 'tcp', listen: { port: 0 } }],
      postgres: { mode: 'external', url: database.urlAt(database.port) },
    },
  })
  const endDaemon = () => process.kill(daemon.pid, 'SIGKILL')
  process.once('exit', endDaemon)
  const task: LoadTask = {
    target: 'tickd',
    ...daemon.listening('push'),
    url: daemon.address('feed'),
    subscribers,
  }
  const load = await Crew.process('./live-load.ts', [JSON.stringify(task)])
  const ticks = Math.round(rate * (before + minutes * 60 + after))
  const order: RunOrder = { op: 'run', rate, ticks, groupUs: GROUP_US, warmupTicks: rate }
  await load.ask(order)
  const well = await sample(load, before)
  await database.stop()
  print(`PostgreSQL is stopped for ${minutes} minutes, at ${rate} ticks/s`)
  const down = await sample(load, minutes * 60)
  const backlog = await lag(daemon)
  const startedMs = performance.now()
  await database.start()
  const serverMs = performance.now() - startedMs
  await untilPosition(database, backlog.durable)
  const caughtUpMs = performance.now() - startedMs
  await until(() => load.ask<boolean>({ op: 'done' }), 'all is delivered')
  await untilPosition(database, ticks)
  const last = await load.ask<Sample>({ op: 'sample' })
  const isBalanced = await verify(database, daemon, last, ticks, subscribers, print)
  await load.end()
  process.removeListener('exit', endDaemon)
  await daemon.stop()
  await database.stop()
  rmSync(directory, { recursive: true, force: true, maxRetries: 10 })
  const seconds = (caughtUpMs - serverMs) / 1000
  print(`backlog ${backlog.lag} ticks; PostgreSQL started in ${Math.round(serverMs)} ms`)
  print(`caught up in ${seconds.toFixed(1)} s: ${Math.round(backlog.lag / seconds)} ticks/s`)
  return reportLatency(well, down, print) && isBalanced
}

/** A sample a second, for so long. */
async function sample(load: Crew, seconds: number): Promise<Latency[]> {
  const samples: Latency[] = []
  const endMs = performance.now() + seconds * 1000
  while (performance.now() < endMs) {
    await delay(Math.min(SAMPLE_MS, endMs - performance.now()))
    const { latency } = await load.ask<Sample>({ op: 'sample' })
    if (latency.count > 0) samples.push(latency)
  }
  return samples
}

function reportLatency(
  well: readonly Latency[],
  down: readonly Latency[],
  print: (text: string) => void,
): boolean {
  // The first second warms up.
  const p99 = (of: readonly Latency[]) => median(of.slice(1).map(({ p99Us }) => p99Us))
  const p50 = (of: readonly Latency[]) => median(of.slice(1).map(({ p50Us }) => p50Us))
  const ratio = p99(down) / p99(well)
  print(`feed latency before: p50 ${p50(well)} µs, p99 ${p99(well)} µs (medians of seconds)`)
  print(`feed latency during: p50 ${p50(down)} µs, p99 ${p99(down)} µs`)
  const isJudged = well.length >= JUDGED_SECONDS_MIN && down.length >= JUDGED_SECONDS_MIN
  const isMet = !isJudged || ratio <= RATIO_GOAL
  const verdict = isJudged ? (isMet ? 'met' : 'NOT MET') : 'too short to judge'
  print(`p99 during / before: ${ratio.toFixed(RATIO_DIGITS)} (goal ≤ ${RATIO_GOAL}: ${verdict})`)
  return isMet
}

/** Rows = ticks, each id once, in one range; subscribers got all; the ledger balances. */
async function verify(
  database: Database,
  daemon: DaemonProcess,
  { tally }: Sample,
  ticks: number,
  subscribers: number,
  print: (text: string) => void,
): Promise<boolean> {
  const [row] = await database.query(`SELECT count(*)::int8 AS rows,
    count(DISTINCT trade_id)::int8 AS ids, (max(trade_id) - min(trade_id) + 1)::int8 AS range
    FROM tickd.trade`)
  const ledger = (await (await fetch(`${daemon.address('http')}/v1/ledger`)).json()) as {
    ok: boolean
  }
  print(`sent ${ticks}; stored ${JSON.stringify(row)}; ledger ok: ${ledger.ok}`)
  print(`delivered ${tally.records}, declared ${tally.declared}, holes ${tally.holes}`)
  const isStored = [row?.rows, row?.ids, row?.range].every((value) => Number(value) === ticks)
  const isDelivered = tally.records + tally.declared === ticks * subscribers && tally.holes === 0
  return isStored && isDelivered && ledger.ok
}

async function lag(daemon: DaemonProcess): Promise<{ lag: number; durable: number }> {
  const response = await fetch(`${daemon.address('http')}/v1/ledger`)
  const { stores } = (await response.json()) as {
    stores: Record<string, { position: number; lag: number }>
  }
  return {
    lag: stores['postgres-0']?.lag ?? 0,
    durable: stores['journal-0']?.position ?? 0,
  }
}

async function untilPosition(database: Database, seq: number): Promise<void> {
  await until(async () => {
    const [row] = await database.query('SELECT seq FROM tickd.positions WHERE shard = 0')
    return Number(row?.seq) >= seq
  }, `${seq} records are stored`)
}

async function until(test: () => Promise<boolean>, what: string): Promise<void> {
  const endMs = performance.now() + CATCH_UP_MS_MAX
  while (!(await test())) {
    if (performance.now() > endMs) throw new Error(`not in time: ${what}`)
    await delay(POLL_MS)
  }
}
