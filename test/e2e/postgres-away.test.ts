// The daemon does its work without its database, and the store catches up when it comes.

import { rmSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { silentLog } from '../../src/ops/log.ts'
import { freePort } from '../../src/storage/free-port.ts'
import { EmbeddedPostgres } from '../../src/storage/postgres/embedded.ts'
import { readDeadLetters } from '../../src/validate/dead-letter-reader.ts'
import { DaemonProcess } from '../support/daemon.ts'
import { psql, temporaryDirectory } from '../support/postgres.ts'

const WAIT_MS_MAX = 30_000
const POLL_MS = 50

t.setTimeout(120_000)

async function until(what: string, condition: () => Promise<boolean>): Promise<void> {
  const endMs = performance.now() + WAIT_MS_MAX
  while (!(await condition())) {
    if (performance.now() > endMs) throw new Error(`not in time: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, POLL_MS))
  }
}

function lines(first: number, count: number): string {
  const time = (id: number) => `2026-03-01T00:00:${String(id % 60).padStart(2, '0')}.000000000Z`
  return Array.from({ length: count }, (_, i) =>
    JSON.stringify({
      type: 'trade',
      venue: 'test',
      symbol: 'BTC-USDT',
      ts_event: time(first + i),
      id: String(first + i),
      side: 'buy',
      price: '61737.63',
      size: '0.5',
    }),
  ).join('\n')
}

async function post(http: string, body: string): Promise<number> {
  const headers = { 'content-type': 'application/x-ndjson' }
  return (await fetch(`${http}/v1/ticks`, { method: 'POST', headers, body })).status
}

t.test('down at the start, there for a while, gone again, and back', async (t) => {
  const directory = temporaryDirectory('away')
  t.teardown(() => rmSync(directory, { recursive: true, force: true, maxRetries: 10 }))
  const port = await freePort('127.0.0.1')
  const start = () =>
    EmbeddedPostgres.start({ directory, port, log: silentLog, settings: ['fsync=off'] })
  let server = await start()
  const { url } = server
  await server.stop()

  const daemon = await DaemonProcess.start({
    config: {
      sources: [{ name: 'push', type: 'http' }],
      postgres: { mode: 'external', url },
      redis: { mode: 'off' },
    },
  })
  t.teardown(() => daemon.stop())
  t.teardown(() => server.stop())
  const http = daemon.address('http')
  const readyz = async () => {
    const response = await fetch(`${http}/readyz`)
    const body = (await response.json()) as {
      status: string
      dependencies: Record<string, { ready: boolean; state: string; lag: number }>
    }
    return { code: response.status, status: body.status, postgres: body.dependencies['postgres-0'] }
  }
  let sent = 0
  const push = async () => {
    t.equal(await post(http, lines(sent, 100)), 200, 'acknowledged: durable in the journal')
    sent += 100
  }
  const isStored = async () => {
    const rows = await psql(
      url,
      'SELECT count(*)::int4 AS n, count(DISTINCT trade_id)::int4 AS ids FROM tickd.trade',
    ).catch(() => [])
    return rows[0]?.n === sent && rows[0]?.ids === sent
  }

  await push()
  await until('the breaker is open', async () => (await readyz()).postgres?.state !== 'closed')
  t.match(await readyz(), { code: 200, status: 'degraded', postgres: { ready: false, lag: 100 } })

  server = await start()
  await until('all is stored', isStored)
  await until('all is well', async () => (await readyz()).status === 'ready')

  await server.stop()
  await push()
  await until('it is missed', async () => (await readyz()).status === 'degraded')
  await push()
  server = await start()
  await until('all is stored, once', isStored)
  t.equal(sent, 300)
})

t.test(
  'a record that the database refuses is a dead letter, and the ledger balances',
  async (t) => {
    const daemon = await DaemonProcess.start({
      config: { sources: [{ name: 'push', type: 'http' }], redis: { mode: 'off' } },
    })
    t.teardown(() => daemon.stop())
    const url = daemon.postgresUrl
    await psql(url, 'ALTER TABLE tickd.trade ADD CONSTRAINT liked CHECK (trade_id <> 77)')
    await post(daemon.address('http'), lines(0, 100))
    await until('all is settled', async () => {
      const rows = await psql(url, 'SELECT seq FROM tickd.positions WHERE shard = 0').catch(
        () => [],
      )
      return Number(rows[0]?.seq) === 100
    })
    const rows = await psql(
      url,
      `SELECT (SELECT count(*)::int4 FROM tickd.trade) AS stored,
       (SELECT array_agg(sqlstate) FROM tickd.refused) AS refused`,
    )
    t.same(rows, [{ stored: 99, refused: ['23514'] }])
    const letters = [...readDeadLetters(join(daemon.stateDir, 'dead-letters'))]
    t.match(letters, [
      {
        stage: 'store',
        reason: 'refused_by_postgres',
        sourceName: 'push',
        origin: 77,
        detail: /^23514 .*"liked"/,
      },
    ])
    const ledger = await (await fetch(`${daemon.address('http')}/v1/ledger`)).json()
    t.match(ledger, { ok: true })
    const metrics = await (await fetch(`${daemon.address('http')}/metrics`)).text()
    t.match(metrics, /tickd_postgres_records_refused_total\{shard="0"\} 1\n/)
  },
)
