// A TCP proxy that cuts its connections: where a network would, between any two bytes; or all of
// them at once, when it is told to.

import { connect, createServer, type Server, type Socket } from 'node:net'

const UNCUT = { toServer: Number.POSITIVE_INFINITY, toClient: Number.POSITIVE_INFINITY }

export class CuttingProxy {
  readonly port: number
  /** Connections cut so far. */
  cuts = 0
  readonly #server: Server
  readonly #pairs = new Set<[Socket, Socket]>()

  private constructor(server: Server, port: number) {
    this.#server = server
    this.port = port
  }

  /**
   * Forwards to `target`. `budgets()` gives, for each new connection, the bytes that may pass to
   * the server and back before both ends are cut; Infinity = never.
   */
  static async start(
    target: number,
    budgets: () => { toServer: number; toClient: number } = () => UNCUT,
  ): Promise<CuttingProxy> {
    const server = createServer()
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const address = server.address()
    const port = typeof address === 'object' && address !== null ? address.port : 0
    const proxy = new CuttingProxy(server, port)
    server.on('connection', (client) => proxy.#forward(client, target, budgets()))
    return proxy
  }

  /** Cuts every connection that there is. Returns how many. */
  cutAll(): number {
    const count = this.#pairs.size
    for (const [client, upstream] of this.#pairs) {
      client.destroy()
      upstream.destroy()
    }
    this.cuts += count
    return count
  }

  async stop(): Promise<void> {
    for (const [client, upstream] of this.#pairs) {
      client.destroy()
      upstream.destroy()
    }
    await new Promise<void>((resolve) => this.#server.close(() => resolve()))
  }

  #forward(client: Socket, target: number, budget: { toServer: number; toClient: number }): void {
    const upstream = connect(target, '127.0.0.1')
    const pair: [Socket, Socket] = [client, upstream]
    this.#pairs.add(pair)
    const end = () => {
      client.destroy()
      upstream.destroy()
      this.#pairs.delete(pair)
    }
    for (const socket of pair) {
      socket.on('error', end)
      socket.on('close', end)
    }
    this.#pipe(client, upstream, budget.toServer, end)
    this.#pipe(upstream, client, budget.toClient, end)
  }

  #pipe(from: Socket, to: Socket, budgetBytes: number, end: () => void): void {
    let leftBytes = budgetBytes
    from.on('data', (data) => {
      if (data.length <= leftBytes) {
        leftBytes -= data.length
        if (to.write(data)) return
        from.pause()
        to.once('drain', () => from.resume())
        return
      }
      this.cuts++
      // What fits goes through, so that the cut is within a message, or just behind a COMMIT.
      to.end(data.subarray(0, leftBytes))
      leftBytes = 0
      from.pause()
      to.once('finish', end)
    })
  }
}
