// The server contract over uWebSockets.js. Its measured traps, and what is done about each:
//
//   sharing      where the port is given it sets SO_REUSEPORT, so that a second daemon would bind in
//                silence: the daemon binds each address for a moment before it starts. Its EXCLUSIVE
//                is not for us: the port of a server that ended is then refused for a minute, while
//                its last connections linger, and a thread made anew could not serve
//   lifetimes    `req` lives for the handler only, `res` until abort or end, `ws` until close:
//                everything is copied out of `req`, and flags guard the other two
//   loss         `publish` does not count what it drops: it is not used, each socket is sent to
//   exit         open handles abort the process when a worker ends: close() closes them all
//   HEAD         the answer has a length and no body

import {
  App,
  type HttpRequest as UwsRequest,
  type HttpResponse as UwsResponse,
  type WebSocket as UwsSocket,
  type us_listen_socket,
  us_listen_socket_close,
  us_socket_local_port,
} from 'uWebSockets.js'
import { assert, TickdError } from '../errors.ts'
import type {
  FeedSocket,
  HttpAnswer,
  HttpReply,
  HttpRequest,
  Server,
  ServerOptions,
} from './server.ts'
import { STATUS_TEXT } from './server.ts'

/** LIBUS_LISTEN_DEFAULT; the package's enum cannot be imported under type stripping. */
const SHARED_PORT = 0
/** Seconds; the server pings before it closes a silent socket. */
const IDLE_SECONDS = 120
const SEND_DROPPED = 2

/** The package's types lack the form of `listen` with a host and options. */
interface HostListen {
  listen(
    host: string,
    port: number,
    options: number,
    onListen: (token: us_listen_socket | false) => void,
  ): void
}

interface UserData<Connection> {
  readonly protocol: string
  socket: UwsFeedSocket | undefined
  connection: Connection | undefined
}

export function createUwsServer<Connection>(options: ServerOptions<Connection>): Server {
  return new UwsServer(options)
}

class UwsServer<Connection> implements Server {
  readonly #options: ServerOptions<Connection>
  readonly #app = App()
  #token: us_listen_socket | undefined
  #closed = false

  constructor(options: ServerOptions<Connection>) {
    this.#options = options
    this.#app.ws<UserData<Connection>>(options.feedPath, this.#behaviour())
    this.#app.any('/*', (res, req) => {
      const reply = new UwsReply(res, req.getMethod(), options.onAnswer)
      this.#guard(() => options.http(readRequest(req), reply))
    })
  }

  listen(host: string, port: number): number {
    assert(this.#token === undefined, 'a server listens once')
    const app = this.#app as unknown as HostListen
    app.listen(host, port, SHARED_PORT, (token) => {
      if (token !== false) this.#token = token
    })
    if (this.#token === undefined) {
      throw new TickdError(
        'ADDRESS_IN_USE',
        `cannot listen on ${host}:${port}: the port is taken, or the address is not this ` +
          `machine's; stop the other program, or set serve.listen.host and serve.listen.port`,
      )
    }
    return us_socket_local_port(this.#token)
  }

  stopListening(): void {
    if (this.#token !== undefined) us_listen_socket_close(this.#token)
    this.#token = undefined
  }

  close(): void {
    if (this.#closed) return
    this.stopListening()
    this.#closed = true
    this.#app.close()
  }

  #behaviour() {
    const { feed, messageBytesMax, bufferBytesMax } = this.#options
    return {
      maxPayloadLength: messageBytesMax,
      maxBackpressure: bufferBytesMax,
      idleTimeout: IDLE_SECONDS,
      upgrade: (res: UwsResponse, req: UwsRequest, context: object) => {
        this.#guard(() => this.#upgrade(res, req, context))
      },
      open: (ws: UwsSocket<UserData<Connection>>) => {
        this.#guard(() => {
          const data = ws.getUserData()
          data.socket = new UwsFeedSocket(ws)
          data.connection = feed.open(data.socket, data.protocol)
        })
      },
      message: (ws: UwsSocket<UserData<Connection>>, message: ArrayBuffer, isBinary: boolean) => {
        this.#guard(() => {
          const { connection } = ws.getUserData()
          if (connection !== undefined) feed.message(connection, new Uint8Array(message), isBinary)
        })
      },
      drain: (ws: UwsSocket<UserData<Connection>>) => {
        this.#guard(() => {
          const { connection } = ws.getUserData()
          if (connection !== undefined) feed.drain(connection)
        })
      },
      close: (ws: UwsSocket<UserData<Connection>>) => {
        this.#guard(() => {
          const data = ws.getUserData()
          data.socket?.markClosed()
          if (data.connection !== undefined) feed.close(data.connection)
          data.connection = undefined
        })
      },
    }
  }

  #upgrade(res: UwsResponse, req: UwsRequest, context: object): void {
    const offered = req
      .getHeader('sec-websocket-protocol')
      .split(',')
      .map((name) => name.trim())
      .filter((name) => name !== '')
    const chosen = this.#options.feed.accept(offered)
    if (typeof chosen !== 'string') {
      const { status, code, message } = chosen
      const body = JSON.stringify({ error: { code, message } })
      new UwsReply(res, 'get', this.#options.onAnswer).send({
        status,
        contentType: 'application/json',
        body,
      })
      return
    }
    const data: UserData<Connection> = {
      protocol: chosen,
      socket: undefined,
      connection: undefined,
    }
    res.upgrade(
      data,
      req.getHeader('sec-websocket-key'),
      chosen,
      req.getHeader('sec-websocket-extensions'),
      context,
    )
  }

  /** An exception must not reach the native caller, which would end the process. */
  #guard(work: () => void): void {
    try {
      work()
    } catch (error) {
      this.#options.onFailure(error)
    }
  }
}

function readRequest(req: UwsRequest): HttpRequest {
  const length = req.getHeader('content-length')
  return {
    method: req.getMethod().toUpperCase(),
    path: req.getUrl(),
    query: new URLSearchParams(req.getQuery() ?? ''),
    contentType: (req.getHeader('content-type').split(';')[0] as string).trim().toLowerCase(),
    contentLengthBytes: length === '' ? -1 : Number(length),
    idempotencyKey: req.getHeader('idempotency-key').trim(),
  }
}

class UwsReply implements HttpReply {
  done = false
  readonly #res: UwsResponse
  readonly #isHead: boolean
  readonly #onAnswer: (status: number) => void
  #onAbort: (() => void) | undefined

  constructor(res: UwsResponse, method: string, onAnswer: (status: number) => void) {
    this.#res = res
    this.#onAnswer = onAnswer
    this.#isHead = method.toLowerCase() === 'head'
    res.onAborted(() => {
      if (this.done) return
      this.done = true
      this.#onAbort?.()
    })
  }

  onAbort(handler: () => void): void {
    this.#onAbort = handler
  }

  readBody(bytesMax: number, onBody: (body: Uint8Array | undefined) => void): void {
    const chunks: Uint8Array[] = []
    let size = 0
    this.#res.onData((chunk, isLast) => {
      if (this.done || size > bytesMax) return
      size += chunk.byteLength
      if (size > bytesMax) {
        onBody(undefined)
        return
      }
      // The chunk is only valid during the call.
      if (chunk.byteLength > 0) chunks.push(new Uint8Array(chunk.slice(0)))
      if (isLast) onBody(chunks.length === 1 ? (chunks[0] as Uint8Array) : Buffer.concat(chunks))
    })
  }

  send(answer: HttpAnswer): void {
    if (this.done) return
    this.done = true
    this.#onAnswer(answer.status)
    const res = this.#res
    res.cork(() => {
      res.writeStatus(`${answer.status} ${STATUS_TEXT[answer.status] ?? 'Unknown'}`)
      res.writeHeader('content-type', answer.contentType)
      res.writeHeader('cache-control', 'no-store')
      for (const [name, value] of Object.entries(answer.headers ?? {})) res.writeHeader(name, value)
      // A refused body may still be on its way: the connection cannot be used again.
      const mustClose = answer.status === 413
      if (this.#isHead) res.endWithoutBody(Buffer.byteLength(answer.body), mustClose)
      else res.end(answer.body as string, mustClose)
    })
  }
}

class UwsFeedSocket implements FeedSocket {
  readonly #ws: UwsSocket<unknown>
  #closed = false

  constructor(ws: UwsSocket<unknown>) {
    this.#ws = ws
  }

  /** After it, the native socket is gone and may not be touched. */
  markClosed(): void {
    this.#closed = true
  }

  send(data: string | Uint8Array, isBinary: boolean): boolean {
    if (this.#closed) return false
    return this.#ws.send(data, isBinary, false) !== SEND_DROPPED
  }

  cork(work: () => void): void {
    if (this.#closed) {
      work()
      return
    }
    let thrown: unknown
    this.#ws.cork(() => {
      // An exception must not pass through the native caller.
      try {
        work()
      } catch (error) {
        thrown = error
      }
    })
    if (thrown !== undefined) throw thrown
  }

  bufferedBytes(): number {
    return this.#closed ? 0 : this.#ws.getBufferedAmount()
  }

  end(code: number, reason: string): void {
    if (!this.#closed) this.#ws.end(code, reason)
  }
}
