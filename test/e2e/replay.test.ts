// The recorded USD-M session, replayed into a running daemon: PostgreSQL holds just what `decode`
// prints, Redis the last of each, and a subscriber on each sub-protocol has had every record once
// and in order.

import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { Redis } from 'ioredis'
import pg from 'pg'
import t, { type Test } from 'tap'
import { DaemonProcess } from '../support/daemon.ts'
import { type FeedRecord, RecordingSubscriber } from '../support/subscriber.ts'

const MAIN = fileURLToPath(new URL('../../src/main.ts', import.meta.url))
const CAPTURES =
  process.env.TICKD_CAPTURES ?? fileURLToPath(new URL('../../../shared/captures', import.meta.url))
const CAPTURE = join(CAPTURES, 'ns-line', 'usdm_btcusdt_20240808.gz')
const skip = existsSync(CAPTURE) ? false : `no capture at ${CAPTURE}`
const CHANNELS = ['trades', 'quotes', 'book'] as const
const VENUE_ARGS = [CAPTURE, '--venue', 'binance-usdm', '--format', 'ns-line']

const execute = promisify(execFile)
t.setTimeout(180_000)

async function tickd(args: string[]): Promise<string> {
  const { stdout } = await execute(
    process.execPath,
    ['--disable-warning=ExperimentalWarning', MAIN, ...args],
    { maxBuffer: 2 ** 30 },
  )
  return stdout
}

/** What the daemon adds: the mark of replay, and its own judgement of the order of event times. */
const ADDED_FLAGS = ['replayed', 'out_of_order']

/** A record as the comparison sees it: sequence and added flags aside. */
function essence(record: FeedRecord): string {
  const { seq: _seq, flags, ...rest } = record
  const kept = (flags as string[]).filter((flag) => !ADDED_FLAGS.includes(flag)).sort()
  return JSON.stringify({ ...rest, flags: kept })
}

t.test(
  'what was recorded arrives everywhere, value by value',
  { skip, timeout: 180_000 },
  async (t) => {
    const printed = (await tickd(['decode', ...VENUE_ARGS])).trimEnd().split('\n')
    const expected = printed.map((line) => JSON.parse(line) as FeedRecord)
    const daemon = await DaemonProcess.start({
      config: {
        sources: [{ name: 'push-http', type: 'http' }],
        serve: { listen: { port: 0 }, subscriber_buffer_bytes: 256 * 2 ** 20 },
      },
    })
    t.teardown(() => daemon.stop())
    const subscribers = await Promise.all(
      (['tickd.v1.fb', 'tickd.v1.msgpack', 'tickd.v1.json'] as const).map((protocol) =>
        RecordingSubscriber.open(daemon.address('feed'), protocol, CHANNELS),
      ),
    )
    await tickd(['replay', ...VENUE_ARGS, '--speed', 'max', '--to', daemon.address('http')])

    const counts = new Map<string, number>()
    for (const { type } of expected) counts.set(type, (counts.get(type) ?? 0) + 1)
    const client = new pg.Client({ connectionString: daemon.postgresUrl })
    await client.connect()
    const stored = await storedRecords(client, expected.length)
    await client.end()
    t.equal(stored.length, expected.length, 'as many rows as records')
    const firstDifference = stored.findIndex((row, i) => row !== sqlForm(expected[i] as FeedRecord))
    t.equal(firstDifference, -1, 'every row, in order')
    if (firstDifference >= 0) {
      t.equal(stored[firstDifference], sqlForm(expected[firstDifference] as FeedRecord))
    }

    for (const subscriber of subscribers) {
      await subscriber.until(expected.filter(({ type }) => type !== 'status').length)
      t.equal(subscriber.holes, 0, `${subscriber.protocol}: dense and in order`)
      t.equal(subscriber.gaps, 0, `${subscriber.protocol}: nothing skipped`)
      for (const [channel, type] of [
        ['trades', 'trade'],
        ['quotes', 'quote'],
        ['book', 'book'],
      ] as const) {
        const wanted = expected.filter((record) => record.type === type).map(essence)
        const got = subscriber.records(channel).map(essence)
        t.equal(got.length, wanted.length, `${subscriber.protocol} ${channel}: all records`)
        const wrong = got.findIndex((record, i) => record !== wanted[i])
        t.equal(wrong, -1, `${subscriber.protocol} ${channel}: the same values`)
        if (wrong >= 0) t.equal(got[wrong], wanted[wrong])
      }
      subscriber.close()
    }
    await checkRedis(t, daemon, expected)
  },
)

/** Redis holds the last trade and quote of the instrument. */
async function checkRedis(
  t: Test,
  daemon: DaemonProcess,
  expected: readonly FeedRecord[],
): Promise<void> {
  if (daemon.address('redis') === '') {
    t.comment('no redis-server: the cache is off')
    return
  }
  const last = (type: string) => expected.findLast((record) => record.type === type) as FeedRecord
  const redis = new Redis(daemon.address('redis').replace(/^unix:\/\//, ''))
  const trade = last('trade')
  const deadline = Date.now() + 10_000
  for (;;) {
    const hash = await redis.hgetall(`tickd:latest:${trade.venue}:${trade.symbol}`)
    const wanted = {
      trade_id: trade.id,
      trade_price: trade.price,
      trade_size: trade.size,
      bid_price: last('quote').bid_price,
      ask_size: last('quote').ask_size,
    }
    const found = Object.fromEntries(Object.keys(wanted).map((key) => [key, hash[key]]))
    if (JSON.stringify(found) === JSON.stringify(wanted) || Date.now() > deadline) {
      t.same(found, wanted, 'Redis holds the last of each')
      break
    }
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  redis.disconnect()
}

/** All rows in the order of their sequence, in a text form. */
async function storedRecords(client: pg.Client, count: number): Promise<string[]> {
  const parts = [
    `SELECT seq, concat_ws('|', 'trade', venue, symbol, ts_event, ts_recv, id, side, price, size)
       FROM tickd.trades`,
    `SELECT seq, concat_ws('|', 'quote', venue, symbol, ts_event, ts_recv, bid_price, bid_size,
       ask_price, ask_size) FROM tickd.quotes`,
    `SELECT seq, concat_ws('|', 'book', venue, symbol, ts_event, ts_recv, side, price, size, action)
       FROM tickd.book_changes`,
    `SELECT seq, concat_ws('|', 'status', venue, symbol, ts_event, ts_recv) FROM tickd.statuses`,
  ]
  const sql = `SELECT text FROM (${parts.join(' UNION ALL ')}) AS every(seq, text) ORDER BY seq`
  const deadline = Date.now() + 60_000
  for (;;) {
    const { rows } = await client.query(sql)
    if (rows.length >= count || Date.now() > deadline) return rows.map(({ text }) => text)
    await new Promise((resolve) => setTimeout(resolve, 250))
  }
}

function sqlForm(record: FeedRecord): string {
  const { type, venue, symbol, ts_event, ts_recv } = record
  const fields: Record<string, string[]> = {
    trade: ['id', 'side', 'price', 'size'],
    quote: ['bid_price', 'bid_size', 'ask_price', 'ask_size'],
    book: ['side', 'price', 'size', 'action'],
    status: [],
  }
  const values = (fields[type] ?? []).map((name) => record[name]).filter((v) => v !== null)
  return [type, venue, symbol, ts_event, ts_recv, ...values].join('|')
}
