// The replay source with real files, and the round trip: what the Binance source captures raw
// replays to the same records.

import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import t, { type Test } from 'tap'
import { type Clock, SimulatedClock } from '../../src/clock.ts'
import { configSchema, type SourceConfigOf } from '../../src/config/schema.ts'
import { DecodeTally } from '../../src/decode/decoder.ts'
import { createDecoder } from '../../src/decode/formats.ts'
import { venueNamed } from '../../src/decode/venues.ts'
import { IGNORE_REASONS, REJECT_REASONS } from '../../src/ledger/reasons.ts'
import { FRAME_FORMAT } from '../../src/ring/frame-format.ts'
import { FRAME_FLAG } from '../../src/ring/frame-ring.ts'
import { RawCapture } from '../../src/source/raw-capture.ts'
import { type ReplayConfig, ReplaySource } from '../../src/source/replay.ts'
import { TcpPushSource } from '../../src/source/tcp-push.ts'
import { BinanceSource } from '../../src/source/venue/binance.ts'
import { TickBatch } from '../../src/tick/batch.ts'
import { InstrumentTable } from '../../src/tick/instruments.ts'
import { tickToJson } from '../../src/tick/json.ts'
import { emptyJournal, SourceBench, type TakenFrame, until } from '../support/source-bench.ts'
import { VenueServer } from '../support/venue-server.ts'

const CAPACITY = 64
const DECODE_TICKS = 16_384
const BASE_NS = 1_723_161_255_000_000_000n

function temporary(t: Test): string {
  const directory = mkdtempSync(join(tmpdir(), 'tickd-replay-'))
  t.teardown(() => rmSync(directory, { recursive: true }))
  return directory
}

async function replay(
  t: Test,
  options: Partial<ReplayConfig> & { clock?: Clock; ringBytes?: number },
) {
  const { clock, ringBytes, ...rest } = options
  const bench = new SourceBench({
    ...(clock === undefined ? {} : { clock }),
    ...(ringBytes === undefined ? {} : { ringBytes }),
  })
  const config: ReplayConfig = {
    name: 'replay',
    venue: 'binance-usdm',
    format: 'ns-line',
    paths: [],
    speed: 'max',
    ...rest,
  }
  const { sink, log } = bench
  const venue = venueNamed(config.venue)
  let woken = 0
  const source = new ReplaySource({
    config,
    venue,
    sink,
    clock: bench.clock,
    log,
    wake: () => woken++,
  })
  t.teardown(() => source.close())
  const frames: TakenFrame[] = []
  const turn = () => {
    source.doWork()
    frames.push(...bench.take())
  }
  return { bench, source, frames, turn, woken: () => woken }
}

/** `count` frames of an ns-line capture, a millisecond apart. */
function nsLines(count: number, first = 0): string {
  let text = ''
  for (let i = first; i < first + count; i++) {
    text += `${BASE_NS + BigInt(i) * 1_000_000n} {"n":${i}}\n`
  }
  return text
}

t.test('files are played in order, as they were received, marked as replayed', async (t) => {
  const directory = temporary(t)
  const paths = [join(directory, 'a.gz'), join(directory, 'b')]
  writeFileSync(paths[0] as string, gzipSync(nsLines(3000)))
  writeFileSync(paths[1] as string, nsLines(1000, 3000))
  const { bench, source, frames, turn, woken } = await replay(t, { paths })
  await source.start()
  await until(() => bench.logged('capture played').length === 2, 'both files', turn)
  turn()
  t.equal(frames.length, 4000)
  for (const [i, { bytes, recvSec, recvNsec, flags, format }] of frames.entries()) {
    if (bytes.toString() !== `{"n":${i}}`) t.fail(`frame ${i} is ${bytes}`)
    if (recvSec !== 1_723_161_255 + Math.floor(i / 1000)) t.fail(`frame ${i}: ${recvSec}`)
    if (recvNsec !== (i % 1000) * 1e6) t.fail(`frame ${i}: ${recvNsec} ns`)
    if (flags !== FRAME_FLAG.REPLAYED || format !== FRAME_FORMAT.binanceUsdm) t.fail('header')
  }
  t.ok(woken() > 0, 'the thread is woken when a piece of a file is in memory')
  t.match(bench.logged('capture played')[0]?.fields, { frames: 3000, path: paths[0] })
  t.equal(source.doWork(), 0, 'and only once')
})

t.test('a full ring holds it back; nothing is dropped', async (t) => {
  const path = join(temporary(t), 'a')
  writeFileSync(path, nsLines(20_000))
  const { bench, source, frames } = await replay(t, { paths: [path], ringBytes: 16 * 1024 })
  await source.start()
  const turn = () => {
    source.doWork()
    source.doWork()
    frames.push(...bench.take(100))
  }
  await until(
    () => frames.length === 20_000,
    'all frames',
    () => {
      for (let i = 0; i < 20; i++) turn()
    },
  )
  t.equal(bench.counters.get('frames_dropped'), 0)
  t.ok(bench.counters.get('stalls') > 10)
  t.same(
    frames.map(({ bytes }) => bytes.toString()),
    Array.from({ length: 20_000 }, (_, i) => `{"n":${i}}`),
  )
})

for (const [speed, afterMs] of [
  [1, 500],
  [10, 50],
  [0.5, 1000],
] as const) {
  t.test(`at speed ${speed} half a second of the recording takes ${afterMs} ms`, async (t) => {
    const path = join(temporary(t), 'a')
    writeFileSync(path, nsLines(2000))
    const clock = new SimulatedClock()
    const { source, frames, turn } = await replay(t, { paths: [path], speed, clock })
    await source.start()
    await until(() => frames.length === 1, 'the first frame goes at once', turn)
    clock.advance(afterMs)
    await until(() => frames.length === 501, 'half a second', turn)
    turn()
    t.equal(frames.length, 501, 'and no more')
  })
}

t.test('a file that is not there is an error at the start, with its path', async (t) => {
  const { source } = await replay(t, { paths: ['/nowhere/x.jsonl'] })
  await t.rejects(source.start(), { code: 'IO', message: /\/nowhere\/x\.jsonl/ })
})

t.test('a damaged file stops the replay after its last good line, and says where', async (t) => {
  const path = join(temporary(t), 'a')
  writeFileSync(path, `${nsLines(10)}not a line\n${nsLines(10, 10)}`)
  const { bench, source, frames, turn } = await replay(t, { paths: [path] })
  await source.start()
  await until(() => bench.logged('replay stopped').length === 1, 'the end', turn)
  t.equal(frames.length, 10)
  t.match(bench.logged('replay stopped')[0], { level: 'error', fields: { error: /line 11/ } })
  t.equal(source.doWork(), 0)
  t.ok(source.drained())
})

/** All records of the frames, as text without their receive time and the mark of replay. */
function records(venue: string, frames: readonly TakenFrame[]): string[] {
  const memory = InstrumentTable.create(CAPACITY)
  const instruments = new InstrumentTable(memory, CAPACITY)
  const decoder = createDecoder(venueNamed(venue).format, { venue, instruments })
  const out = new TickBatch(DECODE_TICKS)
  const tally = new DecodeTally(IGNORE_REASONS, REJECT_REASONS, DECODE_TICKS)
  const texts: string[] = []
  for (const { bytes, format, flags, recvSec, recvNsec, source } of frames) {
    out.count = 0
    const meta = { source, format, flags, token: 0, recvSec, recvNsec }
    decoder.decode(bytes, 0, bytes.length, meta, out, tally)
    for (let i = 0; i < out.count; i++) {
      texts.push(tickToJson(out, i, instruments).replace(/,?"replayed"/, ''))
    }
  }
  return texts
}

t.test('what the Binance source captured replays to the same records', async (t) => {
  const directory = temporary(t)
  const venue = await VenueServer.start()
  const bench = new SourceBench()
  const { sink, clock, log } = bench
  const memory = InstrumentTable.create(CAPACITY)
  const options = { directory, fileBytes: 2 ** 30, bytesMax: 2 ** 30, clock, log }
  const capture = new RawCapture(options)
  const source = new BinanceSource({
    config: configSchema.parse({
      sources: [
        {
          name: 'venue',
          type: 'binance',
          endpoints: [venue.wsUrl],
          rest_endpoint: venue.restUrl,
          symbols: ['BTC-USDT'],
          streams: ['trade', 'depth'],
        },
      ],
    }).sources[0] as SourceConfigOf<'binance'>,
    sink,
    instruments: new InstrumentTable(memory, CAPACITY),
    clock,
    log,
    random: () => 0.5,
    capture: capture.source('venue'),
  })
  source.start()
  t.teardown(async () => {
    await source.close()
    await venue.close()
  })
  const live: TakenFrame[] = []
  const turn = () => {
    source.doWork()
    live.push(...bench.take())
  }
  await until(() => bench.logged('subscribed').length === 1, 'live', turn)
  for (let i = 0; i < 50; i++) {
    venue.trade('BTCUSDT')
    venue.depth('BTCUSDT', 2)
  }
  // 1 reply to SUBSCRIBE, 100 updates, 1 snapshot.
  await until(() => live.length === 102, 'everything', turn)
  await source.close()
  await capture.close()

  const paths = readdirSync(directory).map((name) => join(directory, name))
  t.equal(paths.length, 1)
  const again = await replay(t, { paths, venue: 'binance-us', format: 'tickd' })
  await again.source.start()
  await until(() => again.frames.length === live.length, 'the replay', again.turn)
  const recorded = records('binance-us', live)
  t.ok(recorded.length > 100, `${recorded.length} records`)
  t.same(records('binance-us', again.frames), recorded, 'receive times included')
  t.same(
    again.frames.map(({ bytes }) => bytes.toString()),
    live.map(({ bytes }) => bytes.toString()),
  )
})

t.test('what a TCP listener captured replays to the same records', async (t) => {
  const { connect } = await import('node:net')
  const directory = temporary(t)
  const bench = new SourceBench()
  const { sink, clock, log } = bench
  const capture = new RawCapture({ directory, fileBytes: 2 ** 30, bytesMax: 2 ** 30, clock, log })
  const source = new TcpPushSource({
    config: {
      name: 'push',
      format: 'ndjson',
      listen: { host: '127.0.0.1', port: 0 },
      connections_max: 1,
      chunk_bytes: 4096,
    },
    path: 'sources[0]',
    sink,
    clock,
    log,
    capture: capture.source('push'),
    journal: emptyJournal,
  })
  await source.start()
  t.teardown(() => source.close())
  const lines = Array.from({ length: 500 }, (_, i) =>
    JSON.stringify({
      type: 'trade',
      venue: 'x',
      symbol: 'A-B',
      ts_event: '2024-08-08T23:54:15.208000000Z',
      id: String(i),
      side: 'buy',
      price: `${i}.5`,
      size: '1',
    }),
  )
  connect(Number(source.address.split(':')[1]), '127.0.0.1').end(`${lines.join('\n')}\n`)
  const live: TakenFrame[] = []
  await until(
    () => bench.counters.get('disconnects') === 1,
    'the end',
    () => {
      source.doWork()
      live.push(...bench.take())
    },
  )
  live.push(...bench.take())
  await capture.close()
  const paths = readdirSync(directory).map((name) => join(directory, name))
  const again = await replay(t, { paths, venue: 'ndjson', format: 'tickd' })
  await again.source.start()
  await until(() => again.frames.length === live.length, 'the replay', again.turn)
  const recorded = records('ndjson', live)
  t.equal(recorded.length, 500)
  t.same(records('ndjson', again.frames), recorded)
})
