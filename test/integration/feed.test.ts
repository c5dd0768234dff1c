import { once } from 'node:events'
import t, { type Test } from 'tap'
import { WebSocket } from 'ws'
import { readNumber } from '../../src/tick/fixed-point.ts'
import { FLAG, KIND, TICK_WORDS, WORD } from '../../src/tick/layout.ts'
import { FeedClient } from '../support/feed-client.ts'
import { EPOCH, FIRST_SEQ, type RigOptions, ServeRig, type TickRow } from '../support/serve-rig.ts'

const { trade, quote, book, price } = KIND

function rigFor(t: Test, options: RigOptions = {}): ServeRig {
  const rig = new ServeRig(options)
  rig.start()
  t.teardown(() => rig.close())
  return rig
}

async function clientFor(t: Test, rig: ServeRig, ...protocols: string[]): Promise<FeedClient> {
  const client = await FeedClient.open(rig.feed, ...protocols)
  t.teardown(() => client.close())
  return client
}

/** The sequences of a stream are dense over its frames, from 1 or `from`. Returns the next. */
function assertDense(t: Test, client: FeedClient, stream: number, from = 1): number {
  let next = from
  for (const frame of client.frames.filter((f) => f.stream === stream)) {
    t.equal(frame.firstSeq, next, 'the frame goes on where the last one ended')
    next += frame.count
  }
  return next
}

const trades = (instrument: number, from: number, count: number): TickRow[] =>
  Array.from({ length: count }, (_, i) => ({ instrument, value: from + i }))

t.test('the server greets first, with session, epoch, time, limits and versions', async (t) => {
  const rig = rigFor(t)
  const client = await clientFor(t, rig)
  const welcome = await client.op('welcome')
  t.equal(client.all[0], welcome)
  t.match(welcome, {
    session: `${EPOCH}-1`,
    epoch: EPOCH,
    server_time: /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z$/,
    limits: { subscriptions: 16, frame_ticks: 1024 },
    versions: { protocol: 1 },
  })
})

t.test('the first sub-protocol that we know is chosen; JSON when none is offered', async (t) => {
  const rig = rigFor(t)
  for (const [offered, chosen] of [
    [['tickd.v9.x', 'tickd.v1.msgpack', 'tickd.v1.fb'], 'tickd.v1.msgpack'],
    [['tickd.v1.fb'], 'tickd.v1.fb'],
    [[], ''],
  ] as const) {
    const client = await clientFor(t, rig, ...offered)
    t.equal(client.ws.protocol, chosen)
    t.equal((await client.op('welcome')).protocol, chosen || 'tickd.v1.json')
  }
  const stranger = new WebSocket(rig.feed, ['tickd.v9.x'])
  const [, response] = await once(stranger, 'unexpected-response')
  t.equal(response.statusCode, 400)
  stranger.on('error', () => {})
  stranger.terminate()
})

for (const protocol of ['tickd.v1.fb', 'tickd.v1.msgpack', 'tickd.v1.json']) {
  t.test(`${protocol}: all records arrive in order, densely numbered`, async (t) => {
    const rig = rigFor(t, { settings: { frame_ticks: 64 } })
    const btc = rig.add('BTC-USDT')
    const eth = rig.add('ETH-USDT')
    const client = await clientFor(t, rig, protocol)
    const stream = await client.subscribe({ channel: 'trades', symbols: ['BTC-USDT'] })
    for (let round = 0; round < 10; round++) {
      rig.publish([
        ...trades(btc, round * 100, 100),
        { instrument: eth, value: 1 },
        { kind: quote, instrument: btc, value: 1 },
      ])
    }
    await client.until(() => client.recordCount(stream) >= 1000, 'all trades')
    t.equal(assertDense(t, client, stream), 1001)
    t.ok(client.frames.every((f) => f.epoch === EPOCH && f.count <= 64))
    const values = client.frames.flatMap(({ batch, records }) =>
      batch === undefined
        ? records.map((record) => Number(record.price))
        : Array.from(
            { length: batch.count },
            (_, i) => readNumber(batch.words, i * TICK_WORDS + WORD.p0) / 1e9,
          ),
    )
    t.same(
      values,
      Array.from({ length: 1000 }, (_, i) => i),
    )
    t.equal(rig.counters.get('records_published'), 1000)
    t.equal(rig.counters.get('records_delivered'), 1000)
    t.equal(rig.counters.get('records'), 1020)
  })
}

t.test('text records are normalised JSON, the same in both text sub-protocols', async (t) => {
  const rig = rigFor(t)
  const btc = rig.add('BTC-USDT')
  const clients = [
    await clientFor(t, rig, 'tickd.v1.json'),
    await clientFor(t, rig, 'tickd.v1.msgpack'),
  ]
  for (const client of clients) {
    await client.subscribe({ channel: 'trades', symbols: ['BTC-USDT'] })
  }
  rig.publish([{ instrument: btc, value: 5 }])
  for (const client of clients) {
    await client.until(() => client.frames.length > 0, 'a frame')
    t.match(client.frames[0]?.records[0], {
      type: 'trade',
      venue: 'test',
      symbol: 'BTC-USDT',
      ts_event: '1970-01-01T00:00:05.000000000Z',
      id: '5',
      side: 'buy',
      price: '5',
      size: '1',
      flags: [],
    })
  }
})

t.test('the ack tells the result of each symbol, with instrument ids', async (t) => {
  const rig = rigFor(t)
  const a = rig.add('BTC-USDT', 'alpha')
  const b = rig.add('BTC-USDT', 'beta')
  rig.add('ETH-USDT', 'beta')
  const client = await clientFor(t, rig)
  const ack = await client.ask({
    op: 'subscribe',
    channel: 'trades',
    symbols: ['BTC-USDT', 'beta:BTCUSDT', 'NO-SUCH', 'XRP-*'],
  })
  const instrument = (id: number, venue: string) => ({ id, venue, symbol: 'BTC-USDT' })
  t.match(ack, { op: 'ack', channel: 'trades', epoch: EPOCH, next_seq: 1 })
  t.same(ack.symbols, [
    {
      symbol: 'BTC-USDT',
      result: 'ok',
      instrument_count: 2,
      instruments: [instrument(a, 'alpha'), instrument(b, 'beta')],
    },
    {
      symbol: 'beta:BTCUSDT',
      result: 'ok',
      instrument_count: 1,
      instruments: [instrument(b, 'beta')],
    },
    { symbol: 'NO-SUCH', result: 'unknown', instrument_count: 0, instruments: [] },
    { symbol: 'XRP-*', result: 'ok', instrument_count: 0, instruments: [] },
  ])
})

t.test('an instrument that appears later joins the globs that match it', async (t) => {
  const rig = rigFor(t)
  const client = await clientFor(t, rig)
  const stream = await client.subscribe({ channel: 'trades', symbols: ['ETH-*', 'SOL-USDT'] })
  const eth = rig.add('ETH-BTC')
  const sol = rig.add('SOL-USDT')
  const btc = rig.add('BTC-USDT')
  rig.publish([eth, btc, sol].map((instrument) => ({ instrument, value: 1 })))
  await client.until(() => client.recordCount(stream) === 2, 'both trades')
  const joined = await client.op('instruments')
  t.same(joined.instruments, [
    { id: eth, venue: 'test', symbol: 'ETH-BTC' },
    { id: sol, venue: 'test', symbol: 'SOL-USDT' },
  ])
  t.ok(client.all.indexOf(joined) < client.all.indexOf(client.frames[0]!), 'before their records')
})

t.test('subscribers with the same selection share a stream, whatever the order', async (t) => {
  const rig = rigFor(t)
  const btc = rig.add('BTC-USDT')
  rig.add('ETH-USDT')
  const one = await clientFor(t, rig)
  const two = await clientFor(t, rig, 'tickd.v1.fb')
  const symbols = ['ETH-USDT', 'BTC-USDT']
  const stream = await one.subscribe({ channel: 'trades', symbols })
  rig.publish(trades(btc, 0, 3))
  await one.until(() => one.recordCount(stream) === 3, 'three trades')
  symbols.reverse()
  const ack = await two.ask({ op: 'subscribe', channel: 'trades', symbols })
  t.equal(ack.stream, stream)
  t.equal(ack.next_seq, 4, 'a later subscriber joins the sequence where it stands')
  rig.publish(trades(btc, 3, 2))
  await two.until(() => two.recordCount(stream) === 2, 'two trades')
  t.equal(two.frames[0]?.firstSeq, 4)
  await one.until(() => one.recordCount(stream) === 5, 'five trades')
  assertDense(t, one, stream)
})

t.test('each channel carries its own kind', async (t) => {
  const rig = rigFor(t)
  const btc = rig.add('BTC-USDT')
  const client = await clientFor(t, rig)
  const streams = {
    trade: await client.subscribe({ channel: 'trades' }),
    quote: await client.subscribe({ channel: 'quotes' }),
    book: await client.subscribe({ channel: 'book' }),
  }
  rig.publish([trade, quote, book, price].map((kind) => ({ kind, instrument: btc, value: 1 })))
  for (const [type, stream] of Object.entries(streams)) {
    await client.until(() => client.recordCount(stream) === 1, type)
    const frame = client.frames.find((f) => f.stream === stream)
    t.equal(frame?.records[0]?.type, type)
  }
})

t.test('latest conflates to the newest value of each instrument and kind', async (t) => {
  const rig = rigFor(t)
  const btc = rig.add('BTC-USDT')
  const client = await clientFor(t, rig)
  const stream = await client.subscribe({ channel: 'latest' })
  rig.publish([
    ...trades(btc, 0, 500),
    { kind: quote, instrument: btc, value: 77 },
    { kind: price, instrument: btc, value: 88 },
  ])
  await client.until(() => client.recordCount(stream) >= 3, 'three values')
  const records = client.frames.flatMap((f) => f.records)
  const last = (type: string) => records.filter((record) => record.type === type).at(-1)
  t.equal(last('trade')?.price, '499')
  t.equal(last('quote')?.bid_price, '77')
  t.equal(last('price')?.price, '88')
  t.ok(records.length < 100, `${records.length} records stand for 502`)
  assertDense(t, client, stream)
})

t.test('a snapshot comes first, flagged, and takes no sequence numbers', async (t) => {
  const rig = rigFor(t)
  const btc = rig.add('BTC-USDT')
  const eth = rig.add('ETH-USDT')
  rig.publish([...trades(btc, 0, 3), ...trades(eth, 10, 3)])
  await until(() => rig.counters.get('records') === 6)
  const client = await clientFor(t, rig)
  const stream = await client.subscribe({ channel: 'trades', from: 'snapshot' })
  const snapshot = await client.op('snapshot')
  t.match(snapshot, { stream, next_seq: 7, count: 2 }, 'six trades came before it')
  await client.until(() => client.recordCount(stream) === 2, 'the image')
  const image = client.frames[0]
  t.equal(image?.firstSeq, 7)
  t.same(
    image?.records.map(({ symbol, price, flags }) => ({ symbol, price, flags })),
    [
      { symbol: 'BTC-USDT', price: '2', flags: ['snapshot'] },
      { symbol: 'ETH-USDT', price: '12', flags: ['snapshot'] },
    ],
  )
  rig.publish(trades(btc, 3, 1))
  await client.until(() => client.frames.length === 2, 'the live record')
  t.equal(client.frames[1]?.firstSeq, 7, 'live records begin at the hand-off sequence')
  t.same(client.frames[1]?.records[0]?.flags, [])
})

t.test(
  'a snapshot has values from before this start, which only the shared table has',
  async (t) => {
    const rig = rigFor(t)
    const btc = rig.add('BTC-USDT')
    rig.isPaused = true
    rig.publish(trades(btc, 41, 2))
    const idle = new ServeRig({ overrides: { latest: rig.latest, instruments: rig.instruments } })
    idle.start()
    t.teardown(() => idle.close())
    const client = await clientFor(t, idle)
    await client.subscribe({ channel: 'latest', from: 'snapshot' })
    await client.until(() => client.frames.length === 1, 'the image')
    t.equal(client.frames[0]?.records[0]?.price, '42')
  },
)

t.test('the test channel ticks without market data', async (t) => {
  const rig = rigFor(t)
  const client = await clientFor(t, rig)
  const stream = await client.subscribe({ channel: 'test' })
  await client.until(() => client.recordCount(stream) === 2, 'two ticks')
  t.equal(assertDense(t, client, stream), 3)
  t.match(client.frames[1]?.records[0], {
    type: 'status',
    from: 2,
    to: 2,
    flags: ['last', 'synthetic'],
  })
})

t.test('an unsubscribed stream is silent, and may be subscribed again', async (t) => {
  const rig = rigFor(t)
  const btc = rig.add('BTC-USDT')
  const client = await clientFor(t, rig)
  const stream = await client.subscribe({ channel: 'trades' })
  const all = await client.subscribe({ channel: 'quotes' })
  rig.publish(trades(btc, 0, 1))
  await client.until(() => client.recordCount(stream) === 1, 'a trade')
  t.match(await client.ask({ op: 'unsubscribe', stream }), { op: 'ack', stream, next_seq: 2 })
  rig.publish([...trades(btc, 1, 5), { kind: quote, instrument: btc, value: 1 }])
  await client.until(() => client.recordCount(all) === 1, 'the quote behind the trades')
  t.equal(client.recordCount(stream), 1)
  t.equal(rig.counters.get('subscriptions'), 1)
  const again = await client.subscribe({ channel: 'trades' })
  t.not(again, stream, 'a stream without subscribers ends; the next one has its own sequence')
})

t.test('an idle connection gets heartbeats with the next sequence of its streams', async (t) => {
  const rig = rigFor(t, { settings: { heartbeat_ms: 100 } })
  const btc = rig.add('BTC-USDT')
  const client = await clientFor(t, rig)
  const stream = await client.subscribe({ channel: 'trades' })
  rig.publish(trades(btc, 0, 4))
  const beat = await client.control(
    ({ op, streams }) => op === 'heartbeat' && (streams as Record<string, number>)[stream] === 5,
  )
  t.match(beat.server_time, /Z$/)
})

t.test('records that the ring lost are declared as journal sequences', async (t) => {
  const rig = rigFor(t, { ringTicks: 256 })
  const btc = rig.add('BTC-USDT')
  const client = await clientFor(t, rig)
  const stream = await client.subscribe({ channel: 'trades' })
  rig.publish(trades(btc, 0, 10))
  await client.until(() => client.recordCount(stream) === 10, 'ten trades')
  rig.isPaused = true
  for (let round = 0; round < 10; round++) rig.publish(trades(btc, 10 + round * 100, 100))
  rig.isPaused = false
  const gap = await client.op('gap')
  t.match(gap, { stream, cause: 'overrun', shard: 0, next_seq: 11, from_seq: FIRST_SEQ + 10 })
  const lost = (gap.to_seq as number) - (gap.from_seq as number) + 1
  await client.until(() => client.recordCount(stream) === 1010 - lost, 'what was not lost')
  assertDense(t, client, stream)
  t.equal(rig.counters.get('records_lapped'), lost)
  t.equal(client.frames.at(-1)?.records.at(-1)?.price, '1009')
})

t.test('snapshot records keep the flags of the venue', async (t) => {
  const rig = rigFor(t)
  const btc = rig.add('BTC-USDT')
  rig.publish([{ instrument: btc, value: 1, flags: FLAG.LATE }])
  await until(() => rig.counters.get('records') === 1)
  const client = await clientFor(t, rig)
  await client.subscribe({ channel: 'trades', from: 'snapshot' })
  await client.until(() => client.frames.length === 1, 'the image')
  t.same(client.frames[0]?.records[0]?.flags, ['snapshot', 'late'])
})

async function until(test: () => boolean): Promise<void> {
  const deadline = performance.now() + 10_000
  while (!test()) {
    if (performance.now() > deadline) throw new Error('waited in vain')
    await new Promise((resolve) => setImmediate(resolve))
  }
}
