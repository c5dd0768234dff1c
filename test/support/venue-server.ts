// A local exchange that speaks Binance's stream and snapshot protocol, scripted by tests: combined
// streams, SUBSCRIBE with acks and errors, pings whose pongs it checks, the message-rate limit,
// refusals at the upgrade, cuts, silence, serverShutdown, and book snapshots with weights.
//
// It is strict: what a real venue would close a connection for is noted in `violations`.

import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Duplex } from 'node:stream'
import { WebSocket, WebSocketServer } from 'ws'

const MESSAGES_PER_SECOND_MAX = 5
const STREAMS_MAX = 1024

export interface VenueConnection {
  readonly id: number
  readonly socket: WebSocket
  readonly path: string
  readonly streams: Set<string>
  /** Texts that the client sent, and when. */
  readonly received: { atMs: number; text: string }[]
  /** Payloads of pings sent and of pongs received. */
  readonly pings: string[]
  readonly pongs: string[]
}

interface Refusal {
  status: number
  count: number
  retryAfterSec: number | undefined
}

export class VenueServer {
  /** Connections open now, oldest first. */
  readonly connections: VenueConnection[] = []
  readonly violations: string[] = []
  /** Streams that SUBSCRIBE refuses. */
  readonly refusedStreams = new Set<string>()
  /** Symbols (upper case) that the REST interface does not know. */
  readonly unknownSymbols = new Set<string>()
  /** Snapshot requests, in order: 'BTCUSDT 1000'. */
  readonly snapshotRequests: string[] = []
  /** How errors are shaped: both occur. */
  errorShape: 'bare' | 'nested' | 'without-id' = 'bare'
  /** While true nothing is sent, not even answers; connections stay open. */
  silent = false
  weightMax = 6000
  upgradeCount = 0
  /** Upgrades refused so far. */
  refusalCount = 0
  /** Milliseconds before a snapshot is answered. */
  snapshotDelayMs = 0
  readonly #server: Server
  readonly #sockets = new WebSocketServer({ noServer: true, autoPong: true })
  readonly #refusals: Refusal[] = []
  readonly #restRefusals: Refusal[] = []
  readonly #lastTradeId = new Map<string, number>()
  readonly #lastUpdateId = new Map<string, number>()
  #usedWeight = 0
  #nextId = 1

  private constructor() {
    this.#server = createServer((request, response) => void this.#rest(request, response))
    this.#server.on('upgrade', (request, socket, head) => this.#upgrade(request, socket, head))
  }

  static async start(): Promise<VenueServer> {
    const venue = new VenueServer()
    await new Promise<void>((resolve) => venue.#server.listen(0, '127.0.0.1', resolve))
    return venue
  }

  get #port(): number {
    return (this.#server.address() as AddressInfo).port
  }

  get wsUrl(): string {
    return `ws://127.0.0.1:${this.#port}`
  }

  get restUrl(): string {
    return `http://127.0.0.1:${this.#port}`
  }

  async close(): Promise<void> {
    for (const { socket } of this.connections) socket.terminate()
    this.#server.closeAllConnections()
    await new Promise((resolve) => this.#server.close(resolve))
  }

  /** The next `count` upgrades get this status. */
  refuseUpgrades(status: number, count: number, retryAfterSec?: number): void {
    this.#refusals.push({ status, count, retryAfterSec })
  }

  /** The next `count` snapshot requests get this status. */
  refuseSnapshots(status: number, count: number, retryAfterSec?: number): void {
    this.#restRefusals.push({ status, count, retryAfterSec })
  }

  /** Sends one trade of the symbol to all who subscribed, or, `lost`, to nobody; returns its id. */
  trade(symbol: string, lost = false): number {
    const id = (this.#lastTradeId.get(symbol) ?? 1000) + 1
    this.#lastTradeId.set(symbol, id)
    const now = Date.now()
    const data = { e: 'trade', E: now, s: symbol, t: id, p: '100.10', q: '0.5', T: now, m: false }
    if (!lost) this.#publish(`${symbol.toLowerCase()}@trade`, JSON.stringify(data))
    return id
  }

  /** Sends one depth update of `ids` update ids; returns the last. `lost`: it is sent to nobody. */
  depth(symbol: string, ids = 1, lost = false): number {
    const before = this.#lastUpdateId.get(symbol) ?? 5000
    this.#lastUpdateId.set(symbol, before + ids)
    const data = {
      e: 'depthUpdate',
      E: Date.now(),
      s: symbol,
      U: before + 1,
      u: before + ids,
      b: [['100.00', '1.5']],
      a: [['100.20', '0.0']],
    }
    if (!lost) this.#publish(`${symbol.toLowerCase()}@depth`, JSON.stringify(data))
    return before + ids
  }

  /** Sends a depth update of one id with these levels, [price, quantity]; returns the id. */
  levels(symbol: string, bids: readonly string[][], asks: readonly string[][]): number {
    const id = (this.#lastUpdateId.get(symbol) ?? 5000) + 1
    this.#lastUpdateId.set(symbol, id)
    const data = { e: 'depthUpdate', E: Date.now(), s: symbol, U: id, u: id, b: bids, a: asks }
    this.#publish(`${symbol.toLowerCase()}@depth`, JSON.stringify(data))
    return id
  }

  /** Pings every connection. */
  ping(payload: string): void {
    if (this.silent) return
    for (const connection of this.connections) {
      connection.pings.push(payload)
      connection.socket.ping(payload)
    }
  }

  /** Announces the end of every open connection, as the venue does before a restart. */
  announceShutdown(): void {
    const data = JSON.stringify({ e: 'serverShutdown', E: Date.now() })
    for (const { socket } of this.connections) {
      socket.send(`{"stream":"!serverShutdown","data":${data}}`)
    }
  }

  /** Ends connections without a close frame, as a broken network does. */
  cut(connections: readonly VenueConnection[] = this.connections): void {
    for (const { socket } of [...connections]) socket.terminate()
  }

  #publish(stream: string, data: string): void {
    if (this.silent) return
    for (const { socket, streams } of this.connections) {
      if (streams.has(stream)) socket.send(`{"stream":"${stream}","data":${data}}`)
    }
  }

  #upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    this.upgradeCount++
    const refusal = takeRefusal(this.#refusals)
    if (refusal !== undefined) {
      this.refusalCount++
      const { status, retryAfterSec } = refusal
      const retry = retryAfterSec === undefined ? '' : `Retry-After: ${retryAfterSec}\r\n`
      socket.end(`HTTP/1.1 ${status} Refused\r\n${retry}Content-Length: 0\r\n\r\n`)
      return
    }
    this.#sockets.handleUpgrade(request, socket, head, (ws) => this.#accept(ws, request.url ?? ''))
  }

  #accept(socket: WebSocket, url: string): void {
    const { pathname, searchParams } = new URL(url, 'ws://venue')
    const streams = new Set(searchParams.get('streams')?.split('/') ?? [])
    const connection: VenueConnection = {
      id: this.#nextId++,
      socket,
      path: pathname,
      streams,
      received: [],
      pings: [],
      pongs: [],
    }
    this.connections.push(connection)
    socket.on('message', (data) => this.#receive(connection, String(data)))
    socket.on('pong', (payload) => connection.pongs.push(String(payload)))
    socket.on('close', () => {
      const index = this.connections.indexOf(connection)
      if (index >= 0) this.connections.splice(index, 1)
    })
    if (!pathname.endsWith('/stream')) this.violations.push(`unknown path ${pathname}`)
  }

  #receive(connection: VenueConnection, text: string): void {
    const atMs = performance.now()
    connection.received.push({ atMs, text })
    const lastSecond = connection.received.filter((message) => atMs - message.atMs < 1000)
    if (lastSecond.length > MESSAGES_PER_SECOND_MAX) {
      this.violations.push(`${lastSecond.length} messages within a second`)
      connection.socket.close(1008, 'Too many requests')
      return
    }
    const { method, params, id } = JSON.parse(text) as Record<string, unknown>
    if (method !== 'SUBSCRIBE' || !Array.isArray(params) || !Number.isInteger(id)) {
      this.violations.push(`not a SUBSCRIBE: ${text}`)
      this.#answerError(connection, 2, 'Invalid request', id)
      return
    }
    const names = params as string[]
    const refused = names.find((name) => this.refusedStreams.has(name))
    if (refused !== undefined) {
      this.#answerError(connection, 2, `Invalid request: invalid stream ${refused}`, id)
      return
    }
    for (const name of names) connection.streams.add(name)
    if (connection.streams.size > STREAMS_MAX) this.violations.push('more than 1024 streams')
    this.#answer(connection, JSON.stringify({ result: null, id }))
  }

  #answerError(connection: VenueConnection, code: number, msg: string, id: unknown): void {
    const shapes = {
      bare: { code, msg, id },
      nested: { error: { code, msg }, id },
      'without-id': { code, msg },
    }
    this.#answer(connection, JSON.stringify(shapes[this.errorShape]))
  }

  #answer({ socket }: VenueConnection, text: string): void {
    if (!this.silent && socket.readyState === WebSocket.OPEN) socket.send(text)
  }

  async #rest(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { pathname, searchParams } = new URL(request.url ?? '/', 'http://venue')
    const symbol = searchParams.get('symbol') ?? ''
    if (pathname.endsWith('/exchangeInfo')) {
      const limit = this.weightMax
      const entry = { rateLimitType: 'REQUEST_WEIGHT', interval: 'MINUTE', intervalNum: 1, limit }
      reply(response, 200, { rateLimits: [entry] })
      return
    }
    if (!pathname.endsWith('/depth')) {
      reply(response, 404, { code: -1, msg: 'no such path' })
      return
    }
    this.snapshotRequests.push(`${symbol} ${searchParams.get('limit')}`)
    if (this.snapshotDelayMs > 0) {
      await new Promise((resolve) => setTimeout(resolve, this.snapshotDelayMs))
    }
    this.#snapshot(response, symbol)
  }

  #snapshot(response: ServerResponse, symbol: string): void {
    const refusal = takeRefusal(this.#restRefusals)
    if (refusal !== undefined) {
      const { status, retryAfterSec } = refusal
      if (retryAfterSec !== undefined) response.setHeader('Retry-After', String(retryAfterSec))
      reply(response, status, { code: -1003, msg: 'Too many requests' })
      return
    }
    if (this.unknownSymbols.has(symbol)) {
      reply(response, 400, { code: -1121, msg: 'Invalid symbol.' })
      return
    }
    this.#usedWeight += 50
    response.setHeader('X-MBX-USED-WEIGHT-1M', String(this.#usedWeight))
    reply(response, 200, {
      lastUpdateId: this.#lastUpdateId.get(symbol) ?? 5000,
      bids: [['100.00', '1.5']],
      asks: [['100.20', '2.0']],
    })
  }
}

function takeRefusal(refusals: Refusal[]): Refusal | undefined {
  const refusal = refusals[0]
  if (refusal !== undefined && --refusal.count === 0) refusals.shift()
  return refusal
}

function reply(response: ServerResponse, status: number, body: object): void {
  response.writeHead(status, { 'Content-Type': 'application/json' })
  response.end(JSON.stringify(body))
}
