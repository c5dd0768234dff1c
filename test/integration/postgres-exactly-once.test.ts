// Each record is in the database exactly once, whatever is cut or killed, whenever.

import { rmSync } from 'node:fs'
import t from 'tap'
import type { PostgresAgent } from '../../src/storage/postgres/agent.ts'
import { CuttingProxy } from '../support/cutting-proxy.ts'
import { startPostgres, type TestPostgres, temporaryDirectory } from '../support/postgres.ts'
import { runUntil, StoreBench } from '../support/store-bench.ts'
import { seededRandom } from '../unit/storage/postgres/batch-fixture.ts'

const TABLES = ['trade', 'quote', 'book', 'price', 'status']
/** Small batches and pieces: many places to be cut at. */
const SETTINGS = { batch_rows: 500, copy_buffer_bytes: 16 * 1024, connect_timeout_ms: 5000 }

let postgres: TestPostgres
t.before(async () => {
  postgres = await startPostgres()
})
t.teardown(() => postgres.stop())

interface Teardown {
  teardown(fn: () => void): void
}

function bench(t: Teardown): StoreBench {
  const directory = temporaryDirectory('store')
  const store = new StoreBench(directory)
  t.teardown(() => {
    store.close()
    rmSync(directory, { recursive: true, force: true })
  })
  return store
}

/** [rows, different sequences, first, next, wrong values] of all tables of a schema. */
async function contents(schema: string): Promise<unknown> {
  const all = TABLES.map((table) => {
    const price = table === 'quote' ? 'bid_price' : table === 'status' ? 'code' : 'price'
    return `SELECT seq, ${price} AS p0 FROM ${schema}.${table}`
  }).join(' UNION ALL ')
  const [row] = await postgres.psql(
    `SELECT count(*)::int4 AS rows, count(DISTINCT seq)::int4 AS seqs, min(seq)::int4 AS first,
       max(seq)::int4 + 1 AS next,
       count(*) FILTER (WHERE p0 <> seq % 1000003 * 10000000)::int4 AS wrong FROM (${all}) a`,
  )
  return row
}

function whole(count: number): unknown {
  return { rows: count, seqs: count, first: 0, next: count, wrong: 0 }
}

async function position(schema: string): Promise<number> {
  const [row] = await postgres.psql(`SELECT seq FROM ${schema}.positions WHERE shard = 0`)
  return Number(row?.seq)
}

/** Ends, from within the server, every transaction of the agent that it finds under way. */
const KILLER = `DO $$
DECLARE
  kills int := 0;
BEGIN
  FOR i IN 1..2000 LOOP
    PERFORM pg_sleep(0.003), pg_stat_clear_snapshot();
    kills := kills + (SELECT count(*) FROM pg_stat_activity
      WHERE application_name = 'tickd killed 0' AND state = 'active' AND query LIKE 'BEGIN%'
        AND pg_terminate_backend(pid));
    EXIT WHEN kills >= 20;
  END LOOP;
END $$`

t.test('backends ended in mid-COPY, many times', async (t) => {
  const store = bench(t)
  store.append(40_000)
  const agent = store.agent(postgres.url, { ...SETTINGS, schema: 'killed' })
  await agent.onStart()
  // The waits between attempts are real: the clock is moved instead of slept on.
  const monoMs = store.clock.monoMs.bind(store.clock)
  store.clock.monoMs = () => monoMs() * 100
  let isKilling = true
  const killer = postgres.psql(KILLER).finally(() => {
    isKilling = false
  })
  // There is always something to be stored while the killer runs.
  const feed = () => {
    if (isKilling && store.stored.load() > store.durable - 10_000) store.append(10_000)
    return !isKilling && store.stored.load() === store.durable
  }
  await runUntil(agent, feed, 'all is stored in spite of the kills', 60_000)
  await killer
  const failures = store.counters.get('failures')
  t.ok(failures > 5, `${failures} transactions were ended`)
  t.same(await contents('killed'), whole(store.durable))
  t.equal(await position('killed'), store.durable)
  t.equal(store.counters.get('records'), store.durable, 'counted once, too')
  agent.onClose()
})

t.test('connections cut at random bytes, going and coming', async (t) => {
  const random = seededRandom(t)
  const store = bench(t)
  store.append(20_000)
  let left = 30
  const proxy = await CuttingProxy.start(postgres.server.port, () => {
    if (left-- <= 0)
      return { toServer: Number.POSITIVE_INFINITY, toClient: Number.POSITIVE_INFINITY }
    // The second bound cuts answers: often that of a COMMIT which has been carried out.
    return { toServer: 6000 + random() * 200_000, toClient: 2500 + random() * 3000 }
  })
  t.teardown(() => proxy.stop())
  const url = postgres.url.replace(`:${postgres.server.port}/`, `:${proxy.port}/`)
  const agent = store.agent(url, { ...SETTINGS, schema: 'cut' })
  await agent.onStart()
  // The waits between attempts are real: the clock is moved instead of slept on.
  const monoMs = store.clock.monoMs.bind(store.clock)
  store.clock.monoMs = () => monoMs() * 100
  await runUntil(agent, () => store.stored.load() === 20_000, 'all is stored in the end', 60_000)
  t.ok(proxy.cuts > 5, `${proxy.cuts} connections were cut`)
  t.same(await contents('cut'), whole(20_000))
  t.equal(store.counters.get('records'), 20_000, 'commits without an answer are counted')
  agent.onClose()
})

t.test('agents dropped without a word, one after the other', async (t) => {
  const random = seededRandom(t)
  const store = bench(t)
  store.append(20_000)
  let agent: PostgresAgent | undefined
  for (let round = 0; round < 12; round++) {
    agent = store.agent(postgres.url, { ...SETTINGS, schema: 'dropped' })
    await agent.onStart()
    const target = Math.min(20_000, store.stored.load() + 1 + Math.floor(random() * 3000))
    await runUntil(agent, () => store.stored.load() >= target, `round ${round}`)
    // In the middle of whatever it is doing.
    agent.doWork()
    agent.onClose()
  }
  agent = store.agent(postgres.url, { ...SETTINGS, schema: 'dropped' })
  await agent.onStart()
  await runUntil(agent, () => store.stored.load() === 20_000, 'the rest')
  t.same(await contents('dropped'), whole(20_000))
  agent.onClose()
})

t.test('the whole server killed and started again', async (t) => {
  const store = bench(t)
  store.append(30_000)
  const agent = store.agent(postgres.url, { ...SETTINGS, schema: 'restarted' })
  await agent.onStart()
  const before = postgres.server.pid
  await runUntil(agent, () => store.stored.load() > 5000, 'some is stored')
  process.kill(before, 'SIGKILL')
  await runUntil(agent, () => store.counters.get('failures') > 0, 'the loss is noticed')
  await runUntil(agent, () => store.stored.load() === 30_000, 'the rest is stored', 60_000)
  t.not(postgres.server.pid, before, 'another server, at the same address')
  t.same(await contents('restarted'), whole(30_000))
  agent.onClose()
})

t.test('two shards store at the same time, with instruments that both need', async (t) => {
  const stores = [bench(t), bench(t)]
  const agents = stores.map((store, shard) => {
    store.append(10_000)
    return store.agent(postgres.url, { ...SETTINGS, schema: 'shards' }, shard)
  })
  await Promise.all(agents.map((agent) => agent.onStart()))
  await runUntil(
    agents,
    () => stores.every((store) => store.stored.load() === 10_000),
    'both are stored',
  )
  const rows = await postgres.psql(
    `SELECT shard, count(*)::int4 AS n, count(DISTINCT seq)::int4 AS seqs
     FROM shards.trades GROUP BY shard ORDER BY shard`,
  )
  t.same(rows, [
    { shard: 0, n: 2000, seqs: 2000 },
    { shard: 1, n: 2000, seqs: 2000 },
  ])
  t.equal((await postgres.psql('SELECT FROM shards.instruments')).length, 3)
  for (const agent of agents) agent.onClose()
})
