// The web server of the simulation: the contract of serve/server.ts without a socket.
//
// A client's request or message is a call; an answer is a call back. Each feed socket has a send
// buffer that empties only when its client reads: a client that does not is a slow subscriber.

import type {
  FeedSocket,
  HttpAnswer,
  HttpReply,
  Server,
  ServerOptions,
} from '../../src/serve/server.ts'

/** The other end of a feed socket. */
export interface FeedClient {
  /** A message of the server, in order, once it is read. */
  onMessage(text: string): void
  /** The socket is closed, by the server or with it. */
  onClose(): void
}

export class SimulatedWeb<Connection> implements Server {
  readonly #options: ServerOptions<Connection>
  readonly #replies = new Set<SimulatedReply>()
  readonly #sockets = new Set<SimulatedSocket<Connection>>()
  readonly #alter: (text: string) => string
  #isListening = false

  /** `alter`: what becomes of a message on its way to a subscriber. */
  constructor(options: ServerOptions<Connection>, alter: (text: string) => string) {
    this.#options = options
    this.#alter = alter
  }

  listen(): number {
    this.#isListening = true
    return 1
  }

  stopListening(): void {
    this.#isListening = false
  }

  close(): void {
    this.#isListening = false
    for (const socket of [...this.#sockets]) socket.end()
    for (const reply of [...this.#replies]) reply.abort()
  }

  /** The process is no more: clients notice, handlers are not called. */
  vanish(): void {
    this.#isListening = false
    for (const socket of [...this.#sockets]) socket.vanish()
    for (const reply of [...this.#replies]) reply.vanish()
  }

  /** False when nobody listens. `onEnd` gets the answer; undefined when there will be none. */
  post(
    path: string,
    query: string,
    idempotencyKey: string,
    body: Uint8Array,
    onEnd: (answer: HttpAnswer | undefined) => void,
  ): boolean {
    if (!this.#isListening) return false
    const reply: SimulatedReply = new SimulatedReply(body, (answer) => {
      this.#replies.delete(reply)
      onEnd(answer)
    })
    this.#replies.add(reply)
    this.#call(() =>
      this.#options.http(
        {
          method: 'POST',
          path,
          query: new URLSearchParams(query),
          contentType: 'application/x-ndjson',
          contentLengthBytes: body.length,
          idempotencyKey,
        },
        reply,
      ),
    )
    return true
  }

  /** A subscriber connects; undefined when nobody listens or it is refused. */
  connect(client: FeedClient): SimulatedSocket<Connection> | undefined {
    const { feed } = this.#options
    if (!this.#isListening) return undefined
    const protocol = feed.accept(['tickd.v1.json'])
    if (typeof protocol !== 'string') return undefined
    const socket: SimulatedSocket<Connection> = new SimulatedSocket(
      this.#options,
      { onMessage: (text) => client.onMessage(this.#alter(text)), onClose: () => client.onClose() },
      () => this.#sockets.delete(socket),
    )
    this.#sockets.add(socket)
    this.#call(() => socket.open(protocol))
    return socket
  }

  #call(handler: () => void): void {
    try {
      handler()
    } catch (error) {
      this.#options.onFailure(error)
    }
  }
}

class SimulatedReply implements HttpReply {
  done = false
  readonly #body: Uint8Array
  readonly #onEnd: (answer: HttpAnswer | undefined) => void
  #onAbort: (() => void) | undefined

  constructor(body: Uint8Array, onEnd: (answer: HttpAnswer | undefined) => void) {
    this.#body = body
    this.#onEnd = onEnd
  }

  readBody(bytesMax: number, onBody: (body: Uint8Array | undefined) => void): void {
    onBody(this.#body.length > bytesMax ? undefined : new Uint8Array(this.#body))
  }

  onAbort(handler: () => void): void {
    this.#onAbort = handler
  }

  send(answer: HttpAnswer): void {
    if (this.done) return
    this.done = true
    this.#onEnd(answer)
  }

  abort(): void {
    if (this.done) return
    this.vanish()
    this.#onAbort?.()
  }

  vanish(): void {
    if (this.done) return
    this.done = true
    this.#onEnd(undefined)
  }
}

export class SimulatedSocket<Connection> implements FeedSocket {
  readonly #options: ServerOptions<Connection>
  readonly #client: FeedClient
  readonly #onGone: () => void
  readonly #buffer: { text: string; size: number }[] = []
  #bufferedBytes = 0
  #connection: Connection | undefined
  #isOpen = true

  constructor(options: ServerOptions<Connection>, client: FeedClient, onGone: () => void) {
    this.#options = options
    this.#client = client
    this.#onGone = onGone
  }

  open(protocol: string): void {
    this.#connection = this.#options.feed.open(this, protocol)
  }

  // What the daemon calls.

  send(data: string | Uint8Array): boolean {
    if (!this.#isOpen) return false
    const text = typeof data === 'string' ? data : Buffer.from(data).toString()
    if (this.#bufferedBytes + text.length > this.#options.bufferBytesMax) return false
    this.#buffer.push({ text, size: text.length })
    this.#bufferedBytes += text.length
    return true
  }

  cork(work: () => void): void {
    work()
  }

  bufferedBytes(): number {
    return this.#bufferedBytes
  }

  end(): void {
    if (!this.#isOpen) return
    this.#isOpen = false
    this.#onGone()
    if (this.#connection !== undefined) this.#options.feed.close(this.#connection)
    // What was buffered goes out before the goodbye.
    this.#deliver(this.#buffer.length)
    this.#client.onClose()
  }

  // What the client calls.

  get isOpen(): boolean {
    return this.#isOpen
  }

  say(message: object): void {
    if (!this.#isOpen || this.#connection === undefined) return
    const bytes = new TextEncoder().encode(JSON.stringify(message))
    this.#options.feed.message(this.#connection, bytes, false)
  }

  /** Reads up to `count` messages. Returns how many there were. */
  read(count: number): number {
    const read = this.#deliver(count)
    if (read > 0 && this.#isOpen && this.#connection !== undefined) {
      this.#options.feed.drain(this.#connection)
    }
    return read
  }

  /** The client goes: what it has not read is lost to it. */
  cut(): void {
    if (!this.#isOpen) return
    this.vanish()
    if (this.#connection !== undefined) this.#options.feed.close(this.#connection)
  }

  vanish(): void {
    if (!this.#isOpen) return
    this.#isOpen = false
    this.#onGone()
    this.#client.onClose()
  }

  #deliver(count: number): number {
    const messages = this.#buffer.splice(0, count)
    for (const { text, size } of messages) {
      this.#bufferedBytes -= size
      this.#client.onMessage(text)
    }
    return messages.length
  }
}
