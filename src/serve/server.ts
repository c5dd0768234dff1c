// What serve needs of a web server, in our own words: the contract, without the server.
//
// uws-server.ts implements it. Another server can take its place as long as it keeps these
// promises: handlers run on the calling thread, one at a time; bytes given to `send` are copied
// before it returns; nothing is called after `close` of the socket or the server.

import type { TlsFiles } from './access/certificate.ts'
import type { Pass } from './access/pass.ts'

/** Who asks, as far as a request tells. */
export interface Visit {
  readonly address: string
  /** The headers of these names; '' when absent. */
  readonly authorization: string
  readonly origin: string
  readonly host: string
  /** `?token=`; '' when absent. */
  readonly queryToken: string
}

export interface HttpRequest {
  /** Absent where no network is between: a simulation. */
  readonly visit?: Visit
  /** Upper case. */
  readonly method: string
  readonly path: string
  readonly query: URLSearchParams
  /** The media type alone, lower case; '' when absent. */
  readonly contentType: string
  /** Of the body, as declared; -1 when not declared. */
  readonly contentLengthBytes: number
  /** The header of that name; '' when absent. */
  readonly idempotencyKey: string
  /** What it was let in with; absent = nothing is demanded. */
  pass?: Pass
}

export interface HttpReply {
  /** True once the client has gone or the answer is sent: nothing more may be done. */
  readonly done: boolean
  /** The body waits until `readBody`: to be called at once by who answers later. */
  hold?(): void
  /** Collects the body; `undefined` when it is longer than bytesMax. Not called after an abort. */
  readBody(bytesMax: number, onBody: (body: Uint8Array | undefined) => void): void
  /** Called once if the client goes before the answer is sent. */
  onAbort(handler: () => void): void
  /** Answers. Ignored when `done`. */
  send(answer: HttpAnswer): void
}

export interface HttpAnswer {
  readonly status: number
  readonly contentType: string
  readonly body: string | Uint8Array
  readonly headers?: Readonly<Record<string, string>>
}

export type HttpHandler = (request: HttpRequest, reply: HttpReply) => void

/** One WebSocket. */
export interface FeedSocket {
  /** False when the socket is closed, or its buffer beyond the server's own hard limit. */
  send(data: string | Uint8Array, isBinary: boolean): boolean
  /** What `work` sends, by `send`, goes to the kernel in one go. */
  cork(work: () => void): void
  /** Bytes accepted by `send` that the kernel has not yet taken. */
  bufferedBytes(): number
  /** Says goodbye behind whatever is buffered; the close handler runs before it returns. */
  end(code: number, reason: string): void
}

/** Why a WebSocket is refused, as an HTTP answer. */
export interface FeedRefusal {
  readonly status: number
  readonly code: string
  readonly message: string
  readonly retryAfterMs?: number
}

export interface FeedHandler<Connection> {
  /** Chooses the sub-protocol ('' = none is named in the answer) or refuses. */
  accept(offered: readonly string[]): string | FeedRefusal
  open(socket: FeedSocket, protocol: string, pass?: Pass): Connection
  /** `data` is only valid during the call. */
  message(connection: Connection, data: Uint8Array, isBinary: boolean): void
  /** The socket's buffer has shrunk. */
  drain(connection: Connection): void
  close(connection: Connection): void
}

export interface ServerOptions<Connection> {
  readonly feedPath: string
  readonly feed: FeedHandler<Connection>
  readonly http: HttpHandler
  /** Asked before a handshake is answered; may answer later. Absent = all may. */
  readonly admit?: (visit: Visit, answer: (verdict: Pass | FeedRefusal) => void) => void
  /** A connection has come, as one of `count`; false = it is closed at once. */
  readonly connects?: (address: string, count: number) => boolean
  /** The number of connections has changed. */
  readonly onConnections?: (count: number) => void
  /** Absent = no TLS. */
  readonly tls?: TlsFiles
  /** Longest message that a client may send on the feed. */
  readonly messageBytesMax: number
  /** Hard limit of a socket's send buffer; the feed keeps well below it. */
  readonly bufferBytesMax: number
  /** Told of the status of each HTTP answer. */
  readonly onAnswer: (status: number) => void
  /** A handler threw: a bug. The server goes on; the owner decides. */
  readonly onFailure: (error: unknown) => void
}

export interface Server {
  /** Binds, or throws TickdError ADDRESS_IN_USE. Returns the port (that was free, if 0). */
  listen(host: string, port: number): number
  /** Goes on with the certificate that the files have now; open connections keep theirs. */
  renewTls?(): void
  /** Takes no new connections; open ones go on. */
  stopListening(): void
  /** Ends everything at once. Safe to repeat. */
  close(): void
}

export const STATUS_TEXT: Readonly<Record<number, string>> = Object.freeze({
  200: 'OK',
  204: 'No Content',
  400: 'Bad Request',
  401: 'Unauthorized',
  403: 'Forbidden',
  404: 'Not Found',
  405: 'Method Not Allowed',
  409: 'Conflict',
  413: 'Content Too Large',
  415: 'Unsupported Media Type',
  429: 'Too Many Requests',
  500: 'Internal Server Error',
  503: 'Service Unavailable',
  504: 'Gateway Timeout',
})
