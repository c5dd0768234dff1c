// A connection to the feed that stays: it reconnects, subscribes again, asks for what it missed.
//
//   idle ─→ connecting ─→ open ─→ waiting (back-off) ─→ connecting … ─→ closed
//
// One socket, any number of subscriptions. It reads no files and no environment, and names no
// module of Node: the socket is the platform's `WebSocket`, or the one that is given.

import { binaryFrame, type Frame, textFrame } from './frames.ts'
import { fetchInstruments } from './instruments.ts'
import type { FillRange, Link } from './link.ts'
import {
  type Ack,
  type Change,
  FeedError,
  type Protocol,
  type ServerMessage,
  type SubscribeRequest,
  type SymbolResult,
  type UpdateAck,
  type Welcome,
} from './messages.ts'
import type { FeedOptions, FeedState } from './options.ts'
import type { Handlers } from './outlet.ts'
import type { Instrument } from './record.ts'
import { Requests } from './requests.ts'
import { platformSocket, type Socket } from './socket.ts'
import { newStats, type Stats } from './stats.ts'
import { Subscription } from './subscription.ts'

const PROTOCOL: Protocol = 'fb'
const QUEUE_RECORDS_MAX = 262_144
const BACKOFF_MS = [250, 10_000] as const
const CONNECT_MS_MAX = 15_000
/** The protocol's own number of heartbeats after which a silent connection is dead. */
const SILENT_HEARTBEATS_MAX = 3
/** Refused for what it is: trying again would change nothing. */
const FINAL_CLOSES: ReadonlySet<number> = new Set([1009, 4000, 4001])
/** Going back is refused: too old, damaged, or several shards. Live is what is left. */
const FROM_ERRORS: ReadonlySet<string> = new Set([
  'from_unavailable',
  'replay_aged_out',
  'unknown_sequence',
  'replay_failed',
])

/** Opens the feed. It reconnects by itself until `close`. */
export function connect(url: string, options: FeedOptions = {}): Feed {
  return new Feed(url, options)
}

export class Feed {
  readonly url: string
  readonly stats: Stats = newStats()
  state: FeedState = 'connecting'
  /** The newest greeting of the server. */
  welcome: Welcome | undefined
  readonly #options: FeedOptions
  readonly #link: Link
  readonly #subscriptions = new Set<Subscription>()
  readonly #byStream = new Map<number, Subscription>()
  readonly #names = new Map<number, Instrument>()
  readonly #requests = new Requests((message) => this.#send(message))
  #socket: Socket | undefined
  #attempts = 0
  #heardAtMs = 0
  #isPaused = false
  #timer: ReturnType<typeof setTimeout> | undefined
  #watch: ReturnType<typeof setInterval> | undefined

  constructor(url: string, options: FeedOptions) {
    this.url = url
    this.#options = options
    this.#link = {
      queueRecordsMax: options.queueRecordsMax ?? QUEUE_RECORDS_MAX,
      fillsGaps: options.fillGaps ?? true,
      fill: (subscription, range) => this.#fill(subscription, range),
      update: (subscription, change) => this.#update(subscription, change),
      unsubscribe: (subscription) => this.#unsubscribe(subscription),
      onPressure: () => this.#relieve(),
    }
    this.#open()
  }

  /** Subscribes now, or as soon as there is a connection. With `batch` it calls; else iterate. */
  subscribe(request: SubscribeRequest, handlers: Handlers = {}): Subscription {
    const subscription = new Subscription(this.#link, request, handlers)
    this.#subscriptions.add(subscription)
    if (this.state === 'open') this.#subscribe(subscription)
    else if (this.state === 'closed')
      subscription.end(new FeedError('closed', 'the feed is closed'))
    return subscription
  }

  /** Milliseconds to the server and back. */
  async ping(): Promise<number> {
    const startMs = performance.now()
    await new Promise<unknown>((resolve, reject) => {
      if (this.state !== 'open') {
        reject(noConnection())
        return
      }
      this.#requests.ask({ op: 'ping' }, resolve, reject)
    })
    return performance.now() - startMs
  }

  /** Ends the connection and every subscription. */
  close(): void {
    this.#finish(undefined)
  }

  /** Ends the socket as a fault of the network would: it reconnects. For tests. */
  cut(): void {
    this.#drop('cut')
  }

  #open(): void {
    const { protocol = PROTOCOL, WebSocket = platformSocket() } = this.#options
    this.#setState('connecting', undefined)
    const socket = new WebSocket(this.url, [`tickd.v1.${protocol}`]) as Socket
    socket.binaryType = 'arraybuffer'
    this.#socket = socket
    this.#isPaused = false
    this.#heardAtMs = performance.now()
    socket.onmessage = ({ data }) => {
      if (this.#socket === socket) this.#onData(data)
    }
    // The close that follows tells more.
    socket.onerror = () => {}
    socket.onclose = ({ code, reason }) => {
      if (this.#socket === socket) this.#onClose(code, reason)
    }
    clearInterval(this.#watch)
    this.#watch = setInterval(() => this.#checkAlive(), 1000)
  }

  #onData(data: unknown): void {
    this.#heardAtMs = performance.now()
    this.stats.frames++
    if (typeof data === 'string') {
      this.stats.bytes += data.length
      const message = JSON.parse(data) as ServerMessage
      if (message.op === 'data') this.#onFrame(textFrame(message, data))
      else this.#onMessage(message)
    } else {
      const bytes = new Uint8Array(data as ArrayBuffer)
      this.stats.bytes += bytes.byteLength
      this.#onFrame(binaryFrame(bytes, this.#options.protocol ?? PROTOCOL))
    }
  }

  #onFrame({ head, toBatch, payload }: Frame): void {
    const subscription = this.#byStream.get(head.stream)
    if (subscription === undefined) return
    const batch = toBatch(this.#names, subscription.kindOf(head))
    this.stats.records += batch.count
    if (batch.count > 0 && !batch.isImage && !batch.isReplay) {
      const latencyMs = Date.now() - batch.receivedMs(batch.count - 1)
      this.stats.latencyMs = latencyMs
      subscription.stats.latencyMs = latencyMs
    }
    subscription.onBatch(batch, payload)
  }

  #onMessage(message: ServerMessage): void {
    const { op, stream } = message
    if (this.#requests.answer(message)) return
    if (op === 'welcome') this.#onWelcome(message as unknown as Welcome)
    else if (op === 'auth_required') this.#authenticate()
    else if (op === 'instruments') this.#learn(message.instruments as Instrument[])
    else if (op === 'heartbeat') {
      for (const [key, nextSeq] of Object.entries(message.streams as Record<string, number>)) {
        this.#byStream.get(Number(key))?.onHeartbeat(nextSeq)
      }
    } else if (op === 'slow') this.stats.slow++
    else if (typeof stream === 'number') this.#byStream.get(stream)?.onMessage(message)
  }

  #authenticate(): void {
    const { token } = this.#options
    if (token !== undefined) this.#send({ op: 'auth', token })
    else this.#finish(new FeedError('auth_required', 'the daemon wants a key: give a token', 4001))
  }

  #onWelcome(welcome: Welcome): void {
    this.welcome = welcome
    this.#attempts = 0
    this.#setState('open', undefined)
    for (const subscription of this.#subscriptions) this.#subscribe(subscription)
  }

  #subscribe(subscription: Subscription, from = subscription.from()): void {
    const { channel, symbols, slow, shard } = subscription.request
    this.#requests.ask({ op: 'subscribe', channel, symbols, slow, shard, from }, (answer) => {
      if (subscription.isClosed) this.#dropLate(answer)
      else if (answer.op === 'ack') this.#onAck(subscription, answer as unknown as Ack)
      else if (answer.op === 'error') {
        this.#onRefused(subscription, answer, typeof from === 'object')
      } else subscription.onMessage(answer)
    })
  }

  /** It was closed before the server had answered. */
  #dropLate({ op, stream }: ServerMessage): void {
    if (op === 'ack') this.#requests.ask({ op: 'unsubscribe', stream }, () => {})
  }

  #onAck(subscription: Subscription, ack: Ack): void {
    this.#learnSymbols(ack.symbols)
    this.#byStream.set(ack.stream, subscription)
    subscription.onAck(ack)
  }

  #learnSymbols(symbols: readonly SymbolResult[]): void {
    for (const { instruments = [], instrument_count: count = 0 } of symbols) {
      this.#learn(instruments)
      if (count > instruments.length) this.#loadInstruments()
    }
  }

  #update(subscription: Subscription, change: Change): Promise<UpdateAck> {
    const { stream } = subscription
    return new Promise((resolve, reject) => {
      if (this.#byStream.get(stream) !== subscription) {
        reject(noConnection())
        return
      }
      const onAnswer = (answer: ServerMessage) => {
        if (answer.op === 'ack') {
          const ack = answer as unknown as UpdateAck
          this.#learnSymbols(ack.symbols)
          this.#forgetFormer(stream, subscription)
          if (!subscription.isClosed) this.#byStream.set(ack.stream, subscription)
          else this.#requests.ask({ op: 'unsubscribe', stream: ack.stream }, () => {})
          subscription.onUpdate(ack, change)
          resolve(ack)
          return
        }
        const error = FeedError.of(answer)
        // It is being replayed or filled.
        const { retryAfterMs } = error
        if (retryAfterMs === undefined) reject(error)
        else
          setTimeout(() => this.#update(subscription, change).then(resolve, reject), retryAfterMs)
      }
      this.#requests.ask({ op: 'update', stream, ...change }, onAnswer, reject)
    })
  }

  #onRefused(subscription: Subscription, answer: ServerMessage, wasResume: boolean): void {
    const error = FeedError.of(answer)
    if (wasResume && subscription.ack !== undefined && FROM_ERRORS.has(error.name)) {
      // What lies between cannot be had here: begin anew, and the ack shows how much is missing.
      this.#subscribe(subscription, subscription.request.from === 'snapshot' ? 'snapshot' : 'live')
    } else if (error.retryAfterMs !== undefined) {
      setTimeout(() => {
        if (this.state === 'open' && !subscription.isClosed) this.#subscribe(subscription)
      }, error.retryAfterMs)
    } else {
      this.#subscriptions.delete(subscription)
      subscription.end(error)
    }
  }

  #fill(subscription: Subscription, range: FillRange): boolean {
    if (this.state !== 'open') return false
    const { stream } = range
    // Of a stream that an update has left only fills come.
    if (!this.#byStream.has(stream)) this.#byStream.set(stream, subscription)
    this.#requests.ask({ op: 'fill', ...range }, (answer) => {
      const isEnd = answer.op !== 'ack' && answer.retry_after_ms === undefined
      if (isEnd && stream !== subscription.stream) this.#forgetFormer(stream, subscription)
      if (answer.op === 'replay_completed') subscription.onMessage(answer)
      if (answer.op !== 'error') return
      const { retryAfterMs } = FeedError.of(answer)
      if (retryAfterMs === undefined) subscription.onFillEnd()
      else {
        setTimeout(() => {
          // After a reconnect the subscription has asked again by itself.
          if (this.#byStream.get(stream) === subscription) this.#fill(subscription, range)
        }, retryAfterMs)
      }
    })
    return true
  }

  #forgetFormer(stream: number, subscription: Subscription): void {
    if (this.#byStream.get(stream) === subscription) this.#byStream.delete(stream)
  }

  #unsubscribe(subscription: Subscription): void {
    this.#subscriptions.delete(subscription)
    const { stream } = subscription
    if (this.#byStream.get(stream) !== subscription) return
    this.#byStream.delete(stream)
    if (this.state === 'open') this.#requests.ask({ op: 'unsubscribe', stream }, () => {})
    this.#relieve()
  }

  #loadInstruments(): void {
    const learn = (instruments: readonly Instrument[]) => this.#learn(instruments)
    // Without them records have no names yet: shown as null, which is true.
    fetchInstruments(this.url, this.#options.token, learn).catch(() => {})
  }

  #learn(instruments: readonly Instrument[]): void {
    for (const instrument of instruments) this.#names.set(instrument.id, instrument)
  }

  /** Lets the socket wait while a reader is behind, where the socket can. */
  #relieve(): void {
    const socket = this.#socket
    if (socket?.pause === undefined || socket.resume === undefined) return
    let fullest = 0
    for (const { queuedCount } of this.#subscriptions) fullest = Math.max(fullest, queuedCount)
    const { queueRecordsMax } = this.#link
    if (!this.#isPaused && fullest > queueRecordsMax / 2) {
      this.#isPaused = true
      socket.pause()
    } else if (this.#isPaused && fullest <= queueRecordsMax / 4) {
      this.#isPaused = false
      this.#heardAtMs = performance.now()
      socket.resume()
    }
  }

  #checkAlive(): void {
    const heartbeatMs = this.welcome?.limits.heartbeat_ms ?? 0
    const isOpen = this.state === 'open'
    const silentMsMax = isOpen ? heartbeatMs * SILENT_HEARTBEATS_MAX + 1000 : CONNECT_MS_MAX
    if (this.state === 'waiting' || this.#isPaused) return
    if (performance.now() - this.#heardAtMs > silentMsMax) this.#drop('silent')
  }

  #drop(reason: string): void {
    const socket = this.#socket
    if (socket === undefined) return
    this.#onClose(0, reason)
    socket.close()
  }

  #onClose(code: number, reason: string): void {
    this.#socket = undefined
    clearInterval(this.#watch)
    const error = new FeedError('disconnected', `the connection ended: ${code} ${reason}`, code)
    this.#forget(error)
    const [firstMs, longestMs] = this.#options.backoffMs ?? BACKOFF_MS
    if (FINAL_CLOSES.has(code) || longestMs === 0) {
      this.#finish(error)
      return
    }
    if (this.state === 'open') this.stats.reconnects++
    const waitMs = Math.min(longestMs, firstMs * 2 ** this.#attempts++)
    this.#setState('waiting', error)
    // Jitter: a thousand clients of a restarted daemon do not come in the same millisecond.
    this.#timer = setTimeout(() => this.#open(), waitMs * (0.5 + Math.random() / 2))
  }

  #finish(error: FeedError | undefined): void {
    if (this.state === 'closed') return
    clearInterval(this.#watch)
    clearTimeout(this.#timer)
    const socket = this.#socket
    this.#socket = undefined
    socket?.close(1000)
    for (const subscription of [...this.#subscriptions]) subscription.end(error)
    this.#subscriptions.clear()
    this.#forget(error ?? new FeedError('closed', 'the feed was closed'))
    this.#setState('closed', error)
  }

  /** What belonged to the connection that has ended. */
  #forget(error: FeedError): void {
    this.#byStream.clear()
    this.#requests.end(error)
  }

  /** Fields that are undefined are not sent. */
  #send(message: object): void {
    this.#socket?.send(JSON.stringify(message))
  }

  #setState(state: FeedState, error: FeedError | undefined): void {
    this.state = state
    this.#options.onState?.(state, error)
  }
}

function noConnection(): FeedError {
  return new FeedError('disconnected', 'there is no connection')
}
