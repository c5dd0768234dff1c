// The store alone: journal → read, encode, COPY → PostgreSQL, beside `psql \copy` of the same rows.
//
//   journal on disk ─read─▶ PostgresAgent ─COPY─▶ ours.trade    (embedded, BRIN, by day)
//   rows.bin (pre-encoded) ─────────── psql ────▶ yard.trade    (the same table beside it)
//
// The yardstick reads a file of ready rows; ours reads, checks and encodes them as well. The two
// take turns in going first, each round into empty tables after a checkpoint. Verified: both tables
// hold each sequence once, with the same sum of prices. Beside them: the encoder by itself.

import { execFileSync } from 'node:child_process'
import { closeSync, openSync, rmSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { BatchPlan } from '../src/storage/postgres/batch-plan.ts'
import { activeCopyKernel } from '../src/storage/postgres/copy-kernel.ts'
import { FIRST_DAY } from '../src/storage/postgres/partitions.ts'
import { columnsOf, ROW_BYTES_MAX } from '../src/storage/postgres/tables.ts'
import { TickBatch } from '../src/tick/batch.ts'
import { KIND } from '../src/tick/layout.ts'
import { startPostgres, type TestPostgres, temporaryDirectory } from '../test/support/postgres.ts'
import { FIRST_SEC, putRecord, runUntil, StoreBench } from '../test/support/store-bench.ts'
import { type Bench, type BenchOptions, median, spreadPercent } from './bench.ts'
import { type Machine, machineText } from './machine.ts'

const CHUNK_TICKS = 4096
const DAY_S = 86_400
const STORE_MS_MAX = 120_000
const COPY_HEADER = Buffer.from('PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0', 'latin1')
const COPY_TRAILER = Buffer.from([0xff, 0xff])

interface Round {
  rowsPerSecond: number
  yardstickRowsPerSecond: number
  ratio: number
  /** Of one core, by this process, while it stored. */
  cpuPercent: number
}

export const postgresCopyBench: Bench = {
  name: 'copy',
  summary: 'The PostgreSQL store alone, from the journal, beside psql \\copy',
  full: { rounds: 7, ticks: 1_000_000, subscribers: 0 },
  smoke: { rounds: 1, ticks: 20_000, subscribers: 0 },
  run,
  text,
}

async function run(options: BenchOptions): Promise<Record<string, unknown>> {
  const directory = temporaryDirectory('bench')
  const postgres = await startPostgres(undefined, [])
  const store = new StoreBench(directory)
  const file = join(directory, 'rows.bin')
  try {
    const encodeRowsPerSecond = writeInputs(store, file, options.ticks)
    const rounds: Round[] = []
    for (let round = 0; round < options.rounds; round++) {
      const result = await runRound(postgres, store, file, options.ticks, round)
      options.progress(`round ${round + 1}: ${Math.round(result.rowsPerSecond)} rows/s`)
      rounds.push(result)
    }
    return { rows: options.ticks, kernel: activeCopyKernel().name, encodeRowsPerSecond, rounds }
  } finally {
    store.close()
    await postgres.stop()
    rmSync(directory, { recursive: true, force: true })
  }
}

/** Trades only, in the journal and as a file of rows. Returns the speed of the encoder. */
function writeInputs(store: StoreBench, file: string, ticks: number): number {
  const batch = new TickBatch(CHUNK_TICKS)
  const plan = new BatchPlan(CHUNK_TICKS)
  const out = Buffer.alloc(CHUNK_TICKS * (ROW_BYTES_MAX[KIND.trade] as number))
  const view = new DataView(out.buffer, out.byteOffset, out.length)
  const fd = openSync(file, 'w')
  writeSync(fd, COPY_HEADER)
  let encodeMs = 0
  for (let seq = 0; seq < ticks; seq += CHUNK_TICKS) {
    const count = Math.min(CHUNK_TICKS, ticks - seq)
    for (let i = 0; i < count; i++) putTrade(batch, i, seq + i)
    batch.count = count
    const startMs = performance.now()
    plan.build(batch, 0, FIRST_DAY, FIRST_DAY + 20_000)
    const end = activeCopyKernel().encode(KIND.trade, batch, plan.order, 0, count, 0, seq, view, 0)
    encodeMs += performance.now() - startMs
    writeSync(fd, out, 0, end)
  }
  writeSync(fd, COPY_TRAILER)
  closeSync(fd)
  store.append(ticks, putTrade)
  return (ticks / encodeMs) * 1000
}

function putTrade(batch: TickBatch, index: number, seq: number): void {
  putRecord(batch, index, seq)
  batch.setKindSide(index, KIND.trade, 1)
}

async function runRound(
  postgres: TestPostgres,
  store: StoreBench,
  file: string,
  ticks: number,
  round: number,
): Promise<Round> {
  await createYardstick(postgres, store, ticks)
  const ours = () => storeAll(postgres, store)
  const yardstick = () => copyAll(postgres, file)
  let stored: { seconds: number; cpuPercent: number }
  let seconds: number
  if (round % 2 === 0) {
    stored = await ours()
    seconds = await yardstick()
  } else {
    seconds = await yardstick()
    stored = await ours()
  }
  const sums = await Promise.all(['ours', 'yard'].map((schema) => sumOf(postgres, schema)))
  const { rows, seqs } = sums[0] as { rows: number; seqs: number }
  if (rows !== ticks || seqs !== ticks || JSON.stringify(sums[0]) !== JSON.stringify(sums[1])) {
    throw new Error(`the tables differ: ${JSON.stringify(sums)}`)
  }
  return {
    rowsPerSecond: ticks / stored.seconds,
    yardstickRowsPerSecond: ticks / seconds,
    ratio: seconds / stored.seconds,
    cpuPercent: stored.cpuPercent,
  }
}

/** The same tables in another schema, made by the same program, empty; ours are made anew. */
async function createYardstick(
  postgres: TestPostgres,
  store: StoreBench,
  ticks: number,
): Promise<void> {
  for (const schema of ['ours', 'yard'])
    await postgres.psql(`DROP SCHEMA IF EXISTS ${schema} CASCADE`)
  const agent = store.agent(postgres.url, { schema: 'yard' })
  await agent.onStart()
  agent.onClose()
  const firstDay = Math.floor(FIRST_SEC / DAY_S)
  const lastDay = Math.floor((FIRST_SEC + ticks / 1000) / DAY_S)
  for (let day = firstDay; day <= lastDay; day++) {
    await postgres.psql(`SELECT yard.add_partition('trade', date '1970-01-01' + ${day}, 1000)`)
  }
}

async function storeAll(postgres: TestPostgres, store: StoreBench) {
  await postgres.psql('CHECKPOINT')
  store.stored.store(0)
  const agent = store.agent(postgres.url, { schema: 'ours' })
  const isStored = () => store.stored.load() === store.durable
  await agent.onStart()
  const cpu = process.cpuUsage()
  const startMs = performance.now()
  await runUntil(agent, isStored, 'all is stored', STORE_MS_MAX)
  const seconds = (performance.now() - startMs) / 1000
  const { user, system } = process.cpuUsage(cpu)
  agent.onClose()
  return { seconds, cpuPercent: (user + system) / 1e4 / seconds }
}

async function copyAll(postgres: TestPostgres, file: string): Promise<number> {
  await postgres.psql('CHECKPOINT')
  const columns = columnsOf('trade').map(({ name }) => name)
  const copy = `\\copy yard.trade (${columns}) from '${file}' (format binary)`
  const startMs = performance.now()
  execFileSync('psql', [postgres.url, '-qc', 'SET synchronous_commit = off', '-c', copy])
  return (performance.now() - startMs) / 1000
}

async function sumOf(postgres: TestPostgres, schema: string) {
  const [row] = await postgres.psql(
    `SELECT count(*)::int4 AS rows, count(DISTINCT seq)::int4 AS seqs, sum(price) AS price
     FROM ${schema}.trade`,
  )
  return row
}

function text(report: Record<string, unknown>): string {
  const { machine, rows, rounds, encodeRowsPerSecond } = report as unknown as {
    machine: Machine
    rows: number
    rounds: Round[]
    encodeRowsPerSecond: number
  }
  const line = (name: string, values: number[], scale: number, unit: string) => {
    const spread = spreadPercent(values).toFixed(0)
    return `${name.padEnd(12)}${(median(values) / scale).toFixed(2)} ${unit} (spread ${spread} %)\n`
  }
  return (
    machineText(machine) +
    `${rows} trades a round, ${rounds.length} rounds\n` +
    line(
      'store',
      rounds.map((round) => round.rowsPerSecond),
      1e6,
      'M rows/s',
    ) +
    line(
      'psql \\copy',
      rounds.map((round) => round.yardstickRowsPerSecond),
      1e6,
      'M rows/s',
    ) +
    line(
      'ratio',
      rounds.map((round) => round.ratio),
      1,
      '',
    ) +
    line(
      'cpu',
      rounds.map((round) => round.cpuPercent),
      1,
      '% of a core',
    ) +
    `encode alone ${(encodeRowsPerSecond / 1e6).toFixed(1)} M rows/s\n`
  )
}
