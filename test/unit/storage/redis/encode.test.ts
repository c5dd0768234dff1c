import t from 'tap'
import { latestFields } from '../../../../src/storage/redis/encode.ts'
import { TickBatch } from '../../../../src/tick/batch.ts'
import { ACTION, KIND, MARKET, SIDE, STATUS } from '../../../../src/tick/layout.ts'
import { NULL_I64, setI64 } from '../postgres/batch-fixture.ts'

const TS = 1_722_000_000_123_456_789n
const TS_TEXT = '2024-07-26T13:20:00.123456789Z'

function tick(kind: number, payload: readonly bigint[], ts = TS): TickBatch {
  const batch = new TickBatch(1)
  batch.count = 1
  setI64(batch, 0, 0, ts)
  payload.forEach((value, i) => {
    setI64(batch, 0, 4 + i, value)
  })
  batch.setKindSide(0, kind, SIDE.none)
  return batch
}

/** Fields as an object; fails when a name comes twice. */
function fieldsOf(batch: TickBatch, seq = 77): Record<string, string> {
  const fields = latestFields(batch, 0, seq)
  const out: Record<string, string> = {}
  for (let i = 0; i < fields.length; i += 2) {
    const name = fields[i] as string
    if (name in out) throw new Error(`${name} comes twice`)
    out[name] = fields[i + 1] as string
  }
  return out
}

t.test('a trade has exact decimals, the side, the id, its time and its sequence', (t) => {
  const batch = tick(KIND.trade, [61_737_630_000_000n, 50_000_000n, 123_456_789_012_345_678n, 0n])
  batch.setKindSide(0, KIND.trade, SIDE.sell)
  t.same(fieldsOf(batch), {
    trade_price: '61737.63',
    trade_size: '0.5',
    trade_side: 'sell',
    trade_id: '123456789012345678',
    trade_ts: TS_TEXT,
    trade_seq: '77',
    seq: '77',
  })
  t.end()
})

t.test('a quote with no bid has empty texts there, so that no old value survives', (t) => {
  const fields = fieldsOf(tick(KIND.quote, [NULL_I64, NULL_I64, -1n, 1n]))
  t.match(fields, { bid_price: '', bid_size: '', ask_price: '-0.000000001' })
  t.match(fields, { ask_size: '0.00000001', quote_ts: TS_TEXT })
  t.end()
})

t.test('a settlement price has its components, market and interval', (t) => {
  const batch = tick(KIND.price, [-35_120_000_000n, 1n, 0n, NULL_I64])
  batch.setMarket(0, MARKET.day_ahead, 60)
  t.match(fieldsOf(batch), {
    price: '-35.12',
    energy: '0.000000001',
    congestion: '0',
    loss: '',
    market: 'day-ahead',
    interval_minutes: '60',
    price_ts: TS_TEXT,
  })
  t.end()
})

t.test('a status has its name', (t) => {
  const batch = tick(KIND.status, [0n, 0n, 0n, 0n])
  batch.setAction(0, STATUS.halted)
  t.match(fieldsOf(batch), { status: 'halted', status_ts: TS_TEXT })
  t.end()
})

t.test('an absent time is the empty text', (t) => {
  t.equal(fieldsOf(tick(KIND.trade, [0n, 0n, 0n, 0n], NULL_I64)).trade_ts, '')
  t.end()
})

t.test('a book level is no latest value', (t) => {
  const batch = tick(KIND.book, [0n, 0n, 0n, 0n])
  batch.setAction(0, ACTION.set)
  t.same(latestFields(batch, 0, 1), [])
  t.end()
})
