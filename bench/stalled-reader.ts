// A subscriber that subscribes and never reads: what it is sent stays in the kernel's buffers, then
// in the daemon's queue.

import { connect, type Socket } from 'node:net'

const TEXT_FRAME = 0x81
const MASKED = 0x80
const LENGTH_16 = 126

/** Resolves once the subscription is asked for. The caller destroys the socket. */
export async function openStalled(url: string, symbols: readonly string[]): Promise<Socket> {
  const { hostname, port, host, pathname } = new URL(url)
  const socket = connect({ host: hostname, port: Number(port), noDelay: true })
  socket.on('error', () => {})
  socket.write(
    `GET ${pathname} HTTP/1.1\r\nHost: ${host}\r\nUpgrade: websocket\r\n` +
      'Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n' +
      'Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n' +
      'Sec-WebSocket-Protocol: tickd.v1.fb\r\n\r\n',
  )
  // The answer is taken out, and nothing after it: what Node reads ahead is little.
  await new Promise<void>((resolve, reject) => {
    socket.once('close', () => reject(new Error(`${url} closed the connection`)))
    socket.once('readable', resolve)
  })
  const control = { op: 'subscribe', channel: 'trades', symbols, slow: 'gap' }
  const payload = Buffer.from(JSON.stringify(control))
  const header = Buffer.alloc(8)
  header[0] = TEXT_FRAME
  header[1] = MASKED | LENGTH_16
  header.writeUInt16BE(payload.length, 2)
  // Masked with zeroes.
  socket.write(Buffer.concat([header, payload]))
  return socket
}
