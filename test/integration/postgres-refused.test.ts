// Records that the database refuses are found, kept, and left out; all others are stored, once.

import { spawnSync } from 'node:child_process'
import { rmSync } from 'node:fs'
import t, { type Test } from 'tap'
import { STORE_REFUSALS_PER_MINUTE_MAX, STORE_STALL_MS_MAX } from '../../src/limits.ts'
import type { PostgresAgent } from '../../src/storage/postgres/agent.ts'
import { TICK_BYTES } from '../../src/tick/layout.ts'
import { CuttingProxy } from '../support/cutting-proxy.ts'
import { startPostgres, type TestPostgres, temporaryDirectory } from '../support/postgres.ts'
import { runUntil, StoreBench } from '../support/store-bench.ts'
import { seededRandom } from '../unit/storage/postgres/batch-fixture.ts'

const TABLES = ['trade', 'quote', 'book', 'price', 'status']

let postgres: TestPostgres
t.before(async () => {
  postgres = await startPostgres()
})
t.teardown(() => postgres.stop())

function bench(t: Test): StoreBench {
  const directory = temporaryDirectory('store')
  const store = new StoreBench(directory)
  t.teardown(() => {
    store.close()
    rmSync(directory, { recursive: true, force: true })
  })
  return store
}

/** An agent of a schema that has its tables, and nothing stored yet. */
async function started(t: Test, store: StoreBench, schema: string): Promise<PostgresAgent> {
  const agent = store.agent(postgres.url, { schema, batch_rows: 2000, copy_buffer_bytes: 16384 })
  t.teardown(() => agent.onClose())
  await agent.onStart()
  return agent
}

/** Sequences that a query gives as `seq`, in order. */
async function seqs(query: string): Promise<number[]> {
  return (await postgres.psql(`${query} ORDER BY seq`)).map(({ seq }) => Number(seq))
}

async function stored(schema: string): Promise<number[]> {
  const all = TABLES.map((table) => `SELECT seq FROM ${schema}.${table}`)
  return await seqs(all.join(' UNION ALL '))
}

async function refused(schema: string): Promise<number[]> {
  return await seqs(`SELECT seq FROM ${schema}.refused`)
}

/** What is stored and what is refused are together all records, each once. */
async function assertWhole(t: Test, store: StoreBench, schema: string): Promise<void> {
  const all = [...(await stored(schema)), ...(await refused(schema))].sort((a, b) => a - b)
  t.same(
    all,
    Array.from({ length: store.durable }, (_, seq) => seq),
    'each record is stored or refused, once',
  )
  const { counters } = store
  const settled = counters.get('records') + counters.get('records_refused')
  t.equal(settled, store.durable, 'and so say the counters')
  t.equal(counters.get('records_refused'), (await refused(schema)).length)
}

t.test(
  'a constraint of the operator’s costs the records that break it, and no other',
  async (t) => {
    const store = bench(t)
    const agent = await started(t, store, 'checked')
    // Trades are every fifth record; their trade_id is their sequence + 2.
    await postgres.psql(
      `ALTER TABLE checked.trade ADD CONSTRAINT liked CHECK (trade_id NOT IN (2, 1717, 4997));
     ALTER TABLE checked.quote ADD CONSTRAINT small CHECK (bid_price <> 3001 * 10000000::int8)`,
    )
    store.append(5000)
    await runUntil(agent, () => store.stored.load() === 5000, 'all is settled')
    t.same(await refused('checked'), [0, 1715, 3001, 4995])
    await assertWhole(t, store, 'checked')
    t.same(
      store.letters.map(({ seq }) => seq).sort((a, b) => a - b),
      [0, 1715, 3001, 4995],
    )
    t.match(store.letters[0]?.detail, /^23514 .*liked/)
    const [row] = await postgres.psql(
      'SELECT sqlstate, message, length(tick) AS bytes FROM checked.refused WHERE seq = 3001',
    )
    t.match(row, { sqlstate: '23514', message: /"small"/, bytes: TICK_BYTES })
    t.equal(store.counters.get('failures'), 0, 'the connection is kept')
    t.same(new Set(store.incidents.map(({ kind }) => kind)), new Set(['records_refused']))
  },
)

t.test('a deferred trigger names no row: the batch is halved until one is left', async (t) => {
  const store = bench(t)
  const agent = await started(t, store, 'deferred')
  await postgres.psql(`
    CREATE FUNCTION deferred.dislike() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
      IF NEW.trade_id IN (1002, 1007, 3332) THEN RAISE EXCEPTION 'not this one'; END IF;
      RETURN NULL;
    END $$;
    CREATE CONSTRAINT TRIGGER dislike AFTER INSERT ON deferred.trade
      DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION deferred.dislike()`)
  store.append(4000)
  await runUntil(agent, () => store.stored.load() === 4000, 'all is settled')
  t.same(await refused('deferred'), [1000, 1005, 3330])
  await assertWhole(t, store, 'deferred')
  t.match(store.letters[0]?.detail, 'P0001 not this one')
})

t.test('a unique index refuses the second of two', async (t) => {
  const store = bench(t)
  const agent = await started(t, store, 'unique_')
  store.append(1)
  await runUntil(agent, () => store.stored.load() === 1, 'the partition is there')
  await postgres.psql(
    `CREATE UNIQUE INDEX ON unique_.trade_20260301
       ((CASE WHEN seq IN (5, 700) THEN 1 ELSE -seq END))`,
  )
  store.append(999)
  await runUntil(agent, () => store.stored.load() === 1000, 'all is settled')
  t.same(await refused('unique_'), [700])
  await assertWhole(t, store, 'unique_')
})

t.test('a rule that nothing meets holds the store, and says so, until it is gone', async (t) => {
  const store = bench(t)
  const agent = await started(t, store, 'strict')
  await postgres.psql('ALTER TABLE strict.trade ADD CONSTRAINT none CHECK (size < 0)')
  store.append(4000)
  await runUntil(agent, () => agent.status().lastError !== undefined, 'held')
  t.match(agent.status().lastError, {
    code: 'POSTGRES_SCHEMA_CHANGED',
    message: /more than 100 records a minute.*23514.*none.*storing holds/s,
  })
  t.equal(store.breaker.counters.get('state'), 2, 'the breaker is open')
  t.match(store.incidents.at(-1), { kind: 'store_held', evidence: { error: /storing holds/ } })
  await postgres.psql('ALTER TABLE strict.trade DROP CONSTRAINT none')
  await runUntil(agent, () => store.stored.load() === 4000, 'goes on once the rule is gone')
  t.equal((await refused('strict')).length, STORE_REFUSALS_PER_MINUTE_MAX)
  await assertWhole(t, store, 'strict')
  t.equal(store.breaker.counters.get('state'), 0)
})

t.test(
  'a commit whose answer is lost is counted: what it stored, and what it refused',
  async (t) => {
    const store = bench(t)
    const agent = await started(t, store, 'unheard')
    await postgres.psql('ALTER TABLE unheard.trade ADD CHECK (seq <> 5)')
    store.append(1000)
    await runUntil(agent, () => store.letters.length === 1, 'the culprit is found')
    // While we do nothing, the server commits; then its answer is thrown away with the connection.
    spawnSync('sleep', ['0.3'])
    const monoMs = store.clock.monoMs.bind(store.clock)
    store.clock.monoMs = () => monoMs() + STORE_STALL_MS_MAX + 1
    agent.doWork()
    t.match(agent.status(), { connected: false })
    await runUntil(agent, () => store.stored.load() === 1000, 'all is settled')
    t.equal(store.counters.get('batches'), 0, 'no answer was heard')
    await assertWhole(t, store, 'unheard')
  },
)

t.test('refused records and cut connections: each record is settled once', async (t) => {
  const random = seededRandom(t)
  const store = bench(t)
  const direct = await started(t, store, 'torn')
  direct.onClose()
  await postgres.psql(
    `ALTER TABLE torn.book ADD CHECK (seq % 1009 <> 7);
     ALTER TABLE torn.trade ADD CHECK (seq <> 0)`,
  )
  store.append(20_000)
  const proxy = await CuttingProxy.start(postgres.server.port, () => {
    return { toServer: 9000 + random() * 300_000, toClient: 5500 + random() * 5000 }
  })
  t.teardown(() => proxy.stop())
  const url = postgres.url.replace(`:${postgres.server.port}/`, `:${proxy.port}/`)
  const agent = store.agent(url, { schema: 'torn', batch_rows: 500, copy_buffer_bytes: 16384 })
  t.teardown(() => agent.onClose())
  await agent.onStart()
  // The waits between attempts are real: the clock is moved instead of slept on.
  const monoMs = store.clock.monoMs.bind(store.clock)
  store.clock.monoMs = () => monoMs() * 100
  await runUntil(agent, () => store.stored.load() === 20_000, 'all is settled', 60_000)
  t.ok(proxy.cuts > 3, `${proxy.cuts} connections were cut`)
  t.ok((await refused('torn')).length >= 2)
  await assertWhole(t, store, 'torn')
})
