import t from 'tap'
import { DecodeRig, RECV_TEXT } from '../../support/decode-rig.ts'

const TRADE = {
  type: 'trade',
  venue: 'binance-us',
  symbol: 'BTC-USDT',
  ts_event: '2024-08-08T23:54:15.208000000Z',
  id: '5266583935',
  side: 'sell',
  price: '61737.63',
  size: '0.5',
}
const COMMON = { venue: 'here', symbol: 'X', ts_event: '2024-08-08T00:00:00Z' }

t.test('a trade becomes a record, with our time of receipt', async (t) => {
  const rig = new DecodeRig('ndjson')
  t.same(rig.send({ ...TRADE, ts_recv: '2001-01-01T00:00:00Z', seq: 99, extra: [{}] }), [
    {
      type: 'trade',
      venue: 'binance-us',
      symbol: 'BTC-USDT',
      ts_event: '2024-08-08T23:54:15.208000000Z',
      ts_recv: RECV_TEXT,
      id: '5266583935',
      side: 'sell',
      price: '61737.63',
      size: '0.5',
      flags: ['last'],
    },
  ])
  t.equal(rig.batch.source(0), 3)
})

t.test('what tickd prints is what it reads: every kind survives the way round', async (t) => {
  const rig = new DecodeRig('ndjson')
  const common = { venue: 'v', symbol: 's', ts_event: '2024-08-08T23:54:15.208000001Z' }
  const flags = ['last', 'snapshot']
  const kinds = [
    { type: 'trade', ...common, id: null, side: 'none', price: '-0.000000001', size: '1' },
    { type: 'quote', ...common, bid_price: '1', bid_size: null, ask_price: null, ask_size: '2' },
    { type: 'book', ...common, side: 'buy', price: '9.5', size: '0', action: 'delete' },
    { type: 'book', ...common, side: 'none', price: null, size: null, action: 'clear' },
    {
      type: 'price',
      ...common,
      market: 'day-ahead',
      interval_start: common.ts_event,
      interval_minutes: 60,
      price: '140.89',
      energy: '141',
      congestion: '-0.11',
      loss: null,
    },
    { type: 'status', ...common, status: 'gap', from: 10, to: 12 },
  ]
  for (const kind of kinds) {
    const [record] = rig.send({ ...kind, flags })
    t.same({ ...record, ts_recv: undefined }, { ...kind, flags, ts_recv: undefined }, kind.type)
    t.same(rig.send(record ?? {}), [record], `${kind.type} again`)
  }
  t.same(rig.rejects, [])
})

t.test('lines are messages of their own; blank ones are ignored', async (t) => {
  const rig = new DecodeRig('ndjson')
  const line = JSON.stringify(TRADE)
  t.equal(rig.send(`${line}\n${line}\r\n\n  \n{"bad\n${line}`).length, 3)
  t.same(rig.counts, {
    messages: 6,
    decoded: 3,
    'event trade': 3,
    'ignored empty': 2,
    'rejected bad_json': 1,
  })
  t.same(rig.rejects, [['bad_json', '{"bad']])
  const [start = 0, end = 0] = rig.tally.origins.slice(4, 6)
  t.equal(end - start, line.length, 'the last record came from the last line')
  rig.tally.reset()
  t.equal(rig.send(`${line}\n`).length, 1)
  t.equal(rig.tally.messages, 1, 'a line end at the end begins no line')
})

t.test('decimals may be JSON numbers', async (t) => {
  const rig = new DecodeRig('ndjson')
  const [record] = rig.send({ ...TRADE, price: 61737.63, size: 2, id: 77 })
  t.match(record, { price: '61737.63', size: '2', id: '77' })
  t.equal(rig.outcome({ ...TRADE, price: 1e21 }), 'rejected bad_decimal', 'no exponents')
  t.equal(rig.outcome({ ...TRADE, price: 1e-7 }), 'rejected bad_decimal')
})

t.test('optional members may be absent or null', async (t) => {
  const rig = new DecodeRig('ndjson')
  t.match(rig.send({ ...TRADE, id: undefined, side: null }), [{ id: null, side: 'none' }])
  t.match(rig.send({ type: 'quote', ...COMMON, ask_price: '1' }), [
    { bid_price: null, ask_price: '1', ask_size: null },
  ])
  t.match(rig.send({ type: 'price', ...COMMON, price: '1' }), [
    { market: 'none', interval_minutes: 0, energy: null },
  ])
  t.match(rig.send({ type: 'status', ...COMMON, status: 'halted' }), [{ from: null, to: null }])
  t.match(rig.send({ type: 'book', ...COMMON, action: 'delete', side: 'sell', price: '2' }), [
    { size: null },
  ])
})

t.test('a sender’s flags are taken, but for those that tickd judges', async (t) => {
  const rig = new DecodeRig('ndjson')
  const flags = ['backfilled', 'late', 'replayed', 'corrected']
  t.same(rig.send({ ...TRADE, flags })[0]?.flags, ['replayed', 'corrected', 'backfilled'])
  t.same(rig.send({ ...TRADE, flags: [] })[0]?.flags, [])
  t.same(rig.send({ ...TRADE, flags: null })[0]?.flags, ['last'])
  for (const bad of [['nope'], [1], [['last']], 'last', {}, [null], ['la"st']]) {
    t.equal(rig.outcome({ ...TRADE, flags: bad }), 'rejected bad_field', JSON.stringify(bad))
  }
})

t.test('instruments are added by venue and symbol, once', async (t) => {
  const rig = new DecodeRig('ndjson', { instrumentsMax: 2 })
  rig.send(TRADE)
  rig.send({ ...TRADE, symbol: 'BTCUSDT' })
  t.equal(rig.instruments.count, 1, 'the venue’s own spelling is the same instrument')
  t.equal(rig.send({ ...TRADE, venue: 'b', symbol: 'inance-usBTC-USDT' })[0]?.venue, 'b')
  t.equal(rig.outcome({ ...TRADE, venue: 'third' }), 'rejected instrument_limit')
  t.equal(rig.outcome({ ...TRADE, symbol: '' }), 'rejected bad_symbol')
  t.equal(rig.outcome({ ...TRADE, symbol: ' X' }), 'rejected bad_symbol')
  t.equal(rig.outcome({ ...TRADE, venue: 'v'.repeat(33) }), 'rejected bad_symbol')
  t.equal(rig.outcome({ ...TRADE, price: 'x', symbol: 'NEW' }), 'rejected bad_decimal')
  t.equal(rig.instruments.count, 2, 'a rejected record adds no instrument')
})

t.test('escapes in what is read are understood', async (t) => {
  const rig = new DecodeRig('ndjson')
  const [plain] = rig.send(TRADE)
  const text = JSON.stringify(TRADE).replace('BTC-USDT', 'BTC\\u002dUSDT')
  t.same(rig.send(text.replace('"side"', '"s\\u0069de"')), [plain])
  t.equal(rig.send({ ...TRADE, symbol: 'Zürich/Ö' })[0]?.symbol, 'Zürich/Ö')
  t.equal(rig.send(JSON.stringify(TRADE).replace('BTC-USDT', 'Z\\u00fc\\/'))[0]?.symbol, 'Zü/')
})

t.test('bars are counted and ignored', async (t) => {
  const rig = new DecodeRig('ndjson')
  rig.sendRaw({ type: 'bar', ...COMMON })
  t.same(rig.counts, { messages: 1, decoded: 0, 'event bar': 1, 'ignored bar': 1 })
})

t.test('what is not understood is rejected with its reason', async (t) => {
  const rig = new DecodeRig('ndjson')
  const rejected: [frame: string | object, reason: string][] = [
    ['[]', 'not_an_object'],
    ['nul', 'bad_json'],
    ['null', 'not_an_object'],
    [{}, 'missing_field'],
    [{ type: 1 }, 'bad_field'],
    [{ type: 'ticker' }, 'unknown_event'],
    [{ ...TRADE, venue: undefined }, 'missing_field'],
    [{ ...TRADE, symbol: null }, 'missing_field'],
    [{ ...TRADE, symbol: 1 }, 'bad_field'],
    [{ ...TRADE, ts_event: undefined }, 'missing_field'],
    [{ ...TRADE, ts_event: 1723161255 }, 'bad_field'],
    [{ ...TRADE, ts_event: 'yesterday' }, 'bad_time'],
    [{ ...TRADE, ts_event: '1969-12-31T23:59:59Z' }, 'bad_time'],
    [{ ...TRADE, price: undefined }, 'missing_field'],
    [{ ...TRADE, price: null }, 'missing_field'],
    [{ ...TRADE, price: true }, 'bad_field'],
    [{ ...TRADE, price: '12,5' }, 'bad_decimal'],
    [{ ...TRADE, size: '0.123456789' }, 'too_many_decimals'],
    [{ ...TRADE, size: '92233720369' }, 'overflow'],
    [{ ...TRADE, side: 'bid' }, 'bad_field'],
    [{ ...TRADE, side: 1 }, 'bad_field'],
    [{ ...TRADE, id: 'abc' }, 'bad_field'],
    [{ ...TRADE, id: '9223372036854775808' }, 'overflow'],
    [{ type: 'quote', ...COMMON }, 'missing_field'],
    [{ type: 'quote', ...COMMON, bid_price: [] }, 'bad_field'],
    [{ type: 'quote', ...COMMON, bid_price: '1', ask_price: [] }, 'bad_field'],
    [{ type: 'book', ...COMMON, side: 'buy', price: '1', size: '1' }, 'missing_field'],
    [{ type: 'book', ...COMMON, action: 'set', price: '1', size: '1' }, 'missing_field'],
    [{ type: 'book', ...COMMON, action: 'set', side: 'buy', size: '1' }, 'missing_field'],
    [{ type: 'book', ...COMMON, action: 'set', side: 'buy', price: '1' }, 'missing_field'],
    [{ type: 'book', ...COMMON, action: 'update', side: 'buy', price: '1' }, 'bad_field'],
    [{ type: 'price', ...COMMON, price: '1', market: 'spot' }, 'bad_field'],
    [{ type: 'price', ...COMMON, price: '1', interval_minutes: 65536 }, 'bad_field'],
    [{ type: 'price', ...COMMON, price: '1', interval_minutes: -5 }, 'bad_field'],
    [{ type: 'price', ...COMMON, price: '1', interval_start: 'x' }, 'bad_time'],
    [{ type: 'status', ...COMMON }, 'missing_field'],
    [{ type: 'status', ...COMMON, status: 'closed' }, 'bad_field'],
  ]
  for (const [frame, reason] of rejected) {
    const text = typeof frame === 'string' ? frame : JSON.stringify(frame)
    t.equal(rig.outcome(text), `rejected ${reason}`, text)
    t.equal(rig.batch.count, 0)
  }
})

t.test(
  'a line ends wherever there is a newline, also within a member that says nothing',
  async (t) => {
    const rig = new DecodeRig('ndjson')
    const line = JSON.stringify(TRADE).slice(0, -1)
    rig.send(`${line},"x":1}`)
    for (const more of [
      '"x":\n1',
      '"x": \n 1',
      '"x":[\n1]',
      '"x":{"y":\n1}',
      '"x"\n:1',
      '"x":\n"y"',
    ]) {
      t.same(rig.send(`${line},${more}}`), [], more)
      t.same(rig.send(`{${more},${line.slice(1)}}`), [], more)
    }
    t.equal(rig.counts['rejected bad_json'], 24, 'two messages each')
  },
)

t.test('records beyond the batch are rejected one by one', async (t) => {
  const rig = new DecodeRig('ndjson', { batchCapacity: 2 })
  const line = JSON.stringify(TRADE)
  t.equal(rig.send(`${line}\n${line}\n${line}\n`).length, 2)
  t.same(rig.counts['rejected too_many_records'], 1)
})

t.test(
  'a replayed record keeps the receive time of its recording, and only a replayed one',
  async (t) => {
    const rig = new DecodeRig('ndjson')
    const recorded = '2024-01-02T03:04:05.000000006Z'
    const replayed = { ...TRADE, ts_recv: recorded, flags: ['replayed'] }
    t.equal(rig.send(replayed)[0]?.ts_recv, recorded)
    t.not(rig.send({ ...TRADE, ts_recv: recorded })[0]?.ts_recv, recorded)
    t.same(rig.send({ ...replayed, ts_recv: 'yesterday' }), [])
  },
)
