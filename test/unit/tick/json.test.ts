import t from 'tap'
import { TickBatch } from '../../../src/tick/batch.ts'
import { parseDecimal, writeInteger, writeNull, writeSplit } from '../../../src/tick/fixed-point.ts'
import { InstrumentTable } from '../../../src/tick/instruments.ts'
import { flagNames, tickToJson, tickToObject } from '../../../src/tick/json.ts'
import {
  ACTION,
  FLAG,
  KIND,
  MARKET,
  SIDE,
  STATUS,
  TICK_WORDS,
  WORD,
} from '../../../src/tick/layout.ts'

const instruments = new InstrumentTable(InstrumentTable.create(16), 16)
const btc = instruments.add('binance-us', 'BTC-USDT', 'BTCUSDT')
const node = instruments.add('pjm', 'a "quoted" node')

function tick(kind: number, instrument: number, side = 0): TickBatch {
  const batch = new TickBatch(2)
  const at = TICK_WORDS
  writeSplit(batch.words, at + WORD.ts_event, false, 1723161255, 208_000_000)
  writeSplit(batch.words, at + WORD.ts_recv, false, 1723161256, 1)
  batch.setInstrument(1, instrument)
  batch.setKindSide(1, kind, side)
  for (let i = 0; i < 4; i++) writeNull(batch.words, at + WORD.p0 + 2 * i)
  return batch
}

function put(batch: TickBatch, payload: number, text: string, decimals: number): void {
  const bytes = Buffer.from(text)
  parseDecimal(bytes, 0, bytes.length, decimals, batch.words, TICK_WORDS + WORD.p0 + 2 * payload)
}

const TIMES =
  '"ts_event":"2024-08-08T23:54:15.208000000Z","ts_recv":"2024-08-08T23:54:16.000000001Z"'

t.test('a trade is printed with exactly the fields of the design, in their order', async (t) => {
  const batch = tick(KIND.trade, btc, SIDE.buy)
  put(batch, 0, '61737.63', 9)
  put(batch, 1, '0.5', 8)
  writeInteger(batch.words, TICK_WORDS + WORD.p2, 5266583935)
  batch.setFlags(1, FLAG.LAST | FLAG.OUT_OF_ORDER)
  t.equal(
    tickToJson(batch, 1, instruments, 7),
    `{"type":"trade","venue":"binance-us","symbol":"BTC-USDT",${TIMES},"id":"5266583935",` +
      '"side":"buy","price":"61737.63","size":"0.5","flags":["last","out_of_order"],"seq":7}',
  )
})

t.test('null payloads are null, and an unknown sequence is left out', async (t) => {
  const batch = tick(KIND.quote, btc)
  put(batch, 0, '-0.05', 9)
  t.equal(
    tickToJson(batch, 1, instruments),
    `{"type":"quote","venue":"binance-us","symbol":"BTC-USDT",${TIMES},"bid_price":"-0.05",` +
      '"bid_size":null,"ask_price":null,"ask_size":null,"flags":[]}',
  )
})

t.test('book, price and status have the fields of their kind', async (t) => {
  const book = tick(KIND.book, btc, SIDE.sell)
  book.setAction(1, ACTION.delete)
  put(book, 0, '61737.7', 9)
  put(book, 1, '0', 8)
  t.match(
    tickToJson(book, 1, instruments),
    '"side":"sell","price":"61737.7","size":"0","action":"delete","flags":[]}',
  )
  const price = tick(KIND.price, node)
  price.setMarket(1, MARKET.day_ahead, 60)
  put(price, 0, '140.89', 9)
  put(price, 3, '-1.5', 9)
  t.equal(
    tickToJson(price, 1, instruments),
    `{"type":"price","venue":"pjm","symbol":"a \\"quoted\\" node",${TIMES},` +
      '"market":"day-ahead","interval_start":"2024-08-08T23:54:15.208000000Z",' +
      '"interval_minutes":60,"price":"140.89","energy":null,"congestion":null,"loss":"-1.5",' +
      '"flags":[]}',
  )
  const status = tick(KIND.status, btc)
  status.setAction(1, STATUS.gap)
  writeInteger(status.words, TICK_WORDS + WORD.p1, 10)
  writeInteger(status.words, TICK_WORDS + WORD.p2, 12)
  t.match(tickToJson(status, 1, instruments), '"status":"gap","from":10,"to":12,"flags":[]}')
})

t.test('the object form is the JSON form, field by field and in the same order', async (t) => {
  for (const kind of [0, KIND.trade, KIND.quote, KIND.book, KIND.price, KIND.status, 99]) {
    const batch = tick(kind, kind === 99 ? 999 : btc)
    put(batch, 0, '1', 0)
    const json = JSON.stringify(tickToObject(batch, 1, instruments, 3))
    t.equal(tickToJson(batch, 1, instruments, 3), json, `kind ${kind}`)
  }
})

t.test('flags are named in lower case, lowest bit first', async (t) => {
  t.same(flagNames(0), [])
  t.same(flagNames(FLAG.SYNTHETIC | FLAG.LAST), ['last', 'synthetic'])
})
