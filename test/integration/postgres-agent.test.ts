// What the agent does about everything that is not a cut: conflicts, loss, draining, waiting.

import { once } from 'node:events'
import { readdirSync, rmSync, truncateSync } from 'node:fs'
import { createConnection, createServer, type Socket } from 'node:net'
import { join } from 'node:path'
import t from 'tap'
import { type Finding, SUSTAINED, Watch } from '../../src/ledger/checks.ts'
import { type LedgerInputs, takeSample } from '../../src/ledger/sample.ts'
import { STORE_STALL_MS_MAX } from '../../src/limits.ts'
import { systemAddon } from '../../src/native/addon.ts'
import { checkPostgres, connect } from '../../src/storage/postgres/connection.ts'
import { damage } from '../support/faulty-disk.ts'
import { startPostgres, type TestPostgres, temporaryDirectory } from '../support/postgres.ts'
import { runUntil, StoreBench } from '../support/store-bench.ts'

let postgres: TestPostgres
t.before(async () => {
  postgres = await startPostgres()
})
t.teardown(() => postgres.stop())

interface Teardown {
  teardown(fn: () => void): void
}

function bench(t: Teardown, epoch = 1, nextSeq = 0): StoreBench {
  const directory = temporaryDirectory('store')
  const store = new StoreBench(directory, epoch, nextSeq)
  t.teardown(() => {
    store.close()
    rmSync(directory, { recursive: true, force: true })
  })
  return store
}

/** Stores `count` records of a bench into a schema, and lets go. */
async function fill(store: StoreBench, schema: string, count: number): Promise<void> {
  store.append(count)
  const agent = store.agent(postgres.url, { schema })
  await agent.onStart()
  await runUntil(agent, () => store.stored.load() === store.durable, 'stored')
  agent.onClose()
}

function ledgerInputs(store: StoreBench): LedgerInputs {
  const at = () => store.durable
  const positions = { published: at, written: at, durable: at, stored: () => store.stored.load() }
  const shard = { shard: 0, startSeq: 0, epoch: 1, journal: '', fillBytes: () => 0, ...positions }
  return { sources: [], shards: [{ ...shard, postgres: store.counters }], serve: [] }
}

t.test('checkPostgres tells the version', async (t) => {
  t.match(await checkPostgres(postgres.url), /^\d+\.\d+/)
})

t.test('checkPostgres tells a wrong password, user or database from silence', async (t) => {
  const { port } = postgres.server
  const password = new URL(postgres.url).password
  const cases: [url: string, code: string, text: RegExp][] = [
    [`postgresql://tickd:wrong@127.0.0.1:${port}/tickd`, 'POSTGRES_REFUSED', /password/],
    [`postgresql://tickd@127.0.0.1:${port}/tickd`, 'POSTGRES_REFUSED', /password/],
    [`postgresql://nobody:x@127.0.0.1:${port}/tickd`, 'POSTGRES_REFUSED', /nobody/],
    [postgres.url.replace(/tickd$/, 'nowhere'), 'POSTGRES_REFUSED', /"nowhere" does not exist/],
    ['postgresql://tickd:x@127.0.0.1:1/tickd', 'POSTGRES_UNREACHABLE', /ECONNREFUSED/],
    ['postgresql://tickd:x@db.invalid/tickd', 'POSTGRES_UNREACHABLE', /db\.invalid/],
  ]
  for (const [url, code, text] of cases) {
    const error = await checkPostgres(url, 5000).catch((thrown) => thrown)
    t.equal(error.code, code, error.message)
    t.match(error.message, text)
    t.notMatch(error.message, new RegExp(`${password}|:wrong@|\\n`))
  }
})

t.test('a server that takes the connection and says nothing is given up in time', async (t) => {
  const mute = createServer()
  await new Promise<void>((resolve) => mute.listen(0, '127.0.0.1', resolve))
  const address = mute.address() as { port: number }
  const url = `postgresql://tickd:x@127.0.0.1:${address.port}/tickd`
  await t.rejects(checkPostgres(url, 200), { code: 'POSTGRES_UNREACHABLE' })
  mute.close()
})

t.test('a database that is away at the start is waited for', async (t) => {
  const store = bench(t)
  store.append(100)
  let url = 'postgresql://tickd:x@127.0.0.1:1/tickd'
  const agent = store.agent(() => url, { schema: 'waited' })
  await agent.onStart()
  t.match(agent.status(), { connected: false, lastError: { code: 'POSTGRES_UNREACHABLE' } })
  t.equal(agent.drain(), true, 'nothing holds a stop up: the journal keeps the records')
  url = postgres.url
  await runUntil(agent, () => store.stored.load() === 100, 'stored once it is there')
  t.match(agent.status(), { connected: true, storedSeq: 100, lastError: undefined })
  t.equal(store.counters.get('connected'), 1)
  agent.onClose()
  t.equal(store.counters.get('connected'), 0)
})

t.test('a second daemon on the same shard and schema stores nothing', async (t) => {
  const store = bench(t)
  const first = store.agent(postgres.url, { schema: 'locked' })
  await first.onStart()
  const second = store.agent(postgres.url, { schema: 'locked', connect_timeout_ms: 200 })
  await t.resolves(second.onStart(), 'it is no reason not to take ticks in')
  t.match(second.status(), {
    connected: false,
    lastError: { code: 'POSTGRES_CONFLICT', message: /another tickd/ },
  })
  second.onClose()
  first.onClose()
  const third = store.agent(postgres.url, { schema: 'locked', connect_timeout_ms: 5000 })
  await t.resolves(third.onStart(), 'the lock went with its connection')
  third.onClose()
})

t.test('a position that somebody moved stops the batch, and nothing is stored twice', async (t) => {
  const store = bench(t)
  await fill(store, 'moved', 100)
  const agent = store.agent(postgres.url, { schema: 'moved' })
  await agent.onStart()
  await postgres.psql('UPDATE moved.positions SET seq = 150')
  store.append(100)
  await runUntil(agent, () => store.counters.get('failures') > 0, 'refused')
  t.match(agent.status().lastError, { code: 'POSTGRES_CONFLICT' })
  t.equal((await postgres.psql('SELECT FROM moved.trade WHERE seq >= 100')).length, 0)
  await runUntil(agent, () => store.stored.load() === 200, 'goes on from where it was moved to')
  const rows = await postgres.psql(
    'SELECT count(*)::int4 AS n, min(seq) FROM moved.trade WHERE seq >= 100',
  )
  t.same(rows, [{ n: 10, min: '150' }])
  agent.onClose()
})

t.test(
  'an agent made anew opens a new account, whatever the database lost meanwhile',
  async (t) => {
    const store = bench(t)
    await fill(store, 'anew', 100)
    const ledger = new Watch(ledgerInputs(store))
    const found: Finding[] = []
    const look = () => {
      for (let i = 0; i < SUSTAINED; i++)
        found.push(...ledger.look(takeSample(ledgerInputs(store))))
    }
    store.counters.set('connected', 1)
    look()
    await postgres.psql(
      'UPDATE anew.positions SET seq = 60; DELETE FROM anew.trade WHERE seq >= 60',
    )
    // Its predecessor was ended in the midst of its work: nobody counted a failure.
    await fill(store, 'anew', 50)
    store.counters.set('connected', 1)
    look()
    t.equal(store.counters.get('failures'), 0)
    t.equal(
      store.counters.get('records'),
      190,
      'those that were lost are stored, and counted, again',
    )
    t.same(
      found.filter(({ check }) => check === 'stored'),
      [],
    )
  },
)

t.test('a journal that ends before the database’s position is not written on', async (t) => {
  const store = bench(t)
  await fill(store, 'behind', 100)
  const other = bench(t)
  other.append(50)
  const agent = other.agent(postgres.url, { schema: 'behind' })
  await t.rejects(agent.onStart(), {
    code: 'POSTGRES_CONFLICT',
    message: /up to 99, and the journal ends at 49/,
  })
  agent.onClose()
})

t.test('a journal of an older epoch than the database’s is not written on', async (t) => {
  await fill(bench(t, 7), 'epochs', 100)
  const other = bench(t, 3)
  other.append(200)
  const agent = other.agent(postgres.url, { schema: 'epochs' })
  await agent.onStart()
  await runUntil(agent, () => other.counters.get('failures') > 0, 'refused')
  t.match(agent.status().lastError, { code: 'POSTGRES_CONFLICT', message: /epoch 7.*epoch 3/s })
  t.equal((await postgres.psql('SELECT FROM epochs.trade')).length, 20)
  agent.onClose()
})

t.test('ids that mean other instruments in the database are refused', async (t) => {
  const store = bench(t)
  await fill(store, 'renamed', 10)
  await postgres.psql(`UPDATE renamed.instruments SET symbol = 'OTHER' WHERE id = 2`)
  const agent = store.agent(postgres.url, { schema: 'renamed' })
  await t.rejects(agent.onStart(), {
    code: 'POSTGRES_CONFLICT',
    message: /instrument 2 is bench OTHER .* bench ETH-USD here/,
  })
  agent.onClose()
})

t.test('instruments that come later are there before their ticks', async (t) => {
  const store = bench(t)
  await fill(store, 'late', 10)
  store.instruments.add('bench', 'SOL-USD', 'SOLUSD')
  const agent = store.agent(postgres.url, { schema: 'late' })
  await agent.onStart()
  store.append(10)
  await runUntil(agent, () => store.stored.load() === 20, 'stored')
  const rows = await postgres.psql(
    'SELECT id, symbol, venue_symbol FROM late.instruments ORDER BY id',
  )
  t.same(rows.at(-1), { id: 4, symbol: 'SOL-USD', venue_symbol: 'SOLUSD' })
  t.same(rows[2], { id: 3, symbol: "O'Higgins \\ café", venue_symbol: "O'Higgins \\ café" })
  agent.onClose()
})

t.test('records that left the journal unstored are told, exactly, and counted', async (t) => {
  await fill(bench(t), 'lost', 100)
  // The same shard later: the journal begins at 250, the database ends at 100.
  const store = bench(t, 2, 250)
  store.append(100)
  const agent = store.agent(postgres.url, { schema: 'lost' })
  await agent.onStart()
  await runUntil(agent, () => store.stored.load() === 350, 'goes on with the oldest')
  const line = store.log.lines.find(({ message }) => message.includes('are lost'))
  t.match(line, { level: 'error', fields: { from: 100, to: 249, records: 150 } })
  t.equal(store.counters.get('records_lost'), 150)
  const rows = await postgres.psql('SELECT FROM lost.trade')
  t.equal(rows.length, 40)
  agent.onClose()
})

t.test('a segment that is gone stops this store alone, and says so', async (t) => {
  const store = bench(t)
  store.append(5000)
  store.close()
  const [segment] = readdirSync(store.directory)
  truncateSync(join(store.directory, segment as string), 0)
  const agent = store.agent(postgres.url, { schema: 'gone' })
  await agent.onStart()
  await runUntil(agent, () => store.counters.get('failures') > 0, 'noticed')
  t.match(agent.status(), { lastError: { code: 'JOURNAL_CORRUPT' } })
  t.equal(agent.drain(), true)
  agent.onClose()
})

t.test('damaged records are passed over, exactly; the rest is stored, once', async (t) => {
  const store = bench(t)
  for (let n = 0; n < 50; n++) store.append(100)
  const [segment] = readdirSync(store.directory)
  // The 11th block, the header of the 21st.
  const block = 64 * 101
  damage(join(store.directory, segment as string), 'flip', 64 + 10 * block + 700)
  damage(join(store.directory, segment as string), 'flip', 64 + 20 * block + 8)
  const settings = { schema: 'damaged', batch_rows: 300 }
  const agent = store.agent(postgres.url, settings)
  await agent.onStart()
  await runUntil(agent, () => store.stored.load() === 5000, 'stored')
  agent.onClose()
  t.equal(store.counters.get('records'), 4800)
  t.equal(store.counters.get('records_lost'), 200)
  t.same(
    store.incidents.map(({ kind, evidence: { from, to } }) => [kind, from, to]),
    [
      ['journal_damaged', 1000, 1099],
      ['journal_damaged', 2000, 2099],
    ],
  )
  const again = store.agent(postgres.url, settings)
  store.append(10)
  await again.onStart()
  await runUntil(again, () => store.stored.load() === 5010, 'goes on behind it')
  again.onClose()
  t.equal(store.counters.get('records'), 4810)
  t.equal(store.counters.get('records_lost'), 200)
})

t.test('a batch waits for batch_ms to fill, and not at all when draining', async (t) => {
  const store = bench(t)
  store.append(100)
  const agent = store.agent(postgres.url, { schema: 'waits', batch_ms: 60_000 })
  await agent.onStart()
  agent.doWork()
  agent.doWork()
  t.equal(store.stored.load(), 0)
  t.equal(agent.drain(), false)
  await runUntil(agent, () => agent.drain(), 'drained')
  t.equal(store.stored.load(), 100)
  t.equal(store.counters.get('batches'), 1)
  agent.onClose()
})

t.test('a full batch does not wait', async (t) => {
  const store = bench(t)
  store.append(1000)
  const agent = store.agent(postgres.url, { schema: 'full', batch_ms: 60_000, batch_rows: 300 })
  await agent.onStart()
  await runUntil(agent, () => store.stored.load() === 900, 'three full batches')
  t.equal(store.counters.get('batches'), 3)
  agent.onClose()
})

t.test('a server with nothing to do gets an eighth of a batch at once', async (t) => {
  const store = bench(t)
  const agent = store.agent(postgres.url, { schema: 'eighth', batch_ms: 60_000, batch_rows: 800 })
  await agent.onStart()
  store.append(99)
  agent.doWork()
  agent.doWork()
  t.equal(store.counters.get('batches'), 0, 'less waits')
  store.append(1)
  await runUntil(agent, () => store.stored.load() === 100, 'an eighth is stored')
  t.equal(store.counters.get('batches'), 1)
  agent.onClose()
})

t.test('its unix socket takes more than one does by itself', async (t) => {
  const skipped = systemAddon() === undefined
  if (skipped) return t.comment('the native addon is not built: the socket stays as it is')
  const path = join(t.testdir(), 'socket')
  const server = createServer({ pauseOnConnect: true }).listen(path)
  await once(server, 'listening')
  const plain = createConnection(path)
  await once(plain, 'connect')
  const plainBytes = takenBytes(plain)
  plain.destroy()
  server.close()
  const { client, destroy } = await connect({
    url: postgres.server.url,
    name: 't',
    timeoutMs: 5000,
  })
  const { rows } = await client.query('SELECT pg_backend_pid() AS pid')
  const { pid } = rows[0] as { pid: number }
  process.kill(pid, 'SIGSTOP')
  const { stream } = client.connection as unknown as { stream: Socket }
  const bytes = takenBytes(stream)
  destroy()
  process.kill(pid, 'SIGCONT')
  t.ok(bytes >= 1.5 * plainBytes, `${bytes} bytes, ${plainBytes} of a plain one`)
})

/** Bytes that a socket takes, which nobody reads, before it keeps them to itself. */
function takenBytes(socket: Socket): number {
  const piece = Buffer.alloc(4096)
  let taken = 0
  while (socket.writableLength === 0) {
    socket.write(piece)
    taken += piece.length
  }
  return taken
}

t.test('the commit of PostgreSQL itself is waited for when that is configured', async (t) => {
  const store = bench(t)
  store.append(10)
  const agent = store.agent(postgres.url, { schema: 'synced', synchronous_commit: true })
  await agent.onStart()
  await runUntil(agent, () => store.stored.load() === 10, 'stored')
  agent.onClose()
})

t.test('partitions of the days to come are made once ticks are stored', async (t) => {
  const store = bench(t)
  store.append(10)
  const agent = store.agent(postgres.url, { schema: 'ahead', partition_days_ahead: 2 })
  await agent.onStart()
  await runUntil(agent, () => store.stored.load() === 10, 'stored')
  const rows = await postgres.psql(
    `SELECT count(*)::int4 AS n FROM pg_inherits WHERE inhparent = 'ahead.trade'::regclass`,
  )
  t.same(rows, [{ n: 5 }], 'the default, the day of the ticks, today and two more')
  t.equal(store.counters.get('partitions'), 20)
  agent.onClose()
})

t.test('a server that falls silent is given up after a minute, and connected anew', async (t) => {
  const store = bench(t)
  const agent = store.agent(postgres.url, { schema: 'silent' })
  await agent.onStart()
  // A lock on the table makes the COPY wait, as a hung server would.
  const holder = await connect({ url: postgres.url, name: 'holder', timeoutMs: 5000 })
  await holder.client.query('BEGIN; LOCK TABLE silent.positions IN ACCESS EXCLUSIVE MODE')
  store.append(100)
  await runUntil(
    agent,
    async () => {
      const waiting = await postgres.psql(
        `SELECT FROM pg_stat_activity WHERE application_name = 'tickd silent 0'
         AND wait_event_type = 'Lock'`,
      )
      return waiting.length === 1
    },
    'the batch is under way',
  )
  t.equal(store.counters.get('failures'), 0)
  const monoMs = store.clock.monoMs.bind(store.clock)
  store.clock.monoMs = () => monoMs() + STORE_STALL_MS_MAX + 1
  agent.doWork()
  t.match(agent.status(), { connected: false, lastError: { message: /took and sent nothing/ } })
  await holder.client.query('COMMIT')
  holder.close()
  await runUntil(agent, () => store.stored.load() === 100, 'stored over the next connection')
  const rows = await postgres.psql('SELECT count(*)::int4 AS n FROM silent.trade')
  t.same(rows, [{ n: 20 }])
  agent.onClose()
})
