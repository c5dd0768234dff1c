// A TCP proxy that, when told to, passes answers on a few bytes at a time: slow, not dead.

import { connect, createServer, type Server, type Socket } from 'node:net'

const CHUNK_BYTES = 12
const EVERY_MS = 10

export class DribblingProxy {
  readonly port: number
  readonly #server: Server
  readonly #sockets: Set<Socket>
  readonly #pace: { isSlow: boolean }

  private constructor(
    server: Server,
    port: number,
    sockets: Set<Socket>,
    pace: { isSlow: boolean },
  ) {
    this.#server = server
    this.port = port
    this.#sockets = sockets
    this.#pace = pace
  }

  static async listen(to: { host: string; port: number }): Promise<DribblingProxy> {
    const sockets = new Set<Socket>()
    const pace = { isSlow: false }
    const server = createServer((client) => {
      const upstream = connect(to)
      for (const socket of [client, upstream]) {
        sockets.add(socket)
        socket.on('error', () => socket.destroy())
      }
      client.pipe(upstream)
      let waiting = Buffer.alloc(0)
      upstream.on('data', (data) => {
        waiting = Buffer.concat([waiting, data])
      })
      const timer = setInterval(() => {
        const size = pace.isSlow ? CHUNK_BYTES : waiting.length
        client.write(waiting.subarray(0, size))
        waiting = waiting.subarray(size)
      }, EVERY_MS)
      client.on('close', () => {
        clearInterval(timer)
        upstream.destroy()
      })
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    return new DribblingProxy(server, (server.address() as { port: number }).port, sockets, pace)
  }

  slowDown(): void {
    this.#pace.isSlow = true
  }

  close(): void {
    for (const socket of this.#sockets) socket.destroy()
    this.#server.close()
  }
}
