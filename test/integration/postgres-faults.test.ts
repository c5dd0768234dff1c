// What an operator and a machine do to a database while records are stored; each record is there
// once when it is over.

import { spawnSync } from 'node:child_process'
import { mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { STORE_STALL_MS_MAX } from '../../src/limits.ts'
import { serverAccount } from '../../src/storage/account.ts'
import type { PostgresAgent } from '../../src/storage/postgres/agent.ts'
import { psql, startPostgres, type TestPostgres, temporaryDirectory } from '../support/postgres.ts'
import { runUntil, StoreBench } from '../support/store-bench.ts'

const TABLES = ['trade', 'quote', 'book', 'price', 'status']
const SCHEMA = 'tickd'

let postgres: TestPostgres
t.before(async () => {
  postgres = await startPostgres()
})
t.teardown(() => postgres.stop())

/** A database of its own, and a role that is no superuser. */
async function database(name: string): Promise<string> {
  await postgres.psql(`CREATE ROLE ${name} LOGIN PASSWORD 'first'`)
  await postgres.psql(`CREATE DATABASE ${name} OWNER ${name}`)
  return postgres.url.replace(/\/\/.*@/, `//${name}:first@`).replace(/tickd$/, name)
}

/** The same address for the superuser. */
function asOwner(url: string): string {
  const { username, password } = new URL(postgres.url)
  return url.replace(/\/\/.*@/, `//${username}:${password}@`)
}

async function started(t: Test, url: string | (() => string)) {
  const directory = temporaryDirectory('store')
  const store = new StoreBench(directory)
  const agent = store.agent(url, { schema: SCHEMA, batch_rows: 500, connect_timeout_ms: 2000 })
  t.teardown(() => {
    agent.onClose()
    store.close()
    rmSync(directory, { recursive: true, force: true })
  })
  await agent.onStart()
  return { store, agent }
}

/** Runs the agent until it has failed with the code. */
async function untilCode(agent: PostgresAgent, code: string): Promise<string> {
  await runUntil(agent, () => agent.status().lastError?.code === code, code)
  return agent.status().lastError?.message ?? ''
}

/** Runs the agent until all that was appended is stored, and looks whether it is there, once. */
async function assertCaughtUp(
  t: Test,
  { store, agent }: { store: StoreBench; agent: PostgresAgent },
  url: string,
): Promise<void> {
  await runUntil(agent, () => store.stored.load() === store.durable, 'caught up')
  const all = TABLES.map((table) => `SELECT seq FROM ${SCHEMA}.${table}`).join(' UNION ALL ')
  const [row] = await psql(
    url,
    `SELECT count(*)::int4 AS rows, count(DISTINCT seq)::int4 AS seqs, min(seq)::int4 AS first,
       max(seq)::int4 + 1 AS next FROM (${all}) a`,
  )
  const { durable } = store
  t.same(row, { rows: durable, seqs: durable, first: 0, next: durable })
  t.equal(store.breaker.counters.get('state'), 0, 'the breaker is closed')
}

async function backends(name: string): Promise<number[]> {
  const rows = await postgres.psql(
    `SELECT pid FROM pg_stat_activity
     WHERE datname = '${name}' AND application_name LIKE 'tickd %'`,
  )
  return rows.map(({ pid }) => Number(pid))
}

t.test('a server that is stopped in its tracks (SIGSTOP) and goes on later', async (t) => {
  const url = await database('hung')
  const { store, agent } = await started(t, url)
  store.append(20_000)
  await runUntil(agent, () => store.stored.load() > 2000, 'some is stored')
  const [pid] = await backends('hung')
  process.kill(pid as number, 'SIGSTOP')
  t.teardown(() => spawnSync('kill', ['-CONT', String(pid)]))
  // What was under way may still be answered; then nothing comes.
  const monoMs = store.clock.monoMs.bind(store.clock)
  let aheadMs = 0
  store.clock.monoMs = () => monoMs() + aheadMs
  for (let seq = -1; seq !== store.stored.load(); ) {
    seq = store.stored.load()
    const endMs = performance.now() + 100
    await runUntil(agent, () => performance.now() > endMs, 'a tenth of a second')
  }
  aheadMs = STORE_STALL_MS_MAX + 1
  t.match(await untilCode(agent, 'POSTGRES_UNREACHABLE'), /took and sent nothing for 60 s/)
  const before = store.counters.get('failures')
  // Its lock is held for as long as it stands: no other may store meanwhile.
  await untilCode(agent, 'POSTGRES_CONFLICT')
  t.ok(store.counters.get('failures') > before)
  process.kill(pid as number, 'SIGCONT')
  aheadMs += 60_000
  await assertCaughtUp(t, { store, agent }, url)
})

t.test('out of connections', async (t) => {
  const url = await database('crowded')
  const { store, agent } = await started(t, url)
  store.append(1000)
  await runUntil(agent, () => store.stored.load() === 1000, 'stored')
  await postgres.psql('ALTER ROLE crowded CONNECTION LIMIT 0')
  for (const pid of await backends('crowded')) {
    await postgres.psql(`SELECT pg_terminate_backend(${pid})`)
  }
  store.append(1000)
  await runUntil(agent, () => store.breaker.counters.get('state') === 2, 'the breaker opens')
  t.match(await untilCode(agent, 'POSTGRES_UNREACHABLE'), /too many connections.*max_connections/)
  await postgres.psql('ALTER ROLE crowded CONNECTION LIMIT -1')
  await assertCaughtUp(t, { store, agent }, url)
})

t.test('the password is changed, there and then here', async (t) => {
  let url = await database('rekeyed')
  const { store, agent } = await started(t, () => url)
  store.append(1000)
  await runUntil(agent, () => store.stored.load() === 1000, 'stored')
  await postgres.psql(`ALTER ROLE rekeyed PASSWORD 'second'`)
  for (const pid of await backends('rekeyed')) {
    await postgres.psql(`SELECT pg_terminate_backend(${pid})`)
  }
  store.append(1000)
  t.match(await untilCode(agent, 'POSTGRES_REFUSED'), /password/)
  url = url.replace(':first@', ':second@')
  await assertCaughtUp(t, { store, agent }, url)
})

t.test('read-only for a while', async (t) => {
  const url = await database('frozen')
  const { store, agent } = await started(t, url)
  await postgres.psql('ALTER DATABASE frozen SET default_transaction_read_only = on')
  store.append(1000)
  await runUntil(agent, () => store.stored.load() === 1000, 'our session is older than that')
  for (const pid of await backends('frozen')) {
    await postgres.psql(`SELECT pg_terminate_backend(${pid})`)
  }
  store.append(1000)
  t.match(await untilCode(agent, 'POSTGRES_READ_ONLY'), /takes no writes: it is set to read-only/)
  await postgres.psql('ALTER DATABASE frozen SET default_transaction_read_only = off')
  await assertCaughtUp(t, { store, agent }, url)
})

t.test(
  'the database is dropped, and made anew: all is stored again from the journal',
  async (t) => {
    const url = await database('dropped')
    const { store, agent } = await started(t, url)
    store.append(3000)
    await runUntil(agent, () => store.stored.load() === 3000, 'stored')
    await postgres.psql('DROP DATABASE dropped WITH (FORCE)')
    store.append(100)
    t.match(await untilCode(agent, 'POSTGRES_REFUSED'), /"dropped" does not exist/)
    await postgres.psql('CREATE DATABASE dropped OWNER dropped')
    await runUntil(agent, () => store.stored.load() < 3000, 'begins anew')
    await assertCaughtUp(t, { store, agent }, url)
    t.ok(store.log.lines.some(({ message }) => message.includes('has lost what it had committed')))
  },
)

t.test('the schema is dropped under it', async (t) => {
  const url = await database('bare')
  const { store, agent } = await started(t, url)
  store.append(1000)
  await runUntil(agent, () => store.stored.load() === 1000, 'stored')
  await psql(url, `DROP SCHEMA ${SCHEMA} CASCADE`)
  store.append(1000)
  await untilCode(agent, 'POSTGRES_SCHEMA_CHANGED')
  await runUntil(agent, () => store.stored.load() === 2000, 'all is stored in a new one')
  await assertCaughtUp(t, { store, agent }, url)
})

t.test('columns are changed so that ticks no longer fit', async (t) => {
  const url = await database('drifted')
  const { store, agent } = await started(t, url)
  // The waits between attempts are real: the clock is moved instead of slept on.
  const monoMs = store.clock.monoMs.bind(store.clock)
  store.clock.monoMs = () => monoMs() * 20
  store.append(1000)
  await runUntil(agent, () => store.stored.load() === 1000, 'stored')
  const changes: [change: string, undo: string, text: RegExp][] = [
    [
      'ALTER TABLE tickd.trade RENAME COLUMN price TO cost',
      'ALTER TABLE tickd.trade RENAME COLUMN cost TO price',
      /column trade\.price is gone/,
    ],
    [
      `ALTER TABLE tickd.price ADD COLUMN zone text NOT NULL DEFAULT '';
       ALTER TABLE tickd.price ALTER COLUMN zone DROP DEFAULT`,
      'ALTER TABLE tickd.price DROP COLUMN zone',
      /column price\.zone was added, may not be null and has no default/,
    ],
    [
      'DROP VIEW tickd.book_changes; ALTER TABLE tickd.book ALTER COLUMN size TYPE numeric',
      'ALTER TABLE tickd.book ALTER COLUMN size TYPE int8',
      /column book\.size is numeric, not bigint/,
    ],
  ]
  for (const [change, undo, text] of changes) {
    await psql(url, change)
    store.append(1000)
    await runUntil(agent, () => text.test(agent.status().lastError?.message ?? ''), String(text))
    t.equal(agent.status().lastError?.code, 'POSTGRES_SCHEMA_CHANGED')
    await psql(url, undo)
    await assertCaughtUp(t, { store, agent }, url)
  }
  t.equal(store.letters.length, 0, 'no record is to blame')
  await psql(url, `ALTER TABLE tickd.quote ADD COLUMN note text DEFAULT 'none'`)
  store.append(1000)
  await assertCaughtUp(t, { store, agent }, url)
})

t.test('partitions are detached and dropped', async (t) => {
  const url = await database('parted')
  const { store, agent } = await started(t, url)
  store.append(1000)
  await runUntil(agent, () => store.stored.load() === 1000, 'stored')
  await psql(url, 'ALTER TABLE tickd.trade DETACH PARTITION tickd.trade_20260301')
  store.append(1000)
  await runUntil(agent, () => store.stored.load() === 2000, 'stored')
  const rows = await psql(
    url,
    `SELECT (SELECT count(*)::int4 FROM tickd.trade) AS attached,
       (SELECT count(*)::int4 FROM tickd.trade_20260301) AS detached`,
  )
  t.same(rows, [{ attached: 200, detached: 200 }], 'none goes where nobody would look')
  await psql(url, 'DROP TABLE tickd.quote_20260301')
  store.append(1000)
  await runUntil(agent, () => store.stored.load() === 3000, 'stored')
  const quotes = await psql(url, 'SELECT count(*)::int4 AS n FROM tickd.quote_20260301')
  t.same(quotes, [{ n: 200 }], 'the partition was made anew')
})

t.test('the disk of the server is full', async (t) => {
  const directory = temporaryDirectory('full')
  const mount = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=4m,mode=755', 'tmpfs', directory])
  if (mount.status !== 0) {
    t.comment('skipped: a file system of a few megabytes cannot be mounted here')
    rmSync(directory, { recursive: true })
    return
  }
  t.teardown(() => {
    spawnSync('umount', ['-l', directory])
    rmSync(directory, { recursive: true, force: true })
  })
  const space = join(directory, 'space')
  mkdirSync(space)
  const account = serverAccount(join(postgres.directory, 'data'))
  if (account !== undefined) spawnSync('chown', [account.name, space])
  const url = await database('full_')
  await psql(asOwner(url), `CREATE TABLESPACE small OWNER full_ LOCATION '${space}'`)
  await psql(asOwner(url), 'ALTER DATABASE full_ SET default_tablespace = small')
  const { store, agent } = await started(t, url)
  await psql(
    url,
    'CREATE TABLE ballast AS SELECT repeat(md5(i::text), 50) FROM generate_series(1, 1200) i',
  )
  store.append(40_000)
  const message = await untilCode(agent, 'POSTGRES_BROKEN')
  t.match(message, /No space left.*disk is full: make room/)
  t.equal(store.breaker.counters.get('state'), 2, 'the breaker is open')
  t.equal(store.letters.length, 0)
  t.match(store.incidents, [{ kind: 'store_held', evidence: { error: /disk is full/ } }])
  spawnSync('mount', ['-o', 'remount,size=64m', directory])
  await assertCaughtUp(t, { store, agent }, url)
})
