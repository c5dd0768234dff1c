import t, { type Test } from 'tap'
import { SystemClock } from '../../src/clock.ts'
import { silentLog } from '../../src/ops/log.ts'
import { PostgresHistory } from '../../src/serve/http/history.ts'
import { Breaker } from '../../src/storage/breaker.ts'
import { connect } from '../../src/storage/postgres/connection.ts'
import { EmbeddedPostgres } from '../../src/storage/postgres/embedded.ts'
import { migrate } from '../../src/storage/postgres/schema.ts'
import { breakerBoard } from '../support/breaker-board.ts'
import { startPostgres, type TestPostgres } from '../support/postgres.ts'
import { ServeRig } from '../support/serve-rig.ts'

const SCHEMA = 'tickd'

/** A database with 25 trades of two instruments and a quote. */
async function filledPostgres(t: Test): Promise<TestPostgres> {
  const postgres = await startPostgres()
  t.teardown(() => postgres.stop())
  const { client, close } = await connect({ url: postgres.url, name: 'test', timeoutMs: 10_000 })
  await migrate(client, SCHEMA)
  close()
  await postgres.psql(`INSERT INTO ${SCHEMA}.instruments (id, venue, symbol, venue_symbol)
    VALUES (1, 'test', 'BTC-USDT', 'BTCUSDT'), (2, 'test', 'ETH-USDT', 'ETHUSDT')`)
  // 25 trades of two instruments, a microsecond and 7 ns apart; scaled as records are.
  await postgres.psql(`INSERT INTO ${SCHEMA}.trade
      (ts, seq, ts_recv, price, size, trade_id, venue_seq, instrument, flags, ns, source, side)
    SELECT timestamptz '2024-08-08 12:00:00Z' + i * interval '1 microsecond', i,
      1723118400000000000 + i, i::int8 * 500000000, 25000000, i, null, 1 + i % 2, 1, 7, 0, 1
    FROM generate_series(0, 24) AS i`)
  await postgres.psql(`INSERT INTO ${SCHEMA}.quote
      (ts, seq, ts_recv, bid_price, bid_size, ask_price, ask_size, instrument, flags, ns, source)
    VALUES ('2024-08-08 12:00:00Z', 281474976710661, 1723118400000000000,
      -500000000, 100000000, null, null, 1, 0, 0, 0)`)
  return postgres
}

t.test('history over HTTP is what PostgreSQL stores, by page', async (t) => {
  const postgres = await filledPostgres(t)
  const board = breakerBoard()
  const dead = 'postgresql://tickd@127.0.0.1:1/tickd'
  const history = new PostgresHistory({
    // Of two hosts, the first is down.
    urls: () => [dead, postgres.url],
    breaker: new Breaker({ name: 'history', clock: new SystemClock(), board }),
    schema: SCHEMA,
    connectTimeoutMs: 5000,
    log: silentLog,
  })
  const rig = new ServeRig({ overrides: { history } })
  rig.add('BTC-USDT')
  rig.add('ETH-USDT')
  rig.start()
  t.teardown(() => rig.close())
  const get = async (path: string) => {
    const response = await fetch(rig.http + path)
    const body = (await response.json()) as {
      records: { seq: number; symbol: string }[]
      next: string | null
    }
    return { status: response.status, body }
  }

  const range = 'start=2024-08-08T12:00:00Z&end=2024-08-08T12:00:01Z'
  const first = await get(`/v1/trades?${range}&limit=10`)
  t.equal(first.status, 200)
  t.same(first.body.records[0], {
    type: 'trade',
    venue: 'test',
    symbol: 'BTC-USDT',
    ts_event: '2024-08-08T12:00:00.000024007Z',
    ts_recv: '2024-08-08T12:00:00.000000024Z',
    id: '24',
    side: 'buy',
    price: '12',
    size: '0.25',
    flags: ['last'],
    shard: 0,
    seq: 24,
  })
  const seqs = first.body.records.map(({ seq }) => seq)
  for (let { next } = first.body; next !== null; ) {
    const page = await get(`/v1/trades?${range}&limit=10&before=${next}`)
    seqs.push(...page.body.records.map(({ seq }) => seq))
    next = page.body.next
  }
  t.same(
    seqs,
    Array.from({ length: 25 }, (_, i) => 24 - i),
    'pages join without a hole or a repeat',
  )
  const eth = await get(`/v1/trades?${range}&symbol=ETH-USDT&limit=100`)
  t.equal(eth.body.records.length, 12)
  t.ok(eth.body.records.every(({ symbol }) => symbol === 'ETH-USDT'))
  t.match((await get(`/v1/quotes?${range}`)).body, {
    records: [{ type: 'quote', bid_price: '-0.5', ask_price: null, shard: 1, seq: 5 }],
    next: null,
  })
  t.same((await get('/v1/trades')).body, { records: [], next: null }, 'nothing in the last hour')

  t.equal(board.counters.get('failures'), 0)

  await postgres.server.stop()
  for (let attempt = 1; attempt <= 5; attempt++) {
    t.match(await get(`/v1/trades?${range}`), {
      status: 503,
      body: { error: { code: 'history_unavailable' } },
    })
  }
  t.equal(board.counters.get('state'), 2, 'the breaker is open: nobody waits for a dead server')
  const { directory } = postgres
  const again = { directory, port: postgres.server.port, log: silentLog, settings: ['fsync=off'] }
  const server = await EmbeddedPostgres.start(again)
  t.teardown(() => server.stop())
  for (const endMs = performance.now() + 15_000; performance.now() < endMs; ) {
    if ((await get(`/v1/trades?${range}`)).status === 200) break
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  t.equal(board.counters.get('state'), 0, 'a probe found it back')
})
