import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { SimulatedClock } from '../../../src/clock.ts'
import { TickdError } from '../../../src/errors.ts'
import { RawCapture } from '../../../src/source/raw-capture.ts'
import { SourceBench } from '../../support/source-bench.ts'

function setUp(t: Test, limits: { fileBytes?: number; bytesMax?: number } = {}) {
  const directory = mkdtempSync(join(tmpdir(), 'tickd-capture-'))
  t.teardown(() => rmSync(directory, { recursive: true }))
  const clock = new SimulatedClock(1_723_161_255_208)
  const bench = new SourceBench({ clock })
  const { fileBytes = 2 ** 20, bytesMax = 2 ** 30 } = limits
  const options = { directory, fileBytes, bytesMax, clock, log: bench.log }
  return { directory, clock, bench, options, capture: new RawCapture(options) }
}

function lines(directory: string): Record<string, unknown>[] {
  return readdirSync(directory)
    .sort()
    .flatMap((name) => readFileSync(join(directory, name), 'utf8').trimEnd().split('\n'))
    .map((line) => JSON.parse(line) as Record<string, unknown>)
}

t.test('everything is written as it was, with its time to the nanosecond', async (t) => {
  const { directory, capture, bench } = setUp(t)
  const source = capture.source('venue')
  source.open(1, 'wss://example/stream')
  source.sent(1, '{"method":"SUBSCRIBE"}')
  bench.sink.stampAt(1_723_161_255, 208_000_123)
  source.received(1, bench.sink, Buffer.from('{"p":"1\\u00e9é\u2028"}'))
  source.received(1, bench.sink, Buffer.from([0xff, 0x00, 0x7b]))
  source.http(2, bench.sink, 'https://example/depth?symbol=A', Buffer.from('{"lastUpdateId":1}'))
  source.closed(1)
  await capture.close()
  const [name = ''] = readdirSync(directory)
  t.equal(name, 'venue-20240808T235415.208000000Z.jsonl')
  const text = readFileSync(join(directory, name), 'utf8')
  t.ok(text.includes('"ts_ns":1723161255208000123,'), 'an integer, not rounded')
  t.match(lines(directory), [
    { t: 'open', conn: 1, url: 'wss://example/stream' },
    { t: 'send', conn: 1, data: '{"method":"SUBSCRIBE"}' },
    { t: 'recv', conn: 1, data: '{"p":"1\\u00e9é\u2028"}' },
    { t: 'recv', conn: 1, b64: '/wB7' },
    { t: 'http', conn: 2, url: 'https://example/depth?symbol=A', data: '{"lastUpdateId":1}' },
    { t: 'close', conn: 1 },
  ])
})

t.test('files are rolled at their size and no line is lost between them', async (t) => {
  const { directory, clock, bench, capture } = setUp(t, { fileBytes: 600_000 })
  const source = capture.source('a')
  const body = Buffer.alloc(1000, 0x61)
  for (let i = 0; i < 2000; i++) {
    bench.sink.stampAt(i + 1, 0)
    source.received(1, bench.sink, body)
    clock.advance(1)
    if (i % 100 === 0) await new Promise((resolve) => setImmediate(resolve))
  }
  await capture.close()
  t.ok(readdirSync(directory).length >= 2, `${readdirSync(directory).length} files`)
  t.same(
    lines(directory).map(({ ts_ns }) => Number(ts_ns) / 1e9),
    Array.from({ length: 2000 }, (_, i) => i + 1),
  )
})

t.test('what waits is written after a second, without a full buffer', async (t) => {
  const { directory, clock, capture } = setUp(t)
  capture.source('a').open(1, 'x')
  capture.tick()
  t.equal(readdirSync(directory).length, 0)
  clock.advance(1000)
  capture.tick()
  const written = () =>
    readdirSync(directory).some((name) => readFileSync(join(directory, name)).includes('\n'))
  const endMs = Date.now() + 5000
  while (!written() && Date.now() < endMs) await new Promise((resolve) => setTimeout(resolve, 2))
  t.ok(written())
  await capture.close()
})

t.test('it stops at its budget, once and loudly, counting what older runs left', async (t) => {
  const { directory, options, bench } = setUp(t)
  writeFileSync(join(directory, 'old-1.jsonl'), 'x'.repeat(900))
  const capture = new RawCapture({ ...options, bytesMax: 1000 })
  const source = capture.source('a')
  source.open(1, 'x')
  source.open(2, 'y'.repeat(200))
  source.open(3, 'z')
  await capture.close()
  t.ok(capture.stopped)
  const said = bench.logged('raw capture stopped')
  t.equal(said.length, 1)
  t.match(said[0]?.fields, { reason: /bytes_max/ })
  const kept = readdirSync(directory).filter((name) => name.startsWith('a-'))
  t.equal(kept.length, 1)
  t.equal(readFileSync(join(directory, kept[0] as string), 'utf8').split('\n').length, 2)
})

t.test('a directory that cannot be is an error that says which option', async (t) => {
  const { directory, options } = setUp(t)
  writeFileSync(join(directory, 'file'), '')
  t.throws(() => new RawCapture({ ...options, directory: join(directory, 'file', 'sub') }), {
    code: 'IO',
    message: /capture\.directory/,
  })
  t.ok(TickdError)
})

t.test('a disk that fails stops the capture, not the source', async (t) => {
  const { directory, bench, capture } = setUp(t)
  const source = capture.source('a')
  source.open(1, 'x')
  rmSync(directory, { recursive: true })
  await capture.close()
  writeFileSync(directory, '')
  t.ok(capture.stopped)
  t.match(bench.logged('raw capture stopped')[0]?.fields, { reason: /ENOENT/ })
  source.open(2, 'y')
})

t.test('two files that begin at one time are two files', async (t) => {
  const { directory, bench, capture } = setUp(t, { fileBytes: 1000 })
  const source = capture.source('a')
  for (let i = 0; i < 3; i++) {
    bench.sink.stampAt(i + 1, 0)
    source.received(1, bench.sink, Buffer.alloc(300_000, 0x61))
    await new Promise((resolve) => setImmediate(resolve))
  }
  await capture.close()
  t.notOk(capture.stopped)
  t.same(
    lines(directory).map(({ ts_ns }) => Number(ts_ns) / 1e9),
    [1, 2, 3],
  )
})
