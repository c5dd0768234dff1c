import t from 'tap'
import {
  BINANCE_FACTS,
  isData,
  parseControl,
  retryAfterMs,
  snapshotLimit,
  streamGroups,
  streamName,
  streamOf,
  wrapSnapshot,
} from '../../../../src/source/venue/binance-wire.ts'

const frame = (text: string) => Buffer.from(text)

t.test('canonical and venue symbols name the same stream', async (t) => {
  t.equal(streamName('binance-us', 'BTC-USDT', 'trade'), 'btcusdt@trade')
  t.equal(streamName('binance-us', 'BTCUSDT', 'depth'), 'btcusdt@depth')
  t.equal(streamName('binance-usdm', 'BTC-USDT-PERP', 'bookTicker'), 'btcusdt@bookTicker')
})

t.test('streams are split over connections, each stream once', async (t) => {
  const symbols = Array.from({ length: 500 }, (_, i) => `S${i}USDT`)
  const groups = streamGroups('binance', [...symbols, 'S0-USDT'], ['trade', 'bookTicker', 'depth'])
  t.same(
    groups.map(({ streams }) => streams.length),
    [1024, 476],
  )
  t.equal(new Set(groups.flatMap(({ streams }) => streams)).size, 1500)
})

t.test('USD-M futures have an entry point for book data and one for the rest', async (t) => {
  const groups = streamGroups('binance-usdm', ['BTCUSDT'], ['trade', 'bookTicker', 'depth'])
  t.same(groups, [
    { route: '/market', streams: ['btcusdt@trade'] },
    { route: '/public', streams: ['btcusdt@bookTicker', 'btcusdt@depth'] },
  ])
})

t.test('data is told from control by its first bytes', async (t) => {
  const data = frame('{"stream":"btcusdt@depth","data":{"e":"depthUpdate"}}')
  t.ok(isData(data))
  t.equal(streamOf(data), 'btcusdt@depth')
  for (const text of [
    '',
    '{',
    '{"stream":"',
    '{"result":null,"id":1}',
    '{"stream":"!serverShutdown","data":{"e":"serverShutdown","E":1}}',
  ]) {
    t.notOk(isData(frame(text)), text)
  }
  t.equal(streamOf(frame('{"stream":"no end')), '')
})

t.test('replies, both shapes of errors, and shutdowns are understood', async (t) => {
  const ok = { type: 'reply', id: 3, error: undefined }
  t.same(parseControl(frame('{"result":null,"id":3}')), ok)
  const error = { type: 'reply', id: 3, error: '2: Invalid request' }
  t.same(parseControl(frame('{"code":2,"msg":"Invalid request","id":3}')), error)
  t.same(parseControl(frame('{"error":{"code":2,"msg":"Invalid request"},"id":3}')), error)
  const unnamed = { type: 'reply', id: undefined, error: '3: Invalid JSON' }
  t.same(parseControl(frame('{"code":3,"msg":"Invalid JSON"}')), unnamed)
  const shutdown = { type: 'shutdown' }
  t.same(parseControl(frame('{"e":"serverShutdown","E":1}')), shutdown)
  const wrapped = '{"stream":"!serverShutdown","data":{"e":"serverShutdown","E":1}}'
  t.same(parseControl(frame(wrapped)), shutdown)
})

t.test('anything else is unknown, never an exception', async (t) => {
  const texts = ['', 'null', '7', '[]', '{}', 'x', '{"id":1}', '"', '\u0000', '{"a":'.repeat(9000)]
  for (const text of texts) t.same(parseControl(frame(text)), { type: 'unknown' })
  t.same(parseControl(Buffer.alloc(100_000, 0x20)), { type: 'unknown' })
  t.same(parseControl(Buffer.from([0xff, 0xfe])), { type: 'unknown' })
})

t.test('a snapshot becomes a frame of a stream of its own, its body untouched', async (t) => {
  const body = frame('{"lastUpdateId":7,"bids":[["1.0","2"]],"asks":[]}')
  t.equal(
    wrapSnapshot('BTCUSDT', body).toString(),
    `{"stream":"btcusdt@depthSnapshot","data":${body}}`,
  )
})

t.test('futures offer only some snapshot sizes', async (t) => {
  const usdm = BINANCE_FACTS['binance-usdm']
  t.same(
    [5, 6, 400, 1000, 5000].map((wanted) => snapshotLimit(usdm, wanted)),
    [5, 10, 500, 1000, 1000],
  )
  t.equal(snapshotLimit(BINANCE_FACTS.binance, 4321), 4321)
})

t.test('Retry-After is read in seconds', async (t) => {
  t.equal(retryAfterMs('7'), 7000)
  t.equal(retryAfterMs(['2', '9']), 2000)
  t.equal(retryAfterMs(undefined), undefined)
  t.equal(retryAfterMs('soon'), undefined)
  t.equal(retryAfterMs('-1'), undefined)
})
