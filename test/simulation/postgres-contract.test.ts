// The simulated PostgreSQL and a real one are held to the same: one contract, both run it.
//
// The contract is what the store relies on, through the store's own writer: where rows go, what a
// position is worth, what a lock, a fence and a cut connection do.

import t, { type Test } from 'tap'
import { SimulatedClock } from '../../src/clock.ts'
import { silentLog } from '../../src/ops/log.ts'
import { Random } from '../../src/source/random.ts'
import { BatchPlan } from '../../src/storage/postgres/batch-plan.ts'
import { connect } from '../../src/storage/postgres/connection.ts'
import { jsCopyKernel } from '../../src/storage/postgres/encode.ts'
import { DAY_S, FIRST_DAY } from '../../src/storage/postgres/partitions.ts'
import { PostgresWriter } from '../../src/storage/postgres/writer.ts'
import { TickBatch } from '../../src/tick/batch.ts'
import { InstrumentTable } from '../../src/tick/instruments.ts'
import { psql, startPostgres } from '../support/postgres.ts'
import { FIRST_SEC, putRecord } from '../support/store-bench.ts'
import { SimulatedPostgres } from './simulated-postgres.ts'

const KINDS = ['trade', 'quote', 'book', 'price', 'status']
const TODAY = Math.floor(FIRST_SEC / DAY_S)
const SHARD = 3
const LOCK_TIMEOUT_MS = 200

/** A database under the contract. */
interface Subject {
  readonly url: string
  readonly connect: typeof connect
  /** Waits for a promise of the store, and lets the database work meanwhile. */
  settle<T>(promise: Promise<T>): Promise<T>
  /** Every row: sequence, table, instrument; by sequence. */
  rows(schema: string): Promise<unknown[]>
  /** Breaks all connections of the store. */
  cutAll(): Promise<void>
}

function simulated(): Subject {
  const clock = new SimulatedClock()
  const postgres = new SimulatedPostgres(clock, new Random(1))
  return {
    url: 'postgresql://simulated',
    connect: postgres.connect,
    settle: async (promise) => {
      let isSettled = false
      const end = () => {
        isSettled = true
      }
      promise.then(end, end)
      while (!isSettled) {
        postgres.turn()
        clock.advance(1)
        await new Promise((resolve) => setImmediate(resolve))
      }
      return await promise
    },
    rows: async () =>
      postgres.rows
        .map(({ seq, table, instrument }) => ({ seq, table, instrument }))
        .sort((a, b) => a.seq - b.seq),
    cutAll: async () => postgres.cutAll(),
  }
}

async function real(): Promise<Subject & { stop(): Promise<void> }> {
  const server = await startPostgres()
  return {
    url: server.url,
    connect,
    settle: (promise) => promise,
    rows: async (schema) => {
      const all = KINDS.map(
        (kind) => `SELECT (seq & 281474976710655)::int4 AS seq,
          split_part(tableoid::regclass::text, '.', 2) AS table, instrument FROM ${schema}.${kind}`,
      )
      return await psql(server.url, `${all.join(' UNION ALL ')} ORDER BY seq`)
    },
    cutAll: async () => {
      await psql(
        server.url,
        `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
         WHERE application_name LIKE 'tickd%'`,
      )
    },
    stop: () => server.stop(),
  }
}

class Contract {
  readonly #subject: Subject
  readonly #schema: string
  readonly #instruments = new InstrumentTable(InstrumentTable.create(64), 64)

  constructor(subject: Subject, schema: string) {
    this.#subject = subject
    this.#schema = schema
    for (const symbol of ['A', 'B', 'C']) this.#instruments.add('contract', symbol, symbol)
  }

  open(): Promise<PostgresWriter> {
    const { url, connect: open, settle } = this.#subject
    return settle(
      PostgresWriter.open({
        url,
        schema: this.#schema,
        shard: SHARD,
        connectTimeoutMs: 5000,
        lockTimeoutMs: LOCK_TIMEOUT_MS,
        copyBufferBytes: 4096,
        synchronousCommit: false,
        partitionDaysAhead: 0,
        instruments: this.#instruments,
        kernel: jsCopyKernel,
        connect: open,
        log: silentLog,
        onProgress: () => {},
        onLost: () => {},
      }),
    )
  }

  /** Stores `count` records from `firstSeq` on, where the writer believes itself to be. */
  async store(writer: PostgresWriter, firstSeq: number, count: number): Promise<number> {
    const batch = new TickBatch(count)
    for (let i = 0; i < count; i++) putRecord(batch, i, firstSeq + i)
    batch.count = count
    const plan = new BatchPlan(count)
    plan.build(batch, 0, FIRST_DAY, TODAY + 1)
    const portion = {
      batch,
      plan,
      firstSeq,
      epoch: 1,
      journal: 'aa',
      start: 'bb',
      culprits: new Map(),
    }
    return (await this.#subject.settle(writer.store(portion, TODAY))).rows
  }

  rows(): Promise<unknown[]> {
    return this.#subject.rows(this.#schema)
  }

  cutAll(): Promise<void> {
    return this.#subject.cutAll()
  }
}

async function runContract(t: Test, subject: Subject): Promise<unknown[]> {
  const contract = new Contract(subject, 'contract')
  const first = await contract.open()
  t.equal(first.seq, 0, 'an empty database is at 0')
  t.equal(await contract.store(first, 0, 200), 200)
  await t.rejects(contract.open(), { code: 'POSTGRES_CONFLICT' }, 'a shard is locked')
  first.close()

  const second = await contract.open()
  t.same(
    [second.seq, second.epoch, second.found?.journal, second.found?.start],
    [200, 1, 'aa', 'bb'],
    'the position is that of the rows',
  )
  second.seq = 100
  await t.rejects(contract.store(second, 100, 50), { code: 'POSTGRES_CONFLICT' }, 'the fence')
  second.close()

  const third = await contract.open()
  t.equal(third.seq, 200, 'what the fence refused is not stored')
  await contract.cutAll()
  await t.rejects(contract.store(third, 200, 50), { code: 'POSTGRES_UNREACHABLE' }, 'a cut')
  third.close()

  const fourth = await contract.open()
  t.equal(fourth.seq, 200)
  t.equal(await contract.store(fourth, 200, 30), 30)
  fourth.close()
  const rows = await contract.rows()
  t.equal(rows.length, 230)
  return rows
}

t.test('the simulated database and a real one keep the same contract', async (t) => {
  const server = await real()
  t.teardown(() => server.stop())
  const ours = await runContract(t, simulated())
  const theirs = await runContract(t, server)
  t.same(ours, theirs, 'and hold the same rows in the same tables')
})
