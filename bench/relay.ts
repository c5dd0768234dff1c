// The yardstick of the latency bench: the least that can stand between a TCP socket and WebSockets.
//
// Whole lines in, one `publish` a read, nothing looked at, nothing kept. Answers 'address'.

import { App, type us_listen_socket, us_socket_local_port } from 'uWebSockets.js'
import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'

const LINE_END = 0x0a
const BUFFER_BYTES_MAX = 64 * 2 ** 20

const app = App().ws('/*', {
  maxBackpressure: BUFFER_BYTES_MAX,
  open: (ws) => {
    ws.subscribe('lines')
    ws.send('ready', false)
  },
})
let wsPort = 0
app.listen('127.0.0.1', 0, (token: us_listen_socket | false) => {
  if (token !== false) wsPort = us_socket_local_port(token)
})

const server = createServer({ noDelay: true }, (socket) => {
  let kept: Buffer = Buffer.alloc(0)
  socket.on('data', (data) => {
    const whole = data.lastIndexOf(LINE_END) + 1
    if (whole > 0) app.publish('lines', Buffer.concat([kept, data.subarray(0, whole)]), true)
    kept = whole > 0 ? data.subarray(whole) : Buffer.concat([kept, data])
  })
  socket.on('error', () => socket.destroy())
})
server.listen(0, '127.0.0.1')
await once(server, 'listening')

process.on('message', () => {
  const { port } = server.address() as AddressInfo
  process.send?.({ host: '127.0.0.1', port, url: `ws://127.0.0.1:${wsPort}/` })
})
process.on('disconnect', () => {
  app.close()
  process.exit()
})
process.send?.('ready')
