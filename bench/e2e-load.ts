// The load generator of the e2e bench: a process of its own that pushes rendered trades over TCP.
//
// argv: host port ticks firstId. Renders all lines first, says 'ready' to its parent, waits for
// 'go', writes as fast as TCP takes it, says {startedMs, endedMs} and exits.

import { once } from 'node:events'
import { connect } from 'node:net'

const [host = '127.0.0.1', port = '0', ticks = '0', firstId = '1'] = process.argv.slice(2)
const SYMBOLS = 20
const PIECE_LINES = 5000

const pieces = render(Number(ticks), Number(firstId))
const socket = connect(Number(port), host)
await once(socket, 'connect')
socket.setNoDelay(true)
process.send?.('ready')
await once(process, 'message')
const startedMs = performance.timeOrigin + performance.now()
for (const piece of pieces) {
  if (!socket.write(piece)) await once(socket, 'drain')
}
socket.end()
await once(socket, 'close')
process.send?.({ startedMs, endedMs: performance.timeOrigin + performance.now() })
process.disconnect?.()

/** Trades of SYMBOLS instruments, ids dense from firstId, prices and sizes that vary. */
function render(count: number, id: number): Buffer[] {
  const out: Buffer[] = []
  const baseMs = Date.now() - 1000
  for (let from = 0; from < count; from += PIECE_LINES) {
    let text = ''
    for (let i = from; i < Math.min(count, from + PIECE_LINES); i++) {
      const symbol = `S${String(i % SYMBOLS).padStart(2, '0')}-USD`
      const price = `${20_000 + (i % 9973)}.${String((i * 7919) % 100).padStart(2, '0')}`
      const size = `0.${String((i * 104_729) % 100_000).padStart(5, '0')}1`
      const time = new Date(baseMs + Math.floor(i / 1000)).toISOString().slice(0, -1)
      text +=
        `{"type":"trade","venue":"bench","symbol":"${symbol}","ts_event":"${time}000000Z",` +
        `"id":"${id + i}","side":"${i % 2 === 0 ? 'buy' : 'sell'}","price":"${price}",` +
        `"size":"${size}"}\n`
    }
    out.push(Buffer.from(text))
  }
  return out
}
