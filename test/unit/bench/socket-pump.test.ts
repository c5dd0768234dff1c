// The native thread that reads the benches' sockets: each byte once, in order, with its time.

import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { loadTools } from '../../../bench/load-tools.ts'
import { SocketPump } from '../../../bench/socket-pump.ts'

const skip = loadTools() === undefined ? 'the native part of the loads is not built' : false
const RING_BYTES = 256 * 1024
const SOCKETS = 3
/** What may lie between two readings of clocks, where the thread is stopped between them. */
const CLOCKS_NS = 100e6

interface Pair {
  readonly written: Socket
  readonly read: Socket
}

async function connections(t: Test, count: number): Promise<Pair[]> {
  const server = createServer({ pauseOnConnect: true }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as { port: number }
  const pairs: Pair[] = []
  while (pairs.length < count) {
    const accepted = once(server, 'connection') as Promise<[Socket]>
    const written = connect(port, '127.0.0.1')
    await once(written, 'connect')
    pairs.push({ written, read: (await accepted)[0] })
  }
  t.teardown(() => {
    for (const { written, read } of pairs) {
      written.destroy()
      read.destroy()
    }
    server.close()
  })
  return pairs
}

function descriptorOf(socket: Socket): number {
  return (socket as unknown as { _handle: { fd: number } })._handle.fd
}

/** The byte at a place of a socket's stream. */
function byteAt(socket: number, at: number): number {
  return (at * 31 + (at >> 8) + socket) & 0xff
}

t.test('many times its ring, from several sockets', { skip }, async (t) => {
  const pairs = await connections(t, SOCKETS)
  const counts = new Array<number>(SOCKETS).fill(0)
  let wrong = 0
  let late = 0
  const lastNs = new Array<number>(SOCKETS).fill(0)
  const pump = new SocketPump(
    pairs.map(({ read }) => descriptorOf(read)),
    RING_BYTES,
    false,
    (index, data, start, end, cameNs) => {
      let at = counts[index] as number
      for (let i = start; i < end; i++) if (data[i] !== byteAt(index, at++)) wrong++
      counts[index] = at
      // Two clocks meet in a stamp, each read by itself.
      const since = cameNs - (lastNs[index] as number)
      if (since < -CLOCKS_NS || cameNs > Number(process.hrtime.bigint()) + CLOCKS_NS) late++
      lastNs[index] = cameNs
    },
  )
  t.teardown(() => pump.stop())
  // Pieces of odd lengths, more than fits: the thread waits for the one who drains.
  const total = 8 * RING_BYTES + 13
  for (const [index, { written }] of pairs.entries()) {
    for (let at = 0; at < total; ) {
      const length = Math.min(total - at, 1 + ((at * 7919) % 50_000))
      written.write(Buffer.from(Array.from({ length }, (_, i) => byteAt(index, at + i))))
      at += length
    }
  }
  while (counts.some((count) => count < total)) {
    pump.drain()
    await delay(1)
  }
  t.strictSame(counts, new Array(SOCKETS).fill(total), 'each byte once')
  t.equal(wrong, 0, 'in order')
  t.equal(late, 0, 'at times that do not go back, nor lie ahead')
})

t.test('a connection that is closed is an error, after what came on it', { skip }, async (t) => {
  const [pair] = (await connections(t, 1)) as [Pair]
  let bytes = 0
  const pump = new SocketPump([descriptorOf(pair.read)], RING_BYTES, false, (_, __, start, end) => {
    bytes += end - start
  })
  pair.written.end('the last')
  const failure = await (async () => {
    for (;;) {
      try {
        pump.drain()
      } catch (error) {
        return error as Error
      }
      await delay(1)
    }
  })()
  t.match(failure.message, 'the server closed connection 0')
  t.equal(bytes, 'the last'.length)
})
