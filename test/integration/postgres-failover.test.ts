// Two real servers, a primary and its standby: failing over, and an old primary that comes back.

import { rmSync } from 'node:fs'
import t, { type Test } from 'tap'
import { silentLog } from '../../src/ops/log.ts'
import { connect, type Lineage } from '../../src/storage/postgres/connection.ts'
import { EmbeddedPostgres } from '../../src/storage/postgres/embedded.ts'
import { psql, temporaryDirectory } from '../support/postgres.ts'
import { type Pair, startPair } from '../support/postgres-standby.ts'
import { runUntil, StoreBench } from '../support/store-bench.ts'

const TABLES = ['trade', 'quote', 'book', 'price', 'status']
const SETTINGS = { schema: 'tickd', batch_rows: 500, connect_timeout_ms: 5000 }

function bench(t: Test): StoreBench {
  const directory = temporaryDirectory('store')
  const store = new StoreBench(directory)
  t.teardown(() => {
    store.close()
    rmSync(directory, { recursive: true, force: true })
  })
  return store
}

async function contents(url: string): Promise<unknown> {
  const all = TABLES.map((table) => `SELECT seq FROM tickd.${table}`).join(' UNION ALL ')
  const [row] = await psql(
    url,
    `SELECT count(*)::int4 AS rows, count(DISTINCT seq)::int4 AS seqs, min(seq)::int4 AS first,
       max(seq)::int4 + 1 AS next FROM (${all}) a`,
  )
  return row
}

function whole(count: number): unknown {
  return { rows: count, seqs: count, first: 0, next: count }
}

/** Ends the store's connection, from within the server. */
async function cut(url: string): Promise<void> {
  await psql(
    url,
    `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
     WHERE application_name = 'tickd tickd 0'`,
  )
}

t.test('the store follows the primary, and stays away from an old one', async (t) => {
  const pair: Pair = await startPair()
  const { primary, standby, url } = pair
  t.teardown(() => standby.stop())
  t.teardown(() => primary.stop())
  const store = bench(t)
  const agent = store.agent(url, SETTINGS)
  t.teardown(() => agent.onClose())
  await agent.onStart()

  store.append(10_000)
  await runUntil(agent, () => store.stored.load() > 3000, 'some is stored on the primary')
  await t.rejects(connect({ url: standby.url, name: 'test', timeoutMs: 5000 }), {
    code: 'POSTGRES_READ_ONLY',
    message: /takes no writes: it is a standby/,
  })

  await primary.server.stop()
  await runUntil(agent, () => store.counters.get('failures') > 0, 'its end is noticed')
  t.match(agent.status(), { connected: false })
  await standby.promote()
  await runUntil(agent, () => store.stored.load() === 10_000, 'the rest goes to the new primary')
  t.same(await contents(standby.url), whole(10_000))

  // The old one comes back as it was: a primary, without a part of the records.
  const { directory } = primary
  const settings = ['fsync=off', 'wal_level=replica', 'max_wal_senders=4']
  const old = await EmbeddedPostgres.start({
    directory,
    port: primary.server.port,
    log: silentLog,
    settings,
  })
  t.teardown(() => old.stop())
  const before = (await contents(old.url)) as { rows: number }
  const failures = store.counters.get('failures')
  await cut(standby.url)
  await runUntil(agent, () => store.counters.get('failures') > failures, 'cut')
  store.append(1000)
  await runUntil(agent, () => store.stored.load() === 11_000, 'stored on the new primary')
  t.same(await contents(standby.url), whole(11_000))
  t.same(await contents(old.url), before, 'nothing goes to the old primary')

  // A daemon that knows nothing of the past chooses right, too.
  let after: Lineage | undefined
  for (let attempt = 1; attempt <= 10; attempt++) {
    const fresh = await connect({ url, name: 'test', timeoutMs: 5000 })
    t.equal(fresh.host, `127.0.0.1:${standby.port}`)
    t.equal(fresh.lineage?.timeline, 2)
    after = fresh.lineage
    fresh.close()
  }

  await standby.stop()
  await t.rejects(connect({ url, name: 'test', timeoutMs: 5000, after }), {
    code: 'POSTGRES_CONFLICT',
    message: /old primary, on timeline 1, .* on timeline 2 .*pg_rewind/,
  })
  store.append(1000)
  await runUntil(
    agent,
    () => agent.status().lastError?.code === 'POSTGRES_CONFLICT',
    'the old primary is refused while the new one is away',
  )
  t.same(await contents(old.url), before)
})
