// Push over TCP: programs connect and send; back-pressure is TCP's.
//
// Nothing is parsed but the framing (tcp-framing.ts), or, for a stream that begins with a hello,
// the lines between batches (ack-session.ts): only such a stream is acknowledged. When the ring has
// no room, the socket is paused with the one piece of data that did not fit, the kernel's window
// closes, and the sender waits. A stream that breaks its framing loses its connection: the bytes
// that cannot be passed on are counted as dropped and the reason is logged.

import { createServer, type Server, type Socket } from 'node:net'
import type { Clock } from '../clock.ts'
import { assert, errorText, TickdError } from '../errors.ts'
import { PUSH_DURABLE_MS_MAX, TCP_READ_BYTES } from '../limits.ts'
import type { Log } from '../ops/log.ts'
import type { Receipt } from '../ring/feedback.ts'
import { FRAME_FORMAT } from '../ring/frame-format.ts'
import { AckDesk, type JournalPosition } from './ack-desk.ts'
import { type AckSession, HELLO } from './ack-session.ts'
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
  /** The journal of the shard: what an acknowledgement waits for, and says. */
  journal: JournalPosition
}

/** Buffers of TCP_READ_BYTES that are kept while nothing waits in them. */
const SPARES_MAX = 16

interface Connection {
  readonly id: number
  readonly socket: Socket
  readonly from: string
  /** Undefined until it is known whether the stream begins with a hello. */
  cutter: Cutter | undefined
  session: AckSession | undefined
  /** The other side sends no more. */
  isAllSent: boolean
  readonly take: TakeFrame
  /** Data that did not fit on the ring, from `offset` on, and when it came. */
  waiting: Buffer | undefined
  /** The memory of `waiting` where it had to be copied. */
  spare: Buffer | undefined
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
  /** Memory for what must wait: allocated anew it would ask for a collection every few reads. */
  readonly #spares: Buffer[] = []
  readonly #desk: AckDesk
  #nextId = 1
  #address = ''

  constructor({ config, path, sink, clock, log, capture, journal }: TcpPushOptions) {
    this.name = config.name
    this.#config = config
    this.#path = path
    this.#sink = sink
    this.#clock = clock
    this.#log = log
    this.#capture = capture
    const { name: source, format } = config
    this.#desk = new AckDesk({ source, format, sink, capture, journal, clock })
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
    let done = this.#acknowledge()
    for (const connection of [...this.#held]) {
      this.#held.delete(connection)
      if (this.#advance(connection)) done++
      // The ring is full for all; what waits for its own acknowledgements holds nobody up.
      else if (connection.session?.isWaiting !== true) break
    }
    return done
  }

  stop(): void {
    this.#server.close()
    for (const connection of this.#connections) {
      if (connection.ended) continue
      connection.ended = true
      connection.socket.pause()
      if (this.#advance(connection)) this.#endIfSettled(connection)
    }
  }

  drained(): boolean {
    if (this.#held.size > 0) return false
    // What was taken is acknowledged before we go: decode and journal are still at work.
    for (const { session } of this.#connections) {
      if (session !== undefined && session.sentCount > 0) return false
    }
    return true
  }

  async close(): Promise<void> {
    this.#server.close()
    for (const { socket } of this.#connections) socket.destroy()
    this.#connections.clear()
    this.#held.clear()
  }

  #accept(accepted: Socket): void {
    const id = this.#nextId++
    const from = `${accepted.remoteAddress ?? '?'}:${accepted.remotePort ?? '?'}`
    const socket = readInto(accepted, this.#read, (count) => {
      this.#receive(connection, this.#read.subarray(0, count))
    })
    const connection: Connection = {
      id,
      socket,
      from,
      cutter: undefined,
      session: undefined,
      isAllSent: false,
      take: this.#taker(id),
      waiting: undefined,
      spare: undefined,
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
    // Who waits for acknowledgements gets them first.
    socket.on('end', () => this.#endOfStream(connection))
    // 'close' comes after 'end' and after 'error': the one place where a stream ends.
    socket.on('close', () => this.#end(connection))
  }

  #receive(connection: Connection, data: Buffer): void {
    if (connection.ended) {
      // A refused or stopped stream: what still comes of it is not passed on.
      this.#sink.drop(data.length)
      return
    }
    const head = connection.cutter === undefined ? connection.waiting : undefined
    assert(connection.waiting === head, 'a paused socket sends no data')
    this.#sink.stamp()
    connection.recvSec = this.#sink.recvSec
    connection.recvNsec = this.#sink.recvNsec
    connection.waiting = head === undefined ? data : Buffer.concat([head, data])
    connection.offset = 0
    this.#advance(connection)
  }

  /** Passes on what waits. False when the ring is full: the socket is paused until `doWork`. */
  #advance(connection: Connection): boolean {
    const { waiting, socket } = connection
    this.#sink.stampAt(connection.recvSec, connection.recvNsec)
    if (waiting !== undefined) {
      const cutter = this.#cutterOf(connection, waiting)
      if (cutter === undefined) return true
      const from = connection.offset
      connection.offset = cutter.push(waiting, from, waiting.length, connection.take)
      if (cutter.refusal !== '') return this.#refuse(connection)
      if (connection.offset < waiting.length) return this.#hold(connection)
      this.#passed(connection)
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
      const spare = this.#spares.pop() ?? Buffer.allocUnsafeSlow(TCP_READ_BYTES)
      connection.waiting = spare.subarray(0, waiting.copy(spare, 0, offset))
      connection.spare = spare
      connection.offset = 0
    }
    this.#held.add(connection)
    if (connection.session?.isWaiting !== true) this.#sink.held()
    return false
  }

  /** Nothing waits any more; what it waited in is kept for the next that must. */
  #passed(connection: Connection): void {
    const { spare } = connection
    connection.waiting = undefined
    connection.spare = undefined
    if (spare !== undefined && this.#spares.length < SPARES_MAX) this.#spares.push(spare)
  }

  /** The stream is over: an unterminated last line still counts. */
  #finish(connection: Connection): boolean {
    if (connection.cutter?.flush(connection.take) === false) return this.#hold(connection)
    this.#dropRest(connection, 'the stream ended within a message')
    return true
  }

  #refuse(connection: Connection): true {
    connection.ended = true
    this.#sink.counters.add('refusals')
    this.#dropRest(connection, connection.cutter?.refusal ?? '')
    // The session has said why.
    if (connection.session === undefined) connection.socket.destroy()
    else connection.socket.destroySoon()
    return true
  }

  /** Bytes that will never be a frame are counted, and said. */
  #dropRest(connection: Connection, reason: string): void {
    const { cutter, waiting, offset, from } = connection
    const size = (cutter?.keptBytes ?? 0) + (waiting === undefined ? 0 : waiting.length - offset)
    this.#passed(connection)
    if (size === 0) return
    this.#sink.drop(size)
    this.#log.warn({ source: this.name, from, bytes: size, reason }, 'bytes dropped')
  }

  /** The other side has sent all; what it waits for it still gets. */
  #endOfStream(connection: Connection): void {
    connection.isAllSent = true
    this.#endIfSettled(connection)
  }

  #endIfSettled({ session, socket, isAllSent, ended }: Connection): void {
    if (session !== undefined && session.sentCount > 0) return
    if (isAllSent || session !== undefined) socket.end()
    else if (ended) socket.destroy()
  }

  /** What the stream is cut with. Undefined: too little has come to know. */
  #cutterOf(connection: Connection, head: Buffer): Cutter | undefined {
    if (connection.cutter !== undefined) return connection.cutter
    const size = Math.min(head.length, HELLO.length)
    const isHello = head.compare(HELLO, 0, size, 0, size) === 0
    if (isHello && size < HELLO.length && !connection.ended) {
      connection.waiting = Buffer.from(head)
      return undefined
    }
    const { format, chunk_bytes } = this.#config
    if (isHello && size === HELLO.length) {
      connection.session = this.#desk.open(connection.id, connection.socket)
    }
    const plain = () => (format === 'ndjson' ? new LineCutter(chunk_bytes) : new PackedCutter())
    connection.cutter = connection.session ?? plain()
    return connection.cutter
  }

  onReceipt(receipt: Receipt): void {
    this.#desk.onReceipt(receipt)
  }

  /** Answers all whose records have become durable. Returns how many batches. */
  #acknowledge(): number {
    let count = 0
    for (const connection of this.#connections) {
      const { session } = connection
      if (session === undefined || session.isSettled || session.refusal !== '') continue
      const done = session.settle(PUSH_DURABLE_MS_MAX)
      if (session.refusal !== '') this.#refuse(connection)
      else if (done > 0 && (connection.isAllSent || connection.ended)) {
        this.#endIfSettled(connection)
      }
      count += done
    }
    if (count > 0) this.#sink.counters.add('acks', count)
    return count
  }

  #end(connection: Connection): void {
    if (connection.session !== undefined) this.#desk.forget(connection.session)
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
