// The server contract over uWebSockets.js. Its measured traps, and what is done about each:
//
//   sharing      where the port is given it sets SO_REUSEPORT, so that a second daemon would bind
//                in silence: the daemon binds each address for a moment before it starts. Its
//                EXCLUSIVE is not for us: the port of a server that ended is then refused for a
//                minute, while its last connections linger, and a thread made anew could not serve
//   lifetimes    `req` lives for the handler only, `res` until abort or end, `ws` until close:
//                everything is copied out of `req`, and flags guard the other two
//   loss         `publish` does not count what it drops: it is not used, each socket is sent to
//   too long     it closes a socket without a code on a message that exceeds its limit: ours is
//                below its, and says so
//   certificate  an app keeps the one it was made with: a new app takes over the port
//   exit         open handles abort the process when a worker ends: close() closes them all
//   filter       is told of connections, but not of those that become WebSockets and close
//   headers      a request that is not complete 10 s after it began is closed; nothing to set
//   HEAD         the answer has a length and no body

import {
  App,
  SSLApp,
  type TemplatedApp,
  type HttpRequest as UwsRequest,
  type HttpResponse as UwsResponse,
  type WebSocket as UwsSocket,
  type us_listen_socket,
  us_listen_socket_close,
  us_socket_local_port,
} from 'uWebSockets.js'
import { assert, TickdError } from '../errors.ts'
import { FEED_MESSAGE_BYTES_RECEIVED_MAX } from '../limits.ts'
import { checkCertificate } from './access/certificate.ts'
import { Pass } from './access/pass.ts'
import { sendRefusal } from './access/refusal.ts'
import { CLOSE_CODES } from './feed/errors.ts'
import type { FeedRefusal, FeedSocket, Server, ServerOptions } from './server.ts'
import { addressOf, readRequest, readVisit, UwsReply } from './uws-reply.ts'

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
  readonly pass: Pass
  socket: UwsFeedSocket | undefined
  connection: Connection | undefined
}

export function createUwsServer<Connection>(options: ServerOptions<Connection>): Server {
  return new UwsServer(options)
}

class UwsServer<Connection> implements Server {
  readonly #options: ServerOptions<Connection>
  #host = ''
  /** The last one takes connections; the others are of earlier certificates. */
  readonly #apps: TemplatedApp[]
  #token: us_listen_socket | undefined
  #connectionCount = 0
  #closed = false

  constructor(options: ServerOptions<Connection>) {
    this.#options = options
    this.#apps = [this.#newApp()]
  }

  listen(host: string, port: number): number {
    assert(this.#token === undefined, 'a server listens once')
    this.#host = host
    this.#token = listenOn(this.#apps.at(-1) as TemplatedApp, host, port)
    if (this.#token === undefined) {
      throw new TickdError(
        'ADDRESS_IN_USE',
        `cannot listen on ${host}:${port}: the port is taken, or the address is not this ` +
          `machine's; stop the other program, or set serve.listen.host and serve.listen.port`,
      )
    }
    return us_socket_local_port(this.#token)
  }

  renewTls(): void {
    const old = this.#token
    if (this.#closed || old === undefined) return
    const app = this.#newApp()
    // Both listen for a moment: no connection is refused.
    const token = listenOn(app, this.#host, us_socket_local_port(old))
    if (token === undefined) {
      app.close()
      throw new TickdError('ADDRESS_IN_USE', 'the port cannot be shared with the new certificate')
    }
    this.#apps.push(app)
    this.#token = token
    us_listen_socket_close(old)
  }

  stopListening(): void {
    if (this.#token !== undefined) us_listen_socket_close(this.#token)
    this.#token = undefined
  }

  close(): void {
    if (this.#closed) return
    this.stopListening()
    this.#closed = true
    for (const app of this.#apps) app.close()
  }

  #newApp(): TemplatedApp {
    const { tls, feedPath, http, onAnswer } = this.#options
    if (tls !== undefined) checkCertificate(tls)
    const app =
      tls === undefined
        ? App()
        : SSLApp({ cert_file_name: tls.cert_file, key_file_name: tls.key_file })
    app.filter((res, change) => this.#guard(() => this.#countConnection(res, change)))
    app.ws<UserData<Connection>>(feedPath, this.#behaviour())
    app.any('/*', (res, req) => {
      const reply = new UwsReply(res, req.getMethod(), onAnswer)
      this.#guard(() => http(readRequest(res, req), reply))
    })
    return app
  }

  #countConnection(res: UwsResponse, change: number): void {
    const { connects, onConnections } = this.#options
    this.#connectionCount += change
    onConnections?.(this.#connectionCount)
    if (change < 0 || connects === undefined) return
    if (!connects(addressOf(res), this.#connectionCount)) res.close()
  }

  #behaviour() {
    const { feed, messageBytesMax, bufferBytesMax, onConnections } = this.#options
    return {
      maxPayloadLength: Math.max(messageBytesMax, FEED_MESSAGE_BYTES_RECEIVED_MAX),
      maxBackpressure: bufferBytesMax,
      idleTimeout: IDLE_SECONDS,
      upgrade: (res: UwsResponse, req: UwsRequest, context: object) => {
        this.#guard(() => this.#upgrade(res, req, context))
      },
      open: (ws: UwsSocket<UserData<Connection>>) => {
        this.#guard(() => {
          const data = ws.getUserData()
          data.socket = new UwsFeedSocket(ws)
          const connection = feed.open(data.socket, data.protocol, data.pass)
          // It may be closed by what it is told first.
          if (data.socket.isClosed) feed.close(connection)
          else data.connection = connection
        })
      },
      message: (ws: UwsSocket<UserData<Connection>>, message: ArrayBuffer, isBinary: boolean) => {
        this.#guard(() => {
          const { connection, socket } = ws.getUserData()
          if (connection === undefined) return
          if (message.byteLength <= messageBytesMax) {
            feed.message(connection, new Uint8Array(message), isBinary)
          } else socket?.end(CLOSE_CODES.too_large.code, `at most ${messageBytesMax} bytes`)
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
          onConnections?.(--this.#connectionCount)
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
    const { feed, admit, onAnswer } = this.#options
    const reply = new UwsReply(res, 'get', onAnswer)
    const protocol = feed.accept(offered)
    if (typeof protocol !== 'string') {
      sendRefusal(reply, protocol)
      return
    }
    const key = req.getHeader('sec-websocket-key')
    const extensions = req.getHeader('sec-websocket-extensions')
    const settle = (verdict: Pass | FeedRefusal) => {
      if (reply.done) return
      if (!(verdict instanceof Pass)) {
        sendRefusal(reply, verdict)
        return
      }
      reply.done = true
      const data: UserData<Connection> = {
        protocol,
        pass: verdict,
        socket: undefined,
        connection: undefined,
      }
      res.cork(() => res.upgrade(data, key, protocol, extensions, context))
    }
    if (admit === undefined) settle(Pass.open)
    else admit(readVisit(res, req), (verdict) => this.#guard(() => settle(verdict)))
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

function listenOn(app: TemplatedApp, host: string, port: number): us_listen_socket | undefined {
  let listening: us_listen_socket | undefined
  const listener = app as unknown as HostListen
  listener.listen(host, port, SHARED_PORT, (token) => {
    if (token !== false) listening = token
  })
  return listening
}

class UwsFeedSocket implements FeedSocket {
  readonly #ws: UwsSocket<unknown>
  #closed = false

  constructor(ws: UwsSocket<unknown>) {
    this.#ws = ws
  }

  get isClosed(): boolean {
    return this.#closed
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
