import t from 'tap'
import { FRAME_FLAG } from '../../../src/ring/frame-ring.ts'
import { DecodeRig, MARGIN_BYTES, RECV_TEXT } from '../../support/decode-rig.ts'

const TRADE = {
  e: 'trade',
  E: 1723161256322,
  s: 'BTCUSDT',
  t: 5266583935,
  p: '61800.30000000',
  q: '0.00600000',
  T: 1723161256321,
  m: false,
  M: true,
}
const QUOTE = { u: 400900217, s: 'BNBUSDT', b: '25.3519', B: '31.21', a: '25.3652', A: '40.66' }

t.test('a trade has the id, the trade time and the aggressor’s side', async (t) => {
  const rig = new DecodeRig('binance')
  t.same(rig.send(TRADE), [
    {
      type: 'trade',
      venue: 'binance',
      symbol: 'BTC-USDT',
      ts_event: '2024-08-08T23:54:16.321000000Z',
      ts_recv: RECV_TEXT,
      id: '5266583935',
      side: 'buy',
      price: '61800.3',
      size: '0.006',
      flags: ['last'],
    },
  ])
  t.equal(rig.batch.source(0), 3)
  t.equal(rig.batch.action(0), 0, 'old bytes of the slot are gone')
  t.equal(rig.batch.interval(0), 0, 'old bytes of the slot are gone')
  t.equal(rig.send({ ...TRADE, m: true })[0]?.side, 'sell', 'the buyer was resting')
  t.equal(rig.instruments.get(1)?.venueSymbol, 'BTCUSDT')
  t.same(rig.counts, { messages: 2, decoded: 2, 'event trade': 2 })
})

t.test('an aggregate trade’s id is its own', async (t) => {
  const rig = new DecodeRig('binance')
  const [trade] = rig.send({ ...TRADE, e: 'aggTrade', a: 15683430, f: 1, l: 3, t: undefined })
  t.equal(trade?.id, '15683430')
})

t.test('optional order ids of Binance.US are passed over', async (t) => {
  const rig = new DecodeRig('binance', { venue: 'binance-us' })
  const [trade] = rig.send({ ...TRADE, s: 'DOTUSD', b: 88, a: 50 })
  t.match(trade, { venue: 'binance-us', symbol: 'DOT-USD', id: '5266583935' })
})

t.test('members may come in any order, with white space, and in a combined frame', async (t) => {
  const rig = new DecodeRig('binance')
  const [plain] = rig.send(TRADE)
  const reversed = Object.fromEntries(Object.entries(TRADE).reverse())
  t.same(rig.send(reversed), [plain])
  t.same(rig.send(` \n${JSON.stringify(reversed, null, '\t')}\r\n `), [plain])
  t.same(rig.send({ stream: 'btcusdt@trade', data: TRADE }), [plain])
  t.same(rig.send({ data: reversed, stream: 'btcusdt@trade' }), [plain])
  t.same(rig.send(JSON.stringify(TRADE).replace('"p"', '"p":1,"x":{"y":[{},[]]},"p"')), [plain])
  t.equal(rig.counts.decoded, 6)
})

t.test('escapes in what is read are understood', async (t) => {
  const rig = new DecodeRig('binance')
  const [plain] = rig.send(TRADE)
  const text = JSON.stringify(TRADE)
  const escaped = text
    .replace('"e":"trade"', '"\\u0065":"tr\\u0061de"')
    .replace('"BTCUSDT"', '"BTC\\u0055SD\\u0054"')
    .replace('"0.00600000"', '"0\\u002e006"')
  t.not(escaped, text)
  t.same(rig.send(escaped), [plain])
  t.same(rig.send(text.replace('{', '{"note":"\\"quoted\\" \\ud83d\\ude00 \\n",')), [plain])
  t.equal(rig.outcome({ ...TRADE, s: 'BTC"USDT' }), 'rejected bad_symbol')
  t.equal(rig.outcome({ ...TRADE, s: 'BTC\nUSDT' }), 'rejected bad_symbol')
  t.equal(rig.outcome({ ...TRADE, p: '1\t' }), 'rejected bad_decimal')
})

t.test('symbols outside ASCII are names like others', async (t) => {
  const rig = new DecodeRig('binance')
  t.equal(rig.send({ ...TRADE, s: '币安人生USDT' })[0]?.symbol, '币安人生-USDT')
  t.equal(rig.send(JSON.stringify(TRADE).replace('BTC', '\\u5e01'))[0]?.symbol, '币-USDT')
  const broken = Buffer.from(JSON.stringify(TRADE).replace('BTC', '\u0000\u0000'), 'latin1')
  t.equal(rig.outcome(broken), 'rejected bad_json', 'JSON.stringify does not escape here')
  const invalid = Buffer.from(JSON.stringify(TRADE))
  invalid[invalid.indexOf('BTC')] = 0xff
  t.equal(rig.outcome(invalid), 'rejected bad_symbol', 'not UTF-8')
})

t.test('a spot quote has no time of its own and gets the time of receipt', async (t) => {
  const rig = new DecodeRig('binance')
  const expected = {
    type: 'quote',
    symbol: 'BNB-USDT',
    ts_event: RECV_TEXT,
    ts_recv: RECV_TEXT,
    bid_price: '25.3519',
    bid_size: '31.21',
    ask_price: '25.3652',
    ask_size: '40.66',
    flags: ['last'],
  }
  t.match(rig.send(QUOTE), [expected], 'raw stream: told by its members')
  t.match(rig.send({ stream: 'bnbusdt@bookTicker', data: QUOTE }), [expected])
  t.same(rig.counts, { messages: 2, decoded: 2, 'event quote': 2 })
})

t.test('a futures quote has the engine’s time', async (t) => {
  const rig = new DecodeRig('binanceUsdm', { venue: 'binance-usdm' })
  const [quote] = rig.send({ e: 'bookTicker', ...QUOTE, T: 1723161256313, E: 1723161256314 })
  t.match(quote, { symbol: 'BNB-USDT-PERP', ts_event: '2024-08-08T23:54:16.313000000Z' })
  const [sent] = rig.send({ e: 'bookTicker', ...QUOTE, E: 1723161256314 })
  t.match(sent, { ts_event: '2024-08-08T23:54:16.314000000Z' })
})

t.test('times in microseconds are told by their size', async (t) => {
  const rig = new DecodeRig('binance')
  const [trade] = rig.send({ ...TRADE, T: 1723161256321987 })
  t.equal(trade?.ts_event, '2024-08-08T23:54:16.321987000Z')
})

t.test('frames of a replay are flagged', async (t) => {
  const rig = new DecodeRig('binance')
  rig.meta.flags = FRAME_FLAG.REPLAYED
  t.same(rig.send(TRADE)[0]?.flags, ['last', 'replayed'])
})

t.test('bars, replies, notices and other streams are ignored with their reason', async (t) => {
  const rig = new DecodeRig('binance')
  const ignored: [frame: object, reason: string][] = [
    [{ e: 'kline', E: 1, s: 'BTCUSDT', k: { t: 1 } }, 'bar'],
    [{ stream: 'btcusdt@kline_1m', data: { e: 'kline', k: {} } }, 'bar'],
    [{ result: null, id: 1 }, 'control'],
    [{ result: ['btcusdt@trade'], id: 3 }, 'control'],
    [{ code: 2, msg: 'Invalid request: unknown method' }, 'control'],
    [{ error: { code: 2, msg: 'Invalid request' }, id: 7 }, 'control'],
    [{ e: 'serverShutdown', E: 1 }, 'control'],
    [{ stream: '!serverShutdown', data: { e: 'serverShutdown', E: 1 } }, 'control'],
    [{ e: '24hrTicker', s: 'BTCUSDT' }, 'unsupported_stream'],
    [{ e: 'markPriceUpdate', s: 'BTCUSDT' }, 'unsupported_stream'],
    [{ stream: '!miniTicker@arr', data: [{ e: '24hrMiniTicker' }] }, 'unsupported_stream'],
    [
      { stream: 'btcusdt@depth5@100ms', data: { lastUpdateId: 1, bids: [], asks: [] } },
      'unsupported_stream',
    ],
  ]
  for (const [frame, reason] of ignored) {
    t.equal(rig.outcome(frame), `ignored ${reason}`, JSON.stringify(frame))
    t.equal(rig.batch.count, 0)
  }
  rig.tally.reset()
  rig.sendRaw({ e: 'kline' })
  t.same(rig.counts, { messages: 1, decoded: 0, 'event bar': 1, 'ignored bar': 1 })
})

t.test('what is not understood is rejected with its reason and its bytes', async (t) => {
  const rig = new DecodeRig('binance')
  const rejected: [frame: string | object, reason: string][] = [
    ['', 'bad_json'],
    ['   ', 'bad_json'],
    ['{', 'bad_json'],
    ['{"e":"trade"', 'bad_json'],
    ['{"e":"trade"} x', 'bad_json'],
    [`${JSON.stringify(TRADE)}${JSON.stringify(TRADE)}`, 'bad_json'],
    ['[]', 'not_an_object'],
    ['"trade"', 'not_an_object'],
    ['12', 'not_an_object'],
    ['[1', 'bad_json'],
    [{ e: 'newThing' }, 'unknown_event'],
    [{ stream: 'btcusdt@newThing', data: {} }, 'unknown_event'],
    [{}, 'missing_field'],
    [{ e: null }, 'missing_field'],
    [{ e: 1 }, 'bad_field'],
    [{ stream: 'btcusdt@trade' }, 'missing_field'],
    [{ stream: 'btcusdt@trade', data: 'x' }, 'bad_field'],
    [{ stream: 'btcusdt@trade', data: [] }, 'bad_field'],
    [{ ...TRADE, s: undefined }, 'missing_field'],
    [{ ...TRADE, s: '' }, 'bad_symbol'],
    [{ ...TRADE, s: 'X'.repeat(90) }, 'bad_symbol'],
    [{ ...TRADE, s: 7 }, 'bad_field'],
    [{ ...TRADE, p: undefined }, 'missing_field'],
    [{ ...TRADE, p: null }, 'missing_field'],
    [{ ...TRADE, p: 61800.3 }, 'bad_field'],
    [{ ...TRADE, p: '' }, 'bad_decimal'],
    [{ ...TRADE, p: '1e5' }, 'bad_decimal'],
    [{ ...TRADE, p: '1.0000000001' }, 'too_many_decimals'],
    [{ ...TRADE, q: '0.000000001' }, 'too_many_decimals'],
    [{ ...TRADE, p: '9223372037' }, 'overflow'],
    [{ ...TRADE, q: '92233720369' }, 'overflow'],
    [{ ...TRADE, t: '5' }, 'bad_field'],
    [{ ...TRADE, t: 1.5 }, 'bad_field'],
    [{ ...TRADE, t: undefined }, 'missing_field'],
    [JSON.stringify(TRADE).replace('5266583935', '9223372036854775808'), 'overflow'],
    [{ ...TRADE, m: 'true' }, 'bad_field'],
    [{ ...TRADE, m: undefined }, 'missing_field'],
    [{ ...TRADE, T: -1 }, 'bad_time'],
    [{ ...TRADE, T: 1e300 }, 'bad_time'],
    [{ ...TRADE, T: '1723161256321' }, 'bad_time'],
    [{ ...TRADE, T: 9223372036854780 }, 'bad_time'],
    [{ ...TRADE, T: undefined, E: undefined }, 'missing_field'],
    [{ ...QUOTE, A: undefined }, 'missing_field'],
  ]
  for (const [frame, reason] of rejected) {
    const text = typeof frame === 'string' ? frame : JSON.stringify(frame)
    t.equal(rig.outcome(text), `rejected ${reason}`, text)
    t.same(rig.rejects, [[reason, text]], 'the raw bytes are handed out')
    t.equal(rig.batch.count, 0, 'no record of it')
  }
})

t.test('a full instrument table and a full batch reject, and nothing breaks', async (t) => {
  const rig = new DecodeRig('binance', { instrumentsMax: 2, batchCapacity: 1 })
  t.equal(rig.outcome({ ...TRADE, s: 'AUSDT' }), 'decoded')
  t.equal(rig.outcome({ ...TRADE, s: 'BUSDT' }), 'decoded')
  t.equal(rig.outcome({ ...TRADE, s: 'CUSDT' }), 'rejected instrument_limit')
  t.equal(rig.outcome({ ...TRADE, s: 'BUSDT' }), 'decoded')
  const levels = [
    ['1', '1'],
    ['2', '1'],
  ]
  const depth = { e: 'depthUpdate', E: 1, s: 'AUSDT', U: 1, u: 2, b: levels, a: [] }
  t.equal(rig.outcome(depth), 'rejected too_many_records')
  t.equal(rig.batch.count, 0)
})

t.test('each record knows the bytes it came from', async (t) => {
  const rig = new DecodeRig('binance')
  const text = JSON.stringify(TRADE)
  rig.sendRaw(text)
  t.same([...rig.tally.origins.slice(0, 2)], [MARGIN_BYTES, MARGIN_BYTES + text.length])
})
