// Push over TCP: programs connect and send; back-pressure is TCP's.
//
// Nothing is acknowledged here and nothing is parsed but the framing (tcp-framing.ts). When the
// ring has no room, the socket is paused with the one piece of data that did not fit, the kernel's
// window closes, and the sender waits. A stream that breaks its framing loses its connection: the
// bytes that cannot be passed on are counted as dropped and the reason is logged.

import { createServer, type Server, type Socket } from 'node:net'
import type { Clock } from '../clock.ts'
import { assert, errorText, TickdError } from '../errors.ts'
import { TCP_READ_BYTES } from '../limits.ts'
import type { Log } from '../ops/log.ts'
import { FRAME_FORMAT } from '../ring/frame-format.ts'
import { LogRepeats } from './log-repeats.ts'
import type { SourceCapture } from './raw-capture.ts'
import { readInto } from './socket-read.ts'
import type { FrameSink, Source } from './source.ts'
import { type Cutter, LineCutter, PackedCutter, type TakeFrame } from './tcp-framing.ts'

export interface TcpConfig {
  name: string
  format: 'ndjson' | 'packed'
  listen: { host: string; port: number }
  connections_max: number
  chunk_bytes: number
}

export interface TcpPushOptions {
  config: TcpConfig
  /** Path of the source in the configuration, for messages: 'sources[1]'. */
  path: string
  sink: FrameSink
  clock: Clock
  log: Log
  capture?: SourceCapture | undefined
}

interface Connection {
  readonly id: number
  readonly socket: Socket
  readonly from: string
  readonly cutter: Cutter
  readonly take: TakeFrame
  /** Data that did not fit on the ring, from `offset` on, and when it came. */
  waiting: Buffer | undefined
  offset: number
  recvSec: number
  recvNsec: number
  ended: boolean
}

export class TcpPushSource implements Source {
  readonly name: string
  readonly #config: TcpConfig
  readonly #path: string
  readonly #sink: FrameSink
  readonly #clock: Clock
  readonly #log: Log
  readonly #capture: SourceCapture | undefined
  readonly #server: Server
  readonly #connections = new Set<Connection>()
  /** Connections with something that waits for room. */
  readonly #held = new Set<Connection>()
  readonly #refused: LogRepeats
  /** All connections read into it: what does not fit on the ring at once is copied. */
  readonly #read = Buffer.allocUnsafeSlow(TCP_READ_BYTES)
  #nextId = 1
  #address = ''

  constructor({ config, path, sink, clock, log, capture }: TcpPushOptions) {
    this.name = config.name
    this.#config = config
    this.#path = path
    this.#sink = sink
    this.#clock = clock
    this.#log = log
    this.#capture = capture
    this.#refused = new LogRepeats(log, 'connections refused: connections_max are open')
    this.#server = createServer({ noDelay: true, pauseOnConnect: true })
    this.#server.maxConnections = config.connections_max
    this.#server.on('connection', (socket) => this.#accept(socket))
    this.#server.on('drop', () => {
      sink.counters.add('refusals')
      this.#refused.note(clock.monoMs(), 0, { source: this.name })
    })
  }

  /** 'host:port' that it listens on; empty before `start`. */
  get address(): string {
    return this.#address
  }

  async start(): Promise<void> {
    const { host, port } = this.#config.listen
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', (error) => reject(listenError(error, host, port, this.#path)))
      this.#server.listen({ host, port }, resolve)
    })
    this.#server.removeAllListeners('error')
    this.#server.on('error', (error) => {
      this.#log.warn({ source: this.name, error: errorText(error) }, 'listener trouble')
    })
    const address = this.#server.address()
    assert(address !== null && typeof address === 'object', 'a TCP listener has an address')
    this.#address = `${host}:${address.port}`
  }

  doWork(): number {
    this.#refused.tick(this.#clock.monoMs())
    let done = 0
    for (const connection of this.#held) {
      this.#held.delete(connection)
      if (!this.#advance(connection)) break
      done++
    }
    return done
  }

  stop(): void {
    this.#server.close()
    for (const connection of this.#connections) {
      if (connection.ended) continue
      connection.ended = true
      connection.socket.pause()
      if (this.#advance(connection)) connection.socket.destroy()
    }
  }

  drained(): boolean {
    return this.#held.size === 0
  }

  async close(): Promise<void> {
    this.#server.close()
    for (const { socket } of this.#connections) socket.destroy()
    this.#connections.clear()
    this.#held.clear()
  }

  #accept(accepted: Socket): void {
    const isLines = this.#config.format === 'ndjson'
    const id = this.#nextId++
    const from = `${accepted.remoteAddress ?? '?'}:${accepted.remotePort ?? '?'}`
    const socket = readInto(accepted, this.#read, (count) => {
      this.#receive(connection, this.#read.subarray(0, count))
    })
    const connection: Connection = {
      id,
      socket,
      from,
      cutter: isLines ? new LineCutter(this.#config.chunk_bytes) : new PackedCutter(),
      take: this.#taker(id),
      waiting: undefined,
      offset: 0,
      recvSec: 0,
      recvNsec: 0,
      ended: false,
    }
    this.#connections.add(connection)
    this.#sink.counters.add('connects')
    this.#countConnections()
    this.#capture?.open(connection.id, `tcp://${connection.from}`)
    socket.on('error', (error) => {
      this.#log.info({ source: this.name, from: connection.from, error: errorText(error) }, 'reset')
    })
    // 'close' comes after 'end' and after 'error': the one place where a stream ends.
    socket.on('close', () => this.#end(connection))
  }

  #receive(connection: Connection, data: Buffer): void {
    if (connection.ended) {
      // A refused or stopped stream: what still comes of it is not passed on.
      this.#sink.drop(data.length)
      return
    }
    assert(connection.waiting === undefined, 'a paused socket sends no data')
    this.#sink.stamp()
    connection.recvSec = this.#sink.recvSec
    connection.recvNsec = this.#sink.recvNsec
    connection.waiting = data
    connection.offset = 0
    this.#advance(connection)
  }

  /** Passes on what waits. False when the ring is full: the socket is paused until `doWork`. */
  #advance(connection: Connection): boolean {
    const { cutter, waiting, socket } = connection
    this.#sink.stampAt(connection.recvSec, connection.recvNsec)
    if (waiting !== undefined) {
      const from = connection.offset
      connection.offset = cutter.push(waiting, from, waiting.length, connection.take)
      if (cutter.refusal !== '') return this.#refuse(connection)
      if (connection.offset < waiting.length) return this.#hold(connection)
      connection.waiting = undefined
    }
    if (connection.ended) return this.#finish(connection)
    if (socket.isPaused()) socket.resume()
    return true
  }

  #taker(id: number): TakeFrame {
    const sink = this.#sink
    const capture = this.#capture
    const format = FRAME_FORMAT[this.#config.format]
    return (a, aEnd, b, bStart, bEnd) => {
      if (!sink.offer(format, 0, 0, a, 0, aEnd, b, bStart, bEnd)) return false
      // Frames, not pieces of the stream: each line of a capture is decoded by itself.
      capture?.received(id, sink, Buffer.concat([a.subarray(0, aEnd), b.subarray(bStart, bEnd)]))
      return true
    }
  }

  #hold(connection: Connection): false {
    connection.socket.pause()
    const { waiting, offset } = connection
    if (waiting !== undefined && waiting.buffer === this.#read.buffer) {
      connection.waiting = Buffer.from(waiting.subarray(offset))
      connection.offset = 0
    }
    this.#held.add(connection)
    this.#sink.held()
    return false
  }

  /** The stream is over: an unterminated last line still counts. */
  #finish(connection: Connection): boolean {
    if (!connection.cutter.flush(connection.take)) return this.#hold(connection)
    this.#dropRest(connection, 'the stream ended within a message')
    return true
  }

  #refuse(connection: Connection): true {
    connection.ended = true
    this.#sink.counters.add('refusals')
    this.#dropRest(connection, connection.cutter.refusal)
    connection.socket.destroy()
    return true
  }

  /** Bytes that will never be a frame are counted, and said. */
  #dropRest(connection: Connection, reason: string): void {
    const { cutter, waiting, offset, from } = connection
    const size = cutter.keptBytes + (waiting === undefined ? 0 : waiting.length - offset)
    connection.waiting = undefined
    if (size === 0) return
    this.#sink.drop(size)
    this.#log.warn({ source: this.name, from, bytes: size, reason }, 'bytes dropped')
  }

  #end(connection: Connection): void {
    this.#connections.delete(connection)
    this.#sink.counters.add('disconnects')
    this.#countConnections()
    this.#capture?.closed(connection.id)
    if (connection.ended) return
    connection.ended = true
    this.#advance(connection)
  }

  #countConnections(): void {
    this.#sink.counters.set('connections', this.#connections.size)
  }
}

function listenError(error: NodeJS.ErrnoException, host: string, port: number, path: string) {
  return new TickdError(
    'ADDRESS_IN_USE',
    `cannot listen on ${host}:${port} (${error.code ?? errorText(error)}); free the address, or ` +
      `choose another with ${path}.listen.host and ${path}.listen.port`,
    { cause: error },
  )
}
