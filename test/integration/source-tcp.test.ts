// The TCP push listener with real sockets: framing, back-pressure, limits, ends of streams.

import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import t, { type Test } from 'tap'
import { FRAME_BYTES_MAX } from '../../src/limits.ts'
import { FRAME_FORMAT } from '../../src/ring/frame-format.ts'
import { type TcpConfig, TcpPushSource } from '../../src/source/tcp-push.ts'
import { emptyJournal, SourceBench, type TakenFrame, until } from '../support/source-bench.ts'

interface Rig {
  bench: SourceBench
  source: TcpPushSource
  frames: TakenFrame[]
  /** Duty cycles and a consumer that takes everything. */
  turn: () => void
  client: () => Promise<Socket>
}

async function setUp(
  t: Test,
  options: Partial<TcpConfig> = {},
  ringBytes = 8 * 1024 * 1024,
): Promise<Rig> {
  const bench = new SourceBench({ ringBytes })
  const config: TcpConfig = {
    name: 'push',
    format: 'ndjson',
    listen: { host: '127.0.0.1', port: 0 },
    connections_max: 8,
    chunk_bytes: 65_536,
    ...options,
  }
  const { sink, clock, log } = bench
  const source = new TcpPushSource({
    config,
    path: 'sources[0]',
    sink,
    clock,
    log,
    journal: emptyJournal,
  })
  await source.start()
  t.teardown(() => source.close())
  const frames: TakenFrame[] = []
  const turn = () => {
    source.doWork()
    frames.push(...bench.take())
  }
  const client = async () => {
    const socket = connect(Number(source.address.split(':')[1]), '127.0.0.1')
    await once(socket, 'connect')
    t.teardown(() => socket.destroy())
    return socket
  }
  return { bench, source, frames, turn, client }
}

function text(frames: readonly TakenFrame[]): string {
  return Buffer.concat(frames.map(({ bytes }) => bytes)).toString()
}

t.test('lines come through whole and in order, the unterminated last one too', async (t) => {
  const { bench, frames, turn, client } = await setUp(t, { chunk_bytes: 4096 })
  const sent = Array.from({ length: 5000 }, (_, i) => `{"n":${i},"pad":"${'x'.repeat(i % 50)}"}`)
  const socket = await client()
  socket.end(sent.join('\n'))
  const size = sent.join('\n').length
  await until(() => text(frames).length === size, 'all bytes', turn)
  t.equal(text(frames), sent.join('\n'))
  for (const { bytes, format, recvSec, flags } of frames) {
    t.equal(format, FRAME_FORMAT.ndjson)
    t.equal(flags, 0)
    t.ok(bytes.length <= 4096)
    t.ok(Math.abs(recvSec - Date.now() / 1000) < 60)
  }
  t.equal(bench.counters.get('bytes'), size)
  await until(() => bench.counters.get('disconnects') === 1, 'the end is counted')
  t.equal(bench.counters.get('frames_dropped'), 0)
})

t.test('a full ring stops the sender, and nothing is lost when it moves on', async (t) => {
  const { bench, source, frames, turn, client } = await setUp(t, {}, 256 * 1024)
  const line = `{"pad":"${'y'.repeat(990)}"}\n`
  const socket = await client()
  const lineCount = 30_000
  let written = 0
  const writeMore = () => {
    while (written < lineCount) {
      const batch = Math.min(500, lineCount - written)
      written += batch
      if (!socket.write(line.repeat(batch))) {
        socket.once('drain', writeMore)
        return
      }
    }
    socket.end()
  }
  writeMore()
  // Nobody takes frames: the ring fills, the socket is paused, the kernel's buffers fill.
  await until(() => bench.counters.get('stalls') === 1, 'a stall')
  let before = -1
  await until(
    () => {
      const same = before === socket.bytesWritten - socket.writableLength
      before = socket.bytesWritten - socket.writableLength
      return same
    },
    'the sender stands still',
    () => source.doWork(),
  )
  t.ok(written < lineCount, `${written} lines were written, then the window closed`)
  t.equal(bench.counters.get('stalls'), 1, 'one wait is one stall')
  const want = lineCount * line.length
  let got = 0
  await until(
    () => got === want,
    'all bytes after the stall',
    () => {
      turn()
      for (const frame of frames.splice(0)) {
        got += frame.bytes.length
        if (frame.bytes.at(-1) !== 0x0a) t.fail('a frame ends within a line')
      }
    },
    30_000,
  )
  t.equal(bench.counters.get('frames_dropped'), 0)
})

t.test('several held-back connections all go on, whichever waits first', async (t) => {
  const { bench, frames, turn, client } = await setUp(t, {}, 256 * 1024)
  const count = 6
  const lineCount = 3000
  for (let i = 0; i < count; i++) {
    const socket = await client()
    socket.end(`{"from":${i},"pad":"${'z'.repeat(100)}"}\n`.repeat(lineCount))
  }
  await until(() => bench.counters.get('stalls') >= 1, 'a stall')
  const lines = () => text(frames).split('\n').length - 1
  await until(() => lines() === count * lineCount, 'all lines of all connections', turn)
  for (let i = 0; i < count; i++) {
    t.equal(text(frames).split(`"from":${i},`).length - 1, lineCount, `connection ${i}`)
  }
})

t.test(
  'a line longer than a frame ends its connection, counted and said; others go on',
  async (t) => {
    const { bench, frames, turn, client } = await setUp(t)
    const good = await client()
    const bad = await client()
    const size = FRAME_BYTES_MAX + 200_000
    bad.on('error', () => {})
    bad.write('{"ok":1}\n')
    bad.write(Buffer.alloc(size, 0x61))
    await until(() => bench.counters.get('refusals') === 1, 'the refusal', turn)
    await until(() => bench.counters.get('disconnects') === 1, 'the disconnection', turn)
    t.equal(bench.counters.get('frames_dropped'), 1)
    t.ok(bench.counters.get('bytes_dropped') > FRAME_BYTES_MAX - 65_536 * 2)
    t.match(bench.logged('bytes dropped')[0]?.fields, {
      reason: /a line is longer/,
      source: 'push',
    })
    good.end('{"ok":2}\n')
    await until(() => text(frames) === '{"ok":1}\n{"ok":2}\n', 'the good lines', turn)
  },
)

t.test('packed ticks: each message is a frame, whatever the pieces it comes in', async (t) => {
  const { frames, turn, client, bench } = await setUp(t, { format: 'packed' })
  const bodies = [1, 2, 300, 16_384].map((count, i) => Buffer.alloc(count * 64, i + 1))
  const stream = Buffer.concat(bodies.flatMap((body) => [lengthOf(body.length), body]))
  const socket = await client()
  socket.setNoDelay(true)
  for (let at = 0; at < stream.length; at += 9973) socket.write(stream.subarray(at, at + 9973))
  await until(() => frames.length === bodies.length, 'all messages', turn)
  for (const [i, body] of bodies.entries()) t.ok(frames[i]?.bytes.equals(body), `message ${i}`)
  t.equal(frames[0]?.format, FRAME_FORMAT.packed)
  socket.end(Buffer.concat([lengthOf(128), Buffer.alloc(100)]))
  await until(() => bench.counters.get('frames_dropped') === 1, 'the cut message', turn)
  t.equal(bench.counters.get('bytes_dropped'), 104)
})

t.test('a packed length that cannot be ends the connection', async (t) => {
  const { bench, turn, client } = await setUp(t, { format: 'packed' })
  const socket = await client()
  socket.on('error', () => {})
  socket.write(Buffer.concat([lengthOf(63), Buffer.alloc(63)]))
  await until(() => bench.counters.get('refusals') === 1, 'the refusal', turn)
  t.equal(bench.counters.get('bytes_dropped'), 67)
  t.match(bench.logged('bytes dropped')[0]?.fields, { reason: /length of 63 bytes/ })
})

t.test('more connections than allowed are refused and counted', async (t) => {
  const { bench, turn, client } = await setUp(t, { connections_max: 2 })
  await client()
  await client()
  const third = await client()
  third.on('error', () => {})
  await once(third, 'close')
  await until(() => bench.counters.get('refusals') === 1, 'the refusal', turn)
  t.equal(bench.counters.get('connections'), 2)
  t.equal(bench.logged('connections refused').length, 1)
})

t.test('a taken address is an operational error that names it and the option', async (t) => {
  const other = createServer()
  other.listen(0, '127.0.0.1')
  await once(other, 'listening')
  t.teardown(() => other.close())
  const address = other.address()
  const port = typeof address === 'object' && address !== null ? address.port : 0
  const { sink, clock, log } = new SourceBench()
  const config: TcpConfig = {
    name: 'push',
    format: 'ndjson',
    listen: { host: '127.0.0.1', port },
    connections_max: 1,
    chunk_bytes: 4096,
  }
  const source = new TcpPushSource({
    config,
    path: 'sources[2]',
    sink,
    clock,
    log,
    journal: emptyJournal,
  })
  await t.rejects(source.start(), {
    code: 'ADDRESS_IN_USE',
    message: new RegExp(`127\\.0\\.0\\.1:${port}.*sources\\[2\\]\\.listen\\.port`),
  })
})

t.test('stop ends the intake; what was received still goes out, then it is drained', async (t) => {
  const { bench, source, frames, turn, client } = await setUp(t, {}, 256 * 1024)
  const socket = await client()
  socket.on('error', () => {})
  socket.write(`{"pad":"${'w'.repeat(1000)}"}\n`.repeat(2000))
  await until(() => bench.counters.get('stalls') === 1, 'a stall')
  source.stop()
  t.notOk(source.drained())
  await until(() => source.drained(), 'the rest goes out', turn)
  turn()
  for (const { bytes } of frames.slice(0, -1)) t.equal(bytes.at(-1), 0x0a)
  await t.rejects(client(), { code: 'ECONNREFUSED' })
})

t.test('a connection that is reset leaves what came whole, and the listener goes on', async (t) => {
  const { bench, frames, turn, client } = await setUp(t)
  const socket = await client()
  socket.write('{"a":1}\n{"b":')
  await until(() => text(frames).includes('{"a":1}\n'), 'the whole line', turn)
  socket.resetAndDestroy()
  await until(() => bench.counters.get('disconnects') === 1, 'the reset', turn)
  turn()
  t.equal(text(frames), '{"a":1}\n{"b":', 'the cut line goes to the decoder, which keeps it')
  const next = await client()
  next.end('{"c":1}\n')
  await until(() => text(frames).endsWith('{"c":1}\n'), 'the next client', turn)
})

function lengthOf(length: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32LE(length)
  return bytes
}
