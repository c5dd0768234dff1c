// The Binance source against a local venue that speaks its protocol: real sockets, short times.

import t, { type Test } from 'tap'
import { configSchema, type SourceConfigOf } from '../../src/config/schema.ts'
import type { IncidentReport } from '../../src/ops/incidents.ts'
import { FRAME_FORMAT } from '../../src/ring/frame-format.ts'
import { FrameLoss } from '../../src/source/frame-loss.ts'
import { BinanceSource } from '../../src/source/venue/binance.ts'
import { InstrumentTable } from '../../src/tick/instruments.ts'
import { SourceBench, type TakenFrame, until } from '../support/source-bench.ts'
import { VenueServer } from '../support/venue-server.ts'

const CAPACITY = 64

// The tests mostly wait for the venue's times: they do it side by side.
t.jobs = 7

interface Rig {
  raised: IncidentReport[]
  venue: VenueServer
  bench: SourceBench
  source: BinanceSource
  instruments: InstrumentTable
  frames: TakenFrame[]
  turn: () => void
}

async function setUp(
  t: Test,
  options: Partial<SourceConfigOf<'binance'>> = {},
  ringBytes?: number,
): Promise<Rig> {
  const venue = await VenueServer.start()
  const bench = new SourceBench(ringBytes === undefined ? {} : { ringBytes })
  const instruments = new InstrumentTable(InstrumentTable.create(CAPACITY), CAPACITY)
  const parsed = configSchema.parse({
    sources: [
      {
        name: 'venue',
        type: 'binance',
        endpoints: [venue.wsUrl],
        rest_endpoint: venue.restUrl,
        symbols: ['BTC-USDT', 'ETHUSDT'],
        backoff_min_ms: 10,
        backoff_max_ms: 100,
        ...options,
      },
    ],
  }).sources[0]
  const config = parsed as SourceConfigOf<'binance'>
  const { sink, clock, log } = bench
  const random = () => 0.5
  const raised: IncidentReport[] = []
  const raise = (report: IncidentReport) => void raised.push(report)
  const loss = new FrameLoss({ source: config.name, clock, raise })
  const source = new BinanceSource({ config, sink, instruments, clock, log, random, loss })
  source.start()
  t.teardown(async () => {
    await source.close()
    await venue.close()
  })
  const frames: TakenFrame[] = []
  const turn = () => {
    source.doWork()
    frames.push(...bench.take())
  }
  return { venue, bench, source, instruments, frames, turn, raised }
}

/** Live: all streams of all connections are subscribed. */
async function untilLive({ venue, bench, turn }: Rig, streamCount: number): Promise<void> {
  const count = () => venue.connections.reduce((sum, { streams }) => sum + streams.size, 0)
  await until(() => count() === streamCount, `${streamCount} streams subscribed`, turn)
  await until(() => bench.logged('subscribed').length > 0, 'live', turn)
}

function payloads(frames: readonly TakenFrame[], stream: string): Record<string, unknown>[] {
  return frames
    .map(({ bytes }) => JSON.parse(bytes.toString()) as Record<string, unknown>)
    .filter((frame) => frame.stream === stream)
    .map(({ data }) => data as Record<string, unknown>)
}

const tradeIds = (frames: readonly TakenFrame[], symbol: string) =>
  payloads(frames, `${symbol.toLowerCase()}@trade`).map(({ t: id }) => id as number)

t.test('it subscribes, passes every frame on untouched, and answers pings', async (t) => {
  const rig = await setUp(t)
  const { venue, bench, frames, turn } = rig
  await untilLive(rig, 6)
  t.same([...(venue.connections[0]?.streams ?? [])].sort(), [
    'btcusdt@bookTicker',
    'btcusdt@depth',
    'btcusdt@trade',
    'ethusdt@bookTicker',
    'ethusdt@depth',
    'ethusdt@trade',
  ])
  const ids = Array.from({ length: 100 }, () => venue.trade('BTCUSDT'))
  venue.ping('1723161255208')
  await until(() => tradeIds(frames, 'BTCUSDT').length === 100, 'all trades', turn)
  t.same(tradeIds(frames, 'BTCUSDT'), ids)
  await until(() => venue.connections[0]?.pongs.length === 1, 'a pong', turn)
  t.same(venue.connections[0]?.pongs, ['1723161255208'], 'with the payload of the ping')
  for (const { format, source } of frames) {
    t.equal(format, FRAME_FORMAT.binance)
    t.equal(source, 3)
  }
  t.same(payloads(frames, 'none'), [])
  const control = frames.filter(({ bytes }) => bytes.includes('"result":null'))
  t.equal(control.length, 1, 'the reply goes to the decoder as well: every frame is accounted for')
  t.equal(bench.counters.get('connections'), 1)
  t.same(venue.violations, [])
})

t.test('the first depth frame of a symbol brings its snapshot, wrapped as a frame', async (t) => {
  const rig = await setUp(t, { snapshot_limit: 500 })
  const { venue, bench, frames, turn } = rig
  await untilLive(rig, 6)
  t.same(venue.snapshotRequests, [], 'not before the stream flows')
  venue.depth('BTCUSDT', 3)
  venue.depth('BTCUSDT', 2)
  await until(() => payloads(frames, 'btcusdt@depthSnapshot').length === 1, 'a snapshot', turn)
  t.same(venue.snapshotRequests, ['BTCUSDT 500'])
  t.match(payloads(frames, 'btcusdt@depthSnapshot')[0], { lastUpdateId: 5005 })
  venue.depth('ETHUSDT')
  await until(() => payloads(frames, 'ethusdt@depthSnapshot').length === 1, 'the other', turn)
  t.equal(bench.counters.get('snapshots'), 2)
})

t.test('a resync request brings one more snapshot; requests in a row are one', async (t) => {
  const rig = await setUp(t)
  const { venue, source, instruments, frames, turn } = rig
  const instrument = instruments.add('binance-us', 'BTC-USDT', 'BTCUSDT')
  await untilLive(rig, 6)
  source.onResync(instrument)
  source.onResync(instrument)
  await until(() => payloads(frames, 'btcusdt@depthSnapshot').length === 1, 'a snapshot', turn)
  source.onResync(instrument)
  source.onResync(4711)
  await until(() => payloads(frames, 'btcusdt@depthSnapshot').length === 2, 'the next', turn)
  t.same(venue.snapshotRequests, ['BTCUSDT 1000', 'BTCUSDT 1000'])
})

t.test('snapshots respect 429 and Retry-After, and come afterwards', async (t) => {
  const rig = await setUp(t)
  const { venue, bench, frames, turn } = rig
  await untilLive(rig, 6)
  venue.refuseSnapshots(429, 1, 1)
  const beganMs = performance.now()
  venue.depth('BTCUSDT')
  await until(() => payloads(frames, 'btcusdt@depthSnapshot').length === 1, 'a snapshot', turn)
  t.ok(performance.now() - beganMs >= 1000, 'not before the venue allows it')
  t.equal(venue.snapshotRequests.length, 2)
  t.match(bench.logged('book snapshots failed')[0]?.fields, { reason: /429/, wait_ms: 1000 })
})

t.test('a symbol that REST does not know is refused; the others go on', async (t) => {
  const rig = await setUp(t)
  const { venue, bench, frames, turn } = rig
  venue.unknownSymbols.add('BTCUSDT')
  await untilLive(rig, 6)
  venue.depth('BTCUSDT')
  venue.depth('ETHUSDT')
  await until(() => payloads(frames, 'ethusdt@depthSnapshot').length === 1, 'the other', turn)
  t.equal(bench.counters.get('refusals'), 1)
  t.match(bench.logged('refused a book snapshot')[0]?.fields, { symbol: 'BTCUSDT', reason: /1121/ })
})

for (const errorShape of ['bare', 'nested', 'without-id'] as const) {
  t.test(`refused streams (${errorShape} errors) are said, the others are live`, async (t) => {
    const rig = await setUp(t)
    const { venue, bench, frames, turn } = rig
    venue.errorShape = errorShape
    venue.refusedStreams.add('ethusdt@depth')
    await untilLive(rig, 5)
    t.equal(bench.counters.get('refusals'), 1)
    t.match(bench.logged('refused streams')[0]?.fields, {
      refused: [{ stream: 'ethusdt@depth', reason: /invalid stream/ }],
    })
    const id = venue.trade('ETHUSDT')
    await until(() => tradeIds(frames, 'ETHUSDT').includes(id), 'a trade', turn)
    t.same(venue.violations, [], 'and no more than five messages a second were sent')
  })
}

t.test('refused upgrades are counted, and the next endpoint is tried', async (t) => {
  const other = await VenueServer.start()
  t.teardown(() => other.close())
  const rig = await setUp(t, { endpoints: [other.wsUrl], streams: ['trade'] })
  const { venue, bench, turn } = rig
  other.refuseUpgrades(451, 1)
  other.refuseUpgrades(403, 1)
  await until(() => other.connections.length === 1, 'a connection after two refusals', turn)
  t.equal(bench.counters.get('refusals'), 2)
  t.match(bench.logged('does not serve this location')[0]?.fields, { status: 451 })
  t.match(bench.logged('firewall')[0]?.fields, { status: 403 })
  t.equal(venue.upgradeCount, 0)
})

t.test('endpoints are tried in turn', async (t) => {
  const dead = await VenueServer.start()
  const deadUrl = dead.wsUrl
  await dead.close()
  const alive = await VenueServer.start()
  t.teardown(() => alive.close())
  const rig = await setUp(t, { endpoints: [deadUrl, alive.wsUrl], streams: ['trade'] })
  await until(() => alive.connections.length === 1, 'the second endpoint', rig.turn)
  t.match(rig.bench.logged('connection lost')[0]?.fields, { trouble: /ECONNREFUSED/ })
})

for (const status of [429, 418]) {
  t.test(`a ${status} at the upgrade waits as long as the venue says`, async (t) => {
    const rig = await setUp(t, { streams: ['trade'] })
    const { venue, bench, turn } = rig
    venue.refuseUpgrades(status, 1, 1)
    await until(() => venue.refusalCount === 1, 'the refusal', turn)
    const beganMs = performance.now()
    await until(() => venue.connections.length === 1, 'the next attempt', turn)
    t.ok(performance.now() - beganMs > 900, 'after a second')
    t.equal(venue.upgradeCount, 2, 'and not before')
    t.match(bench.logged('connection refused')[0]?.fields, { status, wait_ms: 1000 })
  })
}

t.test('a cut connection is made again, and the books are fetched anew', async (t) => {
  const rig = await setUp(t)
  const { venue, bench, frames, turn } = rig
  await untilLive(rig, 6)
  venue.depth('BTCUSDT')
  await until(() => payloads(frames, 'btcusdt@depthSnapshot').length === 1, 'a snapshot', turn)
  venue.cut()
  await until(() => bench.counters.get('disconnects') === 1, 'the loss', turn)
  venue.depth('BTCUSDT', 5, true)
  await untilLive(rig, 6)
  const id = venue.trade('BTCUSDT')
  venue.depth('BTCUSDT')
  await until(() => tradeIds(frames, 'BTCUSDT').includes(id), 'trades again', turn)
  await until(() => payloads(frames, 'btcusdt@depthSnapshot').length === 2, 'a new image', turn)
  t.equal(bench.counters.get('connects'), 2)
})

t.test('a connection on which nothing comes is replaced; a ping is something', async (t) => {
  const rig = await setUp(t, { silence_ms: 1000, streams: ['trade'] })
  const { venue, bench, turn } = rig
  await untilLive(rig, 2)
  const [first] = venue.connections
  const quietUntilMs = performance.now() + 1500
  let pingedMs = 0
  await until(
    () => performance.now() > quietUntilMs,
    'a while with pings only',
    () => {
      turn()
      if (performance.now() - pingedMs < 200) return
      pingedMs = performance.now()
      venue.ping('p')
    },
  )
  t.equal(venue.connections[0], first, 'pings keep it')
  venue.silent = true
  await until(() => bench.counters.get('silent_restarts') === 1, 'a restart', turn)
  venue.silent = false
  await until(() => venue.connections.some(({ id }) => id > 1), 'another connection', turn)
})

t.test('rotation leaves no hole: every trade comes, at most twice', async (t) => {
  const rig = await setUp(t, { rotate_ms: 1000, streams: ['trade', 'depth'] })
  const { venue, bench, frames, turn } = rig
  await untilLive(rig, 4)
  const sent: number[] = []
  await until(
    () => bench.counters.get('rotations') >= 3,
    'three rotations',
    () => {
      sent.push(venue.trade('BTCUSDT'))
      turn()
    },
    20_000,
  )
  const last = sent.at(-1) as number
  await until(() => tradeIds(frames, 'BTCUSDT').includes(last), 'the last trade', turn)
  const counts = new Map<number, number>()
  for (const id of tradeIds(frames, 'BTCUSDT')) counts.set(id, (counts.get(id) ?? 0) + 1)
  t.same(
    [...counts.keys()].sort((a, b) => a - b),
    sent,
    'each id',
  )
  t.ok(Math.max(...counts.values()) <= 2, 'twice at most')
  t.ok([...counts.values()].includes(2), 'the connections overlapped')
  t.same(venue.snapshotRequests, [], 'no book was lost')
  t.same(venue.violations, [])
  t.equal(bench.logged('connection lost').length, 0)
})

t.test('an announced shutdown rotates at once, without a hole', async (t) => {
  const rig = await setUp(t, { streams: ['trade'], rotate_ms: 4000 })
  const { venue, bench, frames, turn } = rig
  await untilLive(rig, 2)
  const [first] = venue.connections
  const sent = [venue.trade('BTCUSDT')]
  venue.announceShutdown()
  await until(
    () => bench.counters.get('rotations') === 1,
    'the rotation',
    () => {
      sent.push(venue.trade('BTCUSDT'))
      turn()
    },
  )
  venue.cut(venue.connections.filter((connection) => connection === first))
  sent.push(venue.trade('BTCUSDT'))
  const last = sent.at(-1) as number
  await until(() => tradeIds(frames, 'BTCUSDT').includes(last), 'the last trade', turn)
  t.same([...new Set(tradeIds(frames, 'BTCUSDT'))], sent)
})

t.test('when the ring is full, frames are dropped and counted, and one line says so', async (t) => {
  const rig = await setUp(t, { streams: ['trade'] }, 16 * 1024)
  const { venue, bench, source, frames } = rig
  await untilLive(rig, 2)
  rig.turn()
  const before = frames.length
  const sentCount = 500
  for (let i = 0; i < sentCount; i++) venue.trade('BTCUSDT')
  const { counters } = bench
  const seen = () => counters.get('frames') + counters.get('frames_dropped') - before
  await until(
    () => seen() === sentCount,
    'all frames are accounted for',
    () => source.doWork(),
  )
  t.ok(counters.get('frames_dropped') > 0)
  t.ok(counters.get('bytes_dropped') > counters.get('frames_dropped') * 100)
  t.equal(bench.logged('frames dropped').length, 1)
  t.equal(bench.take().length, sentCount - counters.get('frames_dropped'))
  await source.close()
  const lost = rig.raised.map(({ evidence }) => evidence)
  t.equal(
    lost.reduce((sum, { frames }) => sum + Number(frames), 0),
    counters.get('frames_dropped'),
    'the record of the loss is exact',
  )
  t.equal(
    lost.reduce((sum, { bytes }) => sum + Number(bytes), 0),
    counters.get('bytes_dropped'),
  )
})

t.test('a snapshot waits for room on the ring; it is not dropped', async (t) => {
  const rig = await setUp(t, { streams: ['depth'], symbols: ['BTC-USDT'] }, 16 * 1024)
  const { venue, bench, source, frames } = rig
  await untilLive(rig, 1)
  rig.turn()
  venue.snapshotDelayMs = 50
  for (let i = 0; i < 300; i++) venue.depth('BTCUSDT')
  await until(
    () => bench.counters.get('snapshots') === 1,
    'fetched',
    () => source.doWork(),
  )
  t.equal(bench.counters.get('stalls'), 1)
  source.stop()
  t.notOk(source.drained(), 'it still waits')
  await until(() => source.drained(), 'passed on', rig.turn)
  rig.turn()
  t.equal(payloads(frames, 'btcusdt@depthSnapshot').length, 1)
})

t.test('USD-M futures: book data and trades come over their own entry points', async (t) => {
  const rig = await setUp(t, { venue: 'binance-usdm', symbols: ['BTC-USDT-PERP'] })
  const { venue, frames, turn } = rig
  await untilLive(rig, 3)
  const paths = new Map(venue.connections.map(({ path, streams }) => [path, [...streams].sort()]))
  t.same(paths.get('/market/stream'), ['btcusdt@trade'])
  t.same(paths.get('/public/stream'), ['btcusdt@bookTicker', 'btcusdt@depth'])
  venue.depth('BTCUSDT')
  await until(() => payloads(frames, 'btcusdt@depthSnapshot').length === 1, 'a snapshot', turn)
  t.equal(frames[0]?.format, FRAME_FORMAT.binanceUsdm)
})

t.test('more streams than a connection may have are split, within the message limit', async (t) => {
  const symbols = Array.from({ length: 300 }, (_, i) => `S${i}USDT`)
  const streams = ['trade', 'bookTicker', 'depth', 'aggTrade'] as const
  const rig = await setUp(t, { symbols, streams: [...streams] })
  await until(() => rig.venue.connections.length === 2, 'two connections', rig.turn)
  await until(
    () => rig.venue.connections.reduce((sum, c) => sum + c.streams.size, 0) === 1200,
    'all streams',
    rig.turn,
    20_000,
  )
  t.same(rig.venue.violations, [])
})

t.test('stop closes the connections and opens no more', async (t) => {
  const rig = await setUp(t)
  await untilLive(rig, 6)
  rig.source.stop()
  await until(() => rig.venue.connections.length === 0, 'closed', rig.turn)
  t.ok(rig.source.drained())
  t.equal(rig.venue.upgradeCount, 1)
})
