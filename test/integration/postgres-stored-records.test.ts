// Records read back out of PostgreSQL: the same to the bit, in order, or a plain no.

import { rmSync } from 'node:fs'
import { createServer } from 'node:net'
import t, { type Test } from 'tap'
import { FEED_STORE_PAGE_TICKS, FEED_STORE_REPLAYS_MAX } from '../../src/limits.ts'
import {
  StoredRecords,
  type StoredRecordsOptions,
  type StoredRecordsReader,
} from '../../src/storage/postgres/stored-records.ts'
import { TickBatch } from '../../src/tick/batch.ts'
import { writeSplit } from '../../src/tick/fixed-point.ts'
import { KIND, NULL_HI, NULL_LO, TICK_BYTES, TICK_WORDS, WORD } from '../../src/tick/layout.ts'
import { startPostgres, type TestPostgres, temporaryDirectory } from '../support/postgres.ts'
import { FIRST_SEC, putRecord, runUntil, StoreBench } from '../support/store-bench.ts'

let postgres: TestPostgres
t.before(async () => {
  postgres = await startPostgres()
})
t.teardown(() => postgres.stop())

const COUNT = 3 * FEED_STORE_PAGE_TICKS + 1000
const RECV_MS = FIRST_SEC * 1000

/** Every field that a row has, nulls, no event time, and event times of years ago. */
function putOdd(batch: TickBatch, index: number, seq: number): void {
  putRecord(batch, index, seq)
  const at = index * TICK_WORDS
  const kind = batch.kind(index)
  const hasSide = kind === KIND.trade || kind === KIND.book
  batch.setKindSide(index, kind, hasSide ? seq % 3 : 0)
  batch.setFlags(index, seq % 65_536)
  if (kind === KIND.book || kind === KIND.status) batch.setAction(index, seq % 4)
  if (kind === KIND.price) batch.setMarket(index, seq % 4, seq % 1441)
  if (seq % 7 === 0) setNull(batch, at + WORD.p0 + 2 * (seq % 4))
  if (seq % 9001 === 0) setNull(batch, at + WORD.ts_event)
  if (seq % 9002 === 0) writeSplit(batch.words, at + WORD.ts_event, false, 1_000_000_000, 123)
  if (seq % 9003 === 0) writeSplit(batch.words, at + WORD.ts_event, true, 1_000_000, 1)
}

function setNull({ words }: TickBatch, at: number): void {
  words[at] = NULL_LO
  words[at + 1] = NULL_HI
}

async function stored(t: Test, schema: string, count: number, sql = ''): Promise<void> {
  const directory = temporaryDirectory('stored')
  const store = new StoreBench(directory)
  t.teardown(() => {
    store.close()
    rmSync(directory, { recursive: true, force: true })
  })
  store.append(1, putOdd)
  const agent = store.agent(postgres.url, { schema })
  await agent.onStart()
  await runUntil(agent, () => store.stored.load() === store.durable, 'the tables')
  if (sql !== '') await postgres.psql(sql)
  store.append(count - 1, putOdd)
  await runUntil(agent, () => store.stored.load() === store.durable, 'stored')
  agent.onClose()
}

function recordsOf(schema: string, more: Partial<StoredRecordsOptions> = {}) {
  const failures: string[] = []
  const readers = { count: 0 }
  const breaker = {
    tryNow: () => true,
    succeeded: () => {},
    failed: (error: string) => failures.push(error),
  }
  const records = new StoredRecords({
    url: () => postgres.url,
    schema,
    shard: 0,
    journal: '',
    connectTimeoutMs: 5000,
    breaker,
    readers,
    ...more,
  })
  return { records, failures, readers }
}

function open(t: Test, records: StoredRecords, from: number, recvMs = RECV_MS, to = COUNT) {
  const reader = records.open(from, recvMs, () => to) as StoredRecordsReader
  t.teardown(() => reader.close())
  return reader
}

/** Reads until it is over; compares each record with what was stored. */
async function readAll(t: Test, reader: StoredRecordsReader, toSeq = COUNT): Promise<number> {
  const out = new TickBatch(1000)
  const expected = new TickBatch(1)
  let wrong = -1
  let next = reader.seq
  while (next < toSeq && reader.state === 'reading') {
    const count = reader.read(out, toSeq)
    for (let i = 0; i < count; i++) {
      putOdd(expected, 0, next + i)
      const record = out.bytes.subarray(i * TICK_BYTES, (i + 1) * TICK_BYTES)
      if (wrong < 0 && Buffer.compare(record, expected.bytes) !== 0) wrong = next + i
    }
    next += count
    if (count === 0) await new Promise((resolve) => setImmediate(resolve))
  }
  t.equal(wrong, -1, 'each record is the same to the bit')
  return next
}

t.test('all records come back in order, the refused ones, too', async (t) => {
  const refusals = 'ALTER TABLE whole.trade ADD CHECK (seq % 5000 <> 10)'
  await stored(t, 'whole', COUNT, refusals)
  const { records, readers } = recordsOf('whole')
  const reader = open(t, records, 0)
  t.equal(await readAll(t, reader), COUNT)
  t.same([reader.state, readers.count], ['reading', 1])
  reader.close()
  reader.close()
  t.equal(readers.count, 0)
  const [refused] = await postgres.psql('SELECT count(*)::int4 AS count FROM whole.refused')
  t.ok(Number(refused?.count) > 0, 'some were refused')
  t.test('from anywhere, with a wrong idea of the time, or none', async (t) => {
    for (const [from, recvMs] of [
      [20_000, 0],
      [20_001, Number.POSITIVE_INFINITY],
      [9001, RECV_MS],
    ] as const) {
      t.equal(await readAll(t, open(t, records, from, recvMs), from + 2000), from + 2000)
    }
  })
  t.test('not beyond where it is to end, and not what another one ends', async (t) => {
    const out = new TickBatch(1000)
    const reader = open(t, records, 100, RECV_MS, 150)
    t.equal(await readAll(t, reader, 120), 120)
    t.equal(await readAll(t, reader, 150), 150)
    t.equal(reader.read(out, COUNT), 0)
    t.equal(reader.state, 'reading', 'the journal has the rest')
  })
})

t.test('a record that is not there is told, behind all that are', async (t) => {
  await stored(t, 'holed', 5000)
  await postgres.psql('DELETE FROM holed.quote WHERE seq = 3001')
  const { records, failures } = recordsOf('holed')
  const reader = open(t, records, 10)
  t.equal(await readAll(t, reader), 3001)
  t.match(reader, { state: 'gone', text: /does not have the record 3001/ })
  t.same(failures, [], 'nothing is wrong with the server')
})

t.test('the records of another journal are none of ours', async (t) => {
  await stored(t, 'foreign', 10)
  const { records } = recordsOf('foreign', { journal: '0123456789abcdef' })
  const reader = open(t, records, 1)
  await readAll(t, reader)
  t.match(reader, { state: 'gone', text: /another journal/ })
})

t.test('no more than so many at once', (t) => {
  const { records, readers } = recordsOf('none')
  const all = Array.from({ length: FEED_STORE_REPLAYS_MAX }, () => open(t, records, 1))
  t.ok(records.isFull)
  t.equal(
    records.open(1, 0, () => 1),
    undefined,
  )
  for (const reader of all) reader.close()
  t.equal(readers.count, 0)
  t.end()
})

t.test(
  'a server that is away is told, and not asked again while its breaker is open',
  async (t) => {
    const away = recordsOf('whole', { url: () => 'postgresql://tickd:x@127.0.0.1:1/tickd' })
    const reader = open(t, away.records, 1)
    await readAll(t, reader)
    t.match(reader, { state: 'away', text: /does not answer/ })
    t.equal(away.failures.length, 1)
    const mute = createServer()
    await new Promise<void>((resolve) => mute.listen(0, '127.0.0.1', resolve))
    t.teardown(() => mute.close())
    const { port } = mute.address() as { port: number }
    const url = () => `postgresql://tickd:x@127.0.0.1:${port}/tickd`
    const silent = recordsOf('whole', { url, connectTimeoutMs: 100 })
    const waiting = open(t, silent.records, 1)
    await readAll(t, waiting)
    t.equal(waiting.state, 'away')
    const failures: string[] = []
    const breaker = { tryNow: () => false, succeeded() {}, failed: (e: string) => failures.push(e) }
    const refused = open(t, recordsOf('whole', { breaker }).records, 1)
    await readAll(t, refused)
    t.equal(refused.state, 'away')
    t.same(failures, [], 'what was not asked did not fail')
  },
)

t.test('a connection that is cut is opened anew', async (t) => {
  const { records } = recordsOf('whole')
  const reader = open(t, records, 0)
  t.equal(await readAll(t, reader, 100), 100)
  await postgres.psql(
    `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
     WHERE application_name = 'tickd replay'`,
  )
  t.equal(await readAll(t, reader), COUNT)
})
