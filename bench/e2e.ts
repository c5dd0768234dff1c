// The whole way: TCP → decode → validate → fsynced journal → COPY, beside `psql \copy`.
//
//   load generator ─tcp ndjson─▶ tickd ─COPY─▶ PostgreSQL (embedded, BRIN, daily partitions)
//    (own process)                 ├─────────▶ Redis
//                                  └─────ws──▶ N subscribers, all trades (own process)
//
// One round: push `ticks` rendered trades, stop the clock when the last one is committed. Then the
// yardstick: the same rows, pre-encoded, by `psql \copy … (format binary)` into a table of the same
// shape in the same server. Everything is on: validation, ledger counters, Redis, subscribers.
// Verified: each tick is in PostgreSQL once, and sums of prices and sizes agree.

import { type ChildProcess, execFileSync, fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import pg from 'pg'
import { activeKernels } from '../src/decode/kernels.ts'
import { DaemonProcess } from '../test/support/daemon.ts'
import {
  atLeast,
  type Bench,
  type BenchOptions,
  type Goal,
  goalsText,
  median,
  type Report,
  spreadPercent,
} from './bench.ts'
import { cpuSecondsOf, cpuSecondsOfTree } from './cpu.ts'
import { type Machine, machineText } from './machine.ts'

const FIRST_ID = 1_000_000
/** Of the yardstick's rate, by kernels. */
const GOAL_RATIO = { native: 0.9, js: 0.7 } as const
/** Each look costs a query: seldom while much is missing, and then often enough for 1 %. */
const POLL_MS = 100
const LAST_POLL_MS = 10
const LAST_SHARE = 0.1
/** Of the ticks of a round: as many go through before the first, and are not counted. */
const WARMUP_SHARE = 0.25
const ROUND_TIMEOUT_MS = 120_000

interface Round {
  ticksPerSecond: number
  yardstickRowsPerSecond: number
  ratio: number
  /** Cores kept busy, on average over the round. */
  daemonCores: number
  postgresCores: number
}

interface SubscriberTally {
  records: number
  declared: number
  holes: number
}

export const e2eBench: Bench = {
  name: 'e2e',
  summary: 'NDJSON over TCP to rows in PostgreSQL, everything on, beside psql \\copy',
  full: { rounds: 5, ticks: 2_000_000, subscribers: 10 },
  smoke: { rounds: 1, ticks: 50_000, subscribers: 2 },
  run,
  text,
}

/** The same with the JS twins of the kernels. */
export const e2eJsBench: Bench = {
  ...e2eBench,
  name: 'e2e-js',
  summary: 'The same with the JS kernels',
  run: (options) => {
    process.env.TICKD_KERNELS = 'js'
    return run(options)
  },
}

async function run(options: BenchOptions): Promise<Record<string, unknown>> {
  const workDir = mkdtempSync(join(tmpdir(), 'tickd-bench-'))
  const daemon = await DaemonProcess.start({
    config: { sources: [{ name: 'push', type: 'tcp', listen: { port: 0 } }] },
  })
  const subscribers = await startSubscribers(daemon.address('feed'), options.subscribers)
  const client = new pg.Client({ connectionString: daemon.postgresUrl })
  await client.connect()
  try {
    await createYardstick(client)
    const file = join(workDir, 'rows.bin')
    // Code is compiled, and files grow for the first time, before anything is counted.
    const warmupTicks = Math.ceil(options.ticks * WARMUP_SHARE)
    await runRound(daemon, client, { ...options, ticks: warmupTicks }, FIRST_ID, file)
    const rounds: Round[] = []
    for (let round = 0; round < options.rounds; round++) {
      const firstId = FIRST_ID + warmupTicks + round * options.ticks
      rounds.push(await runRound(daemon, client, options, firstId, file))
      const last = rounds.at(-1) as Round
      options.progress(`round ${round + 1}: ${Math.round(last.ticksPerSecond)} ticks/s`)
    }
    const pushedTicks = warmupTicks + options.ticks * options.rounds
    const feed = await subscriberTallies(subscribers, pushedTicks)
    return {
      ticks: options.ticks,
      pushedTicks,
      subscribers: options.subscribers,
      redis: daemon.address('redis') !== '',
      durability: 'journal fdatasync before store; PostgreSQL synchronous_commit=off on both sides',
      rounds,
      feed,
      goals: goals(rounds),
    }
  } finally {
    await client.end()
    subscribers?.disconnect()
    await daemon.stop()
    rmSync(workDir, { recursive: true, force: true })
  }
}

async function runRound(
  daemon: DaemonProcess,
  client: pg.Client,
  options: BenchOptions,
  firstId: number,
  file: string,
): Promise<Round> {
  await client.query('TRUNCATE tickd.trade')
  const startSeq = await storedSeq(client)
  const postgresPid = await postmasterPid(client)
  const load = await startLoad(daemon, options.ticks, firstId)
  const daemonCpu = cpuSecondsOf(daemon.pid)
  const postgresCpu = cpuSecondsOfTree(postgresPid)
  const finished = once(load, 'message')
  load.send('go')
  const endedMs = await untilStored(client, startSeq + options.ticks, options.ticks)
  const [{ startedMs }] = (await finished) as [{ startedMs: number }]
  const seconds = (endedMs - startedMs) / 1000
  const daemonCores = (cpuSecondsOf(daemon.pid) - daemonCpu) / seconds
  const postgresCores = (cpuSecondsOfTree(postgresPid) - postgresCpu) / seconds
  await verify(client, 'tickd.trade', options.ticks, firstId)
  const yardstickSeconds = await runYardstick(daemon, client, options.ticks, firstId, file)
  const ticksPerSecond = options.ticks / seconds
  const yardstickRowsPerSecond = options.ticks / yardstickSeconds
  return {
    ticksPerSecond,
    yardstickRowsPerSecond,
    ratio: ticksPerSecond / yardstickRowsPerSecond,
    daemonCores,
    postgresCores,
  }
}

function goals(rounds: readonly Round[]): Goal[] {
  const { name } = activeKernels()
  const ratio = median(rounds.map((round) => round.ratio))
  return [atLeast(GOAL_RATIO[name], `end to end against psql \\copy, ${name} kernels`, ratio, '')]
}

async function createYardstick(client: pg.Client): Promise<void> {
  await client.query('CREATE SCHEMA bench')
  await client.query(
    'CREATE TABLE bench.trade (LIKE tickd.trade INCLUDING ALL) PARTITION BY RANGE (ts)',
  )
  const day = new Date(Date.now() - 86_400_000).toISOString().slice(0, 10)
  for (let ahead = 0; ahead < 3; ahead++) {
    await client.query(
      `CREATE TABLE bench.trade_${ahead} PARTITION OF bench.trade FOR VALUES ` +
        `FROM (timestamptz '${day} 00:00Z' + interval '${ahead} day') ` +
        `TO (timestamptz '${day} 00:00Z' + interval '${ahead + 1} day')`,
    )
  }
}

/** Seconds that psql takes to load the rows of this round, pre-encoded. */
async function runYardstick(
  daemon: DaemonProcess,
  client: pg.Client,
  ticks: number,
  firstId: number,
  file: string,
): Promise<number> {
  const psql = (command: string) =>
    execFileSync('psql', ['-X', '-q', '-c', command, daemon.address('postgres')], {
      env: { ...process.env, PGOPTIONS: '-c synchronous_commit=off' },
      stdio: ['ignore', 'ignore', 'inherit'],
    })
  psql(`\\copy (SELECT * FROM tickd.trade) TO '${file}' (FORMAT binary)`)
  await client.query('TRUNCATE bench.trade')
  await client.query('CHECKPOINT')
  const startedMs = performance.now()
  psql(`\\copy bench.trade FROM '${file}' (FORMAT binary)`)
  const seconds = (performance.now() - startedMs) / 1000
  await verify(client, 'bench.trade', ticks, firstId)
  return seconds
}

/** Throws unless the table holds each tick of the round exactly once, with the right values. */
async function verify(client: pg.Client, table: string, ticks: number, id: number): Promise<void> {
  const { rows } = await client.query(
    `SELECT count(*) AS count, count(DISTINCT trade_id) AS ids, min(trade_id) AS first,
            max(trade_id) AS last, sum(price) AS price, sum(size) AS size FROM ${table}`,
  )
  let price = 0n
  let size = 0n
  for (let i = 0; i < ticks; i++) {
    price += BigInt(20_000 + (i % 9973)) * 1_000_000_000n
    price += BigInt((i * 7919) % 100) * 10_000_000n
    size += BigInt((i * 104_729) % 100_000) * 1000n + 100n
  }
  const expected = [ticks, ticks, id, id + ticks - 1, price, size].map(String)
  const found = Object.values(rows[0]).map(String)
  if (expected.join() !== found.join()) {
    throw new Error(`${table} holds ${found.join()}, expected ${expected.join()}`)
  }
}

async function storedSeq(client: pg.Client): Promise<number> {
  const { rows } = await client.query('SELECT seq FROM tickd.positions WHERE shard = 0')
  return Number(rows[0]?.seq ?? 0)
}

async function untilStored(client: pg.Client, seq: number, ticks: number): Promise<number> {
  const deadline = performance.now() + ROUND_TIMEOUT_MS
  for (;;) {
    const missing = seq - (await storedSeq(client))
    if (missing <= 0) break
    if (performance.now() > deadline) throw new Error(`not stored in ${ROUND_TIMEOUT_MS} ms`)
    const pollMs = missing > ticks * LAST_SHARE ? POLL_MS : LAST_POLL_MS
    await new Promise((resolve) => setTimeout(resolve, pollMs))
  }
  return performance.timeOrigin + performance.now()
}

async function postmasterPid(client: pg.Client): Promise<number> {
  const { rows } = await client.query(
    "SELECT split_part(pg_read_file('postmaster.pid'), E'\\n', 1)::int AS pid",
  )
  return rows[0].pid
}

async function startLoad(
  daemon: DaemonProcess,
  ticks: number,
  firstId: number,
): Promise<ChildProcess> {
  const { host, port } = daemon.listening('push')
  return await forked('./e2e-load.ts', [host, port, ticks, firstId])
}

async function startSubscribers(url: string, count: number): Promise<ChildProcess | undefined> {
  return count === 0 ? undefined : await forked('./e2e-subscribers.ts', [url, count])
}

/** Forks a script of this folder and waits until it says that it is ready. */
async function forked(script: string, argv: readonly (string | number)[]): Promise<ChildProcess> {
  const path = fileURLToPath(new URL(script, import.meta.url))
  const child = fork(path, argv.map(String), {
    execArgv: ['--disable-warning=ExperimentalWarning'],
  })
  const died = once(child, 'exit').then(() => Promise.reject(new Error(`${script} ended`)))
  died.catch(() => {})
  await Promise.race([once(child, 'message'), died])
  return child
}

/** Waits until each subscriber has had, or been told it missed, all records; checks the balance. */
async function subscriberTallies(
  child: ChildProcess | undefined,
  ticks: number,
): Promise<{ delivered: number; declaredMissed: number }> {
  if (child === undefined) return { delivered: 0, declaredMissed: 0 }
  const deadline = performance.now() + ROUND_TIMEOUT_MS
  for (;;) {
    const answer = once(child, 'message')
    child.send('report')
    const [tallies] = (await answer) as [SubscriberTally[]]
    const delivered = tallies.reduce((sum, { records }) => sum + records, 0)
    const declaredMissed = tallies.reduce((sum, { declared }) => sum + declared, 0)
    const holes = tallies.reduce((sum, tally) => sum + tally.holes, 0)
    if (holes > 0) throw new Error(`${holes} undeclared holes in subscribers' streams`)
    if (delivered + declaredMissed === ticks * tallies.length) return { delivered, declaredMissed }
    if (performance.now() > deadline) {
      throw new Error(`subscribers: ${delivered} + ${declaredMissed} of ${ticks} each`)
    }
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
}

function text(report: Record<string, unknown>): string {
  const rounds = report.rounds as Round[]
  const line = (label: string, values: number[], digits: number, unit: string) =>
    `  ${label.padEnd(34)} ${median(values).toFixed(digits)} ${unit}` +
    ` (spread ${spreadPercent(values).toFixed(0)} %)\n`
  const feed = report.feed as { delivered: number; declaredMissed: number }
  return (
    `e2e: ${report.ticks} NDJSON trades over TCP, ${rounds.length} rounds, ` +
    `${report.subscribers} subscribers, Redis ${report.redis ? 'on' : 'off'}\n` +
    machineText(report.machine as Machine) +
    `durability: ${report.durability}\n` +
    line(
      'tickd, socket to committed',
      rounds.map((r) => r.ticksPerSecond / 1e6),
      3,
      'M ticks/s',
    ) +
    line(
      'psql \\copy, pre-encoded',
      rounds.map((r) => r.yardstickRowsPerSecond / 1e6),
      3,
      'M rows/s',
    ) +
    line(
      'ratio',
      rounds.map((r) => r.ratio),
      2,
      '',
    ) +
    line(
      'CPU of the daemon',
      rounds.map((r) => r.daemonCores),
      2,
      'cores',
    ) +
    line(
      'CPU of PostgreSQL',
      rounds.map((r) => r.postgresCores),
      2,
      'cores',
    ) +
    `  feed: ${feed.delivered} delivered, ${feed.declaredMissed} declared missed, 0 holes\n` +
    '  verified: each tick in PostgreSQL exactly once, values by sum\n' +
    goalsText(report as Report)
  )
}
