// What a real server shows of each record, value by value, against BigInt arithmetic.

import t from 'tap'
import { STORE_RETRY_MS_MAX } from '../../src/limits.ts'
import { silentLog } from '../../src/ops/log.ts'
import { BatchPlan } from '../../src/storage/postgres/batch-plan.ts'
import { jsCopyKernel } from '../../src/storage/postgres/encode.ts'
import { FIRST_DAY } from '../../src/storage/postgres/partitions.ts'
import { VIEW_NAMES } from '../../src/storage/postgres/views.ts'
import { PostgresWriter } from '../../src/storage/postgres/writer.ts'
import type { TickBatch } from '../../src/tick/batch.ts'
import { InstrumentTable } from '../../src/tick/instruments.ts'
import { flagNames } from '../../src/tick/json.ts'
import {
  ACTION_NAMES,
  KIND,
  type KindName,
  MARKET_NAMES,
  SIDE_NAMES,
  STATUS_NAMES,
} from '../../src/tick/layout.ts'
import { DEBIAN_15, hasDebian15, startPostgres } from '../support/postgres.ts'
import {
  i64At,
  NULL_I64,
  randomBatch,
  seededRandom,
  setI64,
} from '../unit/storage/postgres/batch-fixture.ts'

const SHARD = 41
const TODAY = 20_600
const LAST_DAY = 20_700
const COUNT = 3000
const CAPACITY = 1024

const DAY_NS = 86_400_000_000_000n
const DAY_COUNT = 16

/** All kinds and values; but times are of a few days, or where there is no partition. */
function batchOfFewDays(random: () => number): TickBatch {
  const batch = randomBatch(COUNT, 0, random)
  for (let index = 0; index < batch.count; index++) {
    const ns = i64At(batch, index, 0)
    const day = ns / DAY_NS - (ns % DAY_NS < 0n ? 1n : 0n)
    if (ns === NULL_I64 || day < BigInt(FIRST_DAY) || day > BigInt(LAST_DAY)) continue
    const ours = BigInt(TODAY - Math.floor(random() * DAY_COUNT))
    setI64(batch, index, 0, ns + (ours - day) * DAY_NS)
  }
  return batch
}

/** Decimal text of value x 10^-decimals, without trailing zeros; null for the null. */
function decimal(value: bigint, decimals: number): string | null {
  if (value === NULL_I64) return null
  const digits = (value < 0n ? -value : value).toString().padStart(decimals + 1, '0')
  const fraction = digits.slice(-decimals).replace(/0+$/, '')
  const text = digits.slice(0, -decimals) + (fraction === '' ? '' : `.${fraction}`)
  return value < 0n ? `-${text}` : text
}

const whole = (value: bigint) => (value === NULL_I64 ? null : value.toString())

/** RFC 3339 with nine digits. */
function timeText(ns: bigint): string | null {
  if (ns === NULL_I64) return null
  const rest = ((ns % 1_000_000_000n) + 1_000_000_000n) % 1_000_000_000n
  const seconds = Number((ns - rest) / 1_000_000_000n)
  const head = new Date(seconds * 1000).toISOString().slice(0, 19)
  return `${head}.${rest.toString().padStart(9, '0')}Z`
}

function expectedRow(batch: TickBatch, index: number, kind: KindName) {
  const [p0, p1, p2, p3] = [4, 5, 6, 7].map((word) => i64At(batch, index, word)) as [
    bigint,
    bigint,
    bigint,
    bigint,
  ]
  const side = SIDE_NAMES[batch.side(index)]
  const own: Record<KindName, () => object> = {
    trade: () => ({
      ...{ price: decimal(p0, 9), size: decimal(p1, 8), side },
      ...{ id: whole(p2), venue_seq: whole(p3) },
    }),
    quote: () => ({
      ...{ bid_price: decimal(p0, 9), bid_size: decimal(p1, 8) },
      ...{ ask_price: decimal(p2, 9), ask_size: decimal(p3, 8) },
    }),
    book: () => ({
      ...{ side, price: decimal(p0, 9), size: decimal(p1, 8) },
      action: ACTION_NAMES[batch.action(index)],
      ...{ update_id: whole(p2), order_count: whole(p3) },
    }),
    price: () => ({
      market: MARKET_NAMES[batch.market(index)],
      interval_minutes: batch.interval(index),
      ...{ price: decimal(p0, 9), energy: decimal(p1, 9) },
      ...{ congestion: decimal(p2, 9), loss: decimal(p3, 9) },
    }),
    status: () => ({
      status: STATUS_NAMES[batch.action(index)],
      ...{ code: whole(p0), from_id: whole(p1), to_id: whole(p2), value: whole(p3) },
    }),
  }
  return {
    venue: 'test',
    symbol: `SYM-${batch.instrument(index)}`,
    ts_event: timeText(i64At(batch, index, 0)),
    ts_recv: timeText(i64At(batch, index, 1)),
    ...own[kind](),
    flags: [...flagNames(batch.flags(index))],
    source: batch.source(index),
    shard: SHARD,
    seq: String(index),
    instrument: batch.instrument(index),
  }
}

function instrumentTable(): InstrumentTable {
  const instruments = new InstrumentTable(InstrumentTable.create(CAPACITY), CAPACITY)
  for (const id of [1, 2, 3]) instruments.add('test', `SYM-${id}`)
  return instruments
}

async function openWriter(url: string): Promise<PostgresWriter> {
  return await PostgresWriter.open({
    url,
    schema: 'tickd',
    shard: SHARD,
    connectTimeoutMs: STORE_RETRY_MS_MAX,
    lockTimeoutMs: STORE_RETRY_MS_MAX,
    // Small pieces, so that rows are cut into many messages.
    copyBufferBytes: 16 * 1024,
    synchronousCommit: false,
    partitionDaysAhead: 0,
    instruments: instrumentTable(),
    kernel: jsCopyKernel,
    log: silentLog,
    onProgress: () => {},
    onLost: () => {},
  })
}

/** Stores the whole batch from sequence 0 on, in as many transactions as its days need. */
async function storeAll(writer: PostgresWriter, batch: TickBatch): Promise<number> {
  const plan = new BatchPlan(batch.capacity)
  let transactions = 0
  for (let from = 0; from < batch.count; from = plan.to) {
    plan.build(batch, from, FIRST_DAY, LAST_DAY)
    const origin = { journal: 'j', start: 's', epoch: 1 }
    await writer.store({ batch, plan, firstSeq: 0, ...origin, culprits: new Map() }, TODAY)
    transactions++
  }
  return transactions
}

const servers = [
  { name: 'the embedded PostgreSQL', binaries: undefined, skip: false },
  { name: 'PostgreSQL 15', binaries: DEBIAN_15, skip: !hasDebian15 && 'it is not installed here' },
]

for (const { name, binaries, skip } of servers) {
  t.test(`${name} shows every value exactly as it was recorded`, { skip }, async (t) => {
    const postgres = await startPostgres(binaries)
    t.teardown(() => postgres.stop())
    const batch = batchOfFewDays(seededRandom(t))
    const writer = await openWriter(postgres.url)
    const transactions = await storeAll(writer, batch)
    t.ok(transactions > 1, `scattered days take several transactions: ${transactions}`)
    t.equal(writer.seq, COUNT)
    writer.close()
    for (const kind of Object.keys(KIND) as KindName[]) {
      const rows = await postgres.psql(`SELECT * FROM tickd.${VIEW_NAMES[kind]} ORDER BY seq`)
      t.equal(rows.length, COUNT / 5)
      for (const { ts, ...row } of rows) {
        const expected = expectedRow(batch, Number(row.seq), kind)
        if (JSON.stringify(row) !== JSON.stringify(expected)) t.same(row, expected, kind)
        const ms = Math.floor(Number(i64At(batch, Number(row.seq), 0)) / 1e6)
        if (ts !== null && Math.abs((ts as Date).getTime() - ms) > 1) t.fail(`ts of ${row.seq}`)
        if ((ts === null) !== (row.ts_event === null)) t.fail(`null ts of ${row.seq}`)
      }
    }
    const stray = await postgres.psql(
      `SELECT count(*)::int4 AS n FROM tickd.trade_default
       WHERE ts >= '2000-01-01' AND ts < '2026-01-01'`,
    )
    t.same(stray, [{ n: 0 }], 'only absurd and absent times are in the default partition')
  })
}
