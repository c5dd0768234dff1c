// Start, use everything once, stop, start again: the sequence goes on, nothing twice or missing.

import { rmSync } from 'node:fs'
import pg from 'pg'
import t from 'tap'
import WebSocket from 'ws'
import { DaemonProcess, makeStateDir } from '../support/daemon.ts'

const stateDir = makeStateDir()
t.teardown(() => rmSync(stateDir, { recursive: true, force: true }))

const config = {
  sources: [
    { name: 'synthetic', type: 'synthetic', rate: 2000 },
    { name: 'push-http', type: 'http' },
  ],
}

const TABLES = ['trade', 'quote', 'book', 'price', 'status']

/** All stored sequences, over all kinds, in order. */
async function storedSeqs(client: pg.Client): Promise<number[]> {
  const union = TABLES.map((table) => `SELECT seq FROM tickd.${table}`).join(' UNION ALL ')
  const { rows } = await client.query(`SELECT seq FROM (${union}) AS every ORDER BY seq`)
  return rows.map(({ seq }) => Number(seq))
}

async function connect(daemon: DaemonProcess): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: daemon.postgresUrl })
  await client.connect()
  return client
}

async function until(what: string, test: () => Promise<boolean>): Promise<void> {
  const deadline = Date.now() + 30_000
  while (!(await test())) {
    if (Date.now() > deadline) throw new Error(`not in time: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
}

t.setTimeout(300_000)

t.test('the first run: every endpoint answers, ticks reach PostgreSQL and the feed', async (t) => {
  const daemon = await DaemonProcess.start({ stateDir, config })
  const http = daemon.address('http')
  const client = await connect(daemon)
  await until('rows', async () => (await storedSeqs(client)).length > 1000)

  for (const path of ['/healthz', '/readyz', '/openapi.json', '/v1/latest', '/v1/instruments']) {
    const response = await fetch(http + path)
    t.equal(response.status, 200, path)
    t.type(await response.json(), 'object', path)
  }
  for (const path of ['/v1/trades?symbol=BTC-USD', '/v1/quotes?symbol=BTC-USD']) {
    const response = await fetch(http + path)
    t.equal(response.status, 200, path)
    t.match(await response.text(), /BTC-USD/)
  }
  t.match(await (await fetch(`${http}/metrics`)).text(), /tickd_journal_records_total/)
  t.match(await (await fetch(http)).text(), /<html/i)

  const { rows } = await client.query(
    "SELECT venue, symbol, price, size, side FROM tickd.trades WHERE symbol = 'BTC-USD' LIMIT 1",
  )
  t.match(rows[0], { venue: 'synthetic', symbol: 'BTC-USD', price: /^\d+(\.\d+)?$/ })

  const seqs = await subscribeFor(daemon.address('feed'), 200)
  t.same(
    seqs,
    seqs.map((_, index) => (seqs[0] as number) + index),
    'the feed is dense',
  )
  await client.end()
  const beganMs = Date.now()
  t.equal(await daemon.stop(), 0, 'SIGTERM drains and exits 0')
  t.ok(Date.now() - beganMs < 10_000, 'within 10 s')
})

t.test('a POST is answered after fsync with its range, and its ticks are stored', async (t) => {
  const daemon = await DaemonProcess.start({ stateDir, config })
  const client = await connect(daemon)
  const lines = [1, 2, 3].map((id) =>
    JSON.stringify({
      type: 'trade',
      venue: 'mine',
      symbol: 'AAA-BBB',
      ts_event: '2026-01-02T03:04:05.123456789Z',
      id: String(id),
      side: 'buy',
      price: `-${id}.000000001`,
      size: '0.00000001',
    }),
  )
  const response = await fetch(`${daemon.address('http')}/v1/ticks`, {
    method: 'POST',
    headers: { 'content-type': 'application/x-ndjson' },
    body: `${lines.join('\n')}\n`,
  })
  t.equal(response.status, 200)
  const answer = (await response.json()) as {
    accepted: number
    first_seq: number
    last_seq: number
  }
  t.match(answer, { accepted: 3, rejected: 0 })
  t.equal(answer.last_seq - answer.first_seq, 2)
  await until('the posted rows', async () => {
    const { rows } = await client.query("SELECT * FROM tickd.trades WHERE symbol = 'AAA-BBB'")
    return rows.length === 3
  })
  const { rows } = await client.query(
    "SELECT id, price::text, size::text FROM tickd.trades WHERE symbol = 'AAA-BBB' ORDER BY id",
  )
  t.match(rows[0], { id: '1', price: '-1.000000001', size: '0.00000001' })
  await client.end()
  t.equal(await daemon.stop(), 0)
})

t.test('after a restart the sequence goes on: nothing twice, nothing missing', async (t) => {
  const daemon = await DaemonProcess.start({ stateDir, config })
  const client = await connect(daemon)
  const before = (await storedSeqs(client)).length
  await until('more rows', async () => (await storedSeqs(client)).length > before + 1000)
  const seqs = await storedSeqs(client)
  t.same(
    seqs,
    seqs.map((_, index) => index),
    'sequences are dense from 0, over three runs',
  )
  const ids = await client.query(
    'SELECT count(*) - count(DISTINCT (instrument, trade_id)) AS twice FROM tickd.trade',
  )
  t.equal(Number(ids.rows[0].twice), 0, 'no trade id twice')
  await client.end()
  t.equal(await daemon.stop(), 0)
})

t.test('a signal to npm is one to the daemon: nothing is left running', async (t) => {
  const off = { postgres: { mode: 'off' }, redis: { mode: 'off' } }
  const daemon = await DaemonProcess.start({ byNpm: true, config: { ...config, ...off } })
  const pid = daemon.lines.find(({ msg }) => msg === 'starting')?.pid as number
  const isAlive = () => {
    try {
      return process.kill(pid, 0)
    } catch {
      return false
    }
  }
  t.teardown(() => isAlive() && process.kill(pid, 'SIGKILL'))
  t.not(pid, daemon.pid, 'npm is between')
  t.equal(await daemon.stop(), 0)
  t.match(await daemon.waitFor(({ msg }) => msg === 'stopped'), { drained: true })
  await until('its end', async () => !isAlive())
})

/** Subscribes to all trades in JSON mode; resolves to the stream sequences of `count` records. */
async function subscribeFor(url: string, count: number): Promise<number[]> {
  const socket = new WebSocket(url, 'tickd.v1.json')
  const seqs: number[] = []
  await new Promise<void>((resolve, reject) => {
    socket.on('error', reject)
    socket.on('message', (data) => {
      const message = JSON.parse(data.toString())
      if (message.op === 'welcome') {
        socket.send(JSON.stringify({ op: 'subscribe', id: 1, channel: 'trades', symbols: ['*'] }))
      }
      if (message.op === 'error') reject(new Error(data.toString()))
      if (message.op === 'data') {
        for (let i = 0; i < message.records.length; i++) seqs.push(message.first_seq + i)
      }
      if (seqs.length >= count) resolve()
    })
  })
  socket.close()
  return seqs
}
