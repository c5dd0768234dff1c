// Source for Binance.US, binance.com spot and USD-M futures: sockets and requests.
//
// What to do when is decided by pure parts (session, subscriber, snapshot queue); this file carries
// it out and passes every frame on, control replies too, for the decoder accounts for all of them.
// A venue cannot be held back: when the ring is full its frames are dropped, counted, logged and
// recorded (frame-loss.ts), and the decoder finds the gap by the venue's own ids.

import type { WebSocket } from 'ws'
import type { Clock } from '../../clock.ts'
import type { SourceConfigOf } from '../../config/schema.ts'
import { assert } from '../../errors.ts'
import { FRAME_BYTES_MAX } from '../../limits.ts'
import type { Log } from '../../ops/log.ts'
import type { InstrumentTable } from '../../tick/instruments.ts'
import { venueSymbol } from '../../tick/symbols.ts'
import type { FrameLoss } from '../frame-loss.ts'
import { LogRepeats } from '../log-repeats.ts'
import type { SourceCapture } from '../raw-capture.ts'
import type { FrameSink, Source } from '../source.ts'
import { BinanceBooks } from './binance-books.ts'
import { refusalWaitMs } from './binance-rest.ts'
import { BinanceSubscriber } from './binance-subscriber.ts'
import {
  BINANCE_FACTS,
  type BinanceFacts,
  isData,
  parseControl,
  type StreamGroup,
  streamGroups,
  streamOf,
} from './binance-wire.ts'
import { Session, type SessionAction } from './session.ts'

export interface BinanceSourceOptions {
  config: SourceConfigOf<'binance'>
  sink: FrameSink
  instruments: InstrumentTable
  clock: Clock
  log: Log
  /** In [0, 1): jitter of the back-off. */
  random: () => number
  capture?: SourceCapture | undefined
  /** Told of frames that were dropped. */
  loss?: FrameLoss | undefined
}

/** A socket and what it is for. */
interface Link {
  readonly id: number
  readonly session: Session<BinanceSubscriber>
  readonly socket: WebSocket
  readonly url: string
  /** Depth streams of which nothing came yet: the first frame asks for the book's snapshot. */
  readonly fresh: Set<string>
  isOpen: boolean
  trouble: string
}

const NORMAL_CLOSE = 1000
const TIMER_MS = 10
/** Refused streams named in one log line. */
const REFUSALS_SHOWN = 10

export class BinanceSource implements Source {
  readonly name: string
  /** Time-outs and spacings of the session are whole tenths of a second. */
  readonly idleMsMax = TIMER_MS
  readonly #config: SourceConfigOf<'binance'>
  readonly #facts: BinanceFacts
  readonly #sink: FrameSink
  readonly #clock: Clock
  readonly #log: Log
  readonly #capture: SourceCapture | undefined
  readonly #sessions: Session<BinanceSubscriber>[]
  readonly #groups = new Map<Session<BinanceSubscriber>, StreamGroup>()
  readonly #links = new Map<number, Link>()
  readonly #books: BinanceBooks
  readonly #instruments: InstrumentTable
  readonly #dropped: LogRepeats
  readonly #loss: FrameLoss | undefined
  #nextId = 1
  /** Set once it has started. */
  #socketClass: typeof WebSocket | undefined

  constructor(options: BinanceSourceOptions) {
    const { config, sink, clock, log } = options
    this.name = config.name
    this.#config = config
    this.#facts = BINANCE_FACTS[config.venue]
    this.#sink = sink
    this.#clock = clock
    this.#log = log
    this.#capture = options.capture
    this.#loss = options.loss
    this.#instruments = options.instruments
    this.#dropped = new LogRepeats(log, 'frames dropped: the frame ring is full')
    this.#books = new BinanceBooks({ ...options, facts: this.#facts, newId: () => this.#nextId++ })
    const groups = streamGroups(config.venue, config.symbols, config.streams)
    this.#sessions = groups.map((group) => this.#createSession(group, options.random))
  }

  /** Loads the client here: a daemon without such a source starts without it. */
  async start(): Promise<void> {
    this.#socketClass = (await import('ws')).WebSocket
  }

  doWork(): number {
    if (this.#socketClass === undefined) return 0
    const nowMs = this.#clock.monoMs()
    this.#dropped.tick(nowMs)
    this.#loss?.tick(nowMs)
    let work = this.#books.doWork()
    for (const session of this.#sessions) work += this.#run(session, session.tick(nowMs))
    return work
  }

  stop(): void {
    this.#books.stop()
    for (const session of this.#sessions) {
      session.stop()
      this.#run(session, session.tick(this.#clock.monoMs()))
    }
  }

  drained(): boolean {
    return this.#books.drained()
  }

  async close(): Promise<void> {
    this.stop()
    for (const link of this.#links.values()) link.socket.terminate()
    this.#links.clear()
    this.#countLinks()
    this.#loss?.end()
    await this.#books.close()
  }

  onResync(instrument: number): void {
    const known = this.#instruments.get(instrument)
    if (known !== undefined) this.#books.want(venueSymbol(this.#config.venue, known.venueSymbol))
  }

  #createSession(group: StreamGroup, random: () => number): Session<BinanceSubscriber> {
    const { endpoints, backoff_min_ms, backoff_max_ms, silence_ms, rotate_ms } = this.#config
    const bases = endpoints.length > 0 ? endpoints : this.#facts.wsEndpoints
    const session = new Session({
      endpoints: bases.map((base) => `${base.replace(/\/+$/, '')}${group.route}/stream`),
      newId: () => this.#nextId++,
      subscribe: () => new BinanceSubscriber(group.streams),
      backoffMinMs: backoff_min_ms,
      backoffMaxMs: backoff_max_ms,
      silenceMs: silence_ms,
      rotateMs: rotate_ms,
      random,
    })
    this.#groups.set(session, group)
    return session
  }

  #run(session: Session<BinanceSubscriber>, actions: readonly SessionAction[]): number {
    for (const action of actions) {
      switch (action.type) {
        case 'connect':
          this.#connect(session, action.connection, action.url)
          break
        case 'send':
          this.#links.get(action.connection)?.socket.send(action.text)
          this.#capture?.sent(action.connection, action.text)
          break
        case 'close':
          this.#close(action.connection, action.reason)
          break
        case 'live':
          this.#live(session, action.connection, action.rotated)
          break
        case 'wait':
          this.#log.info(
            { source: this.name, wait_ms: Math.round(action.waitMs), attempt: action.attempt },
            'connecting again after a wait',
          )
      }
    }
    return actions.length
  }

  #connect(session: Session<BinanceSubscriber>, id: number, url: string): void {
    const SocketClass = this.#socketClass
    assert(SocketClass !== undefined, 'a session runs once the source has started')
    const socket = new SocketClass(url, {
      perMessageDeflate: false,
      maxPayload: FRAME_BYTES_MAX,
      // A frame that is not UTF-8 is the decoder's to reject; it is no reason to lose the feed.
      skipUTF8Validation: true,
    })
    const { streams } = this.#groups.get(session) as StreamGroup
    // A rotation leaves no hole in the books: then there is nothing to fetch.
    const fresh = new Set(session.isLive ? [] : streams.filter((name) => name.endsWith('@depth')))
    const link: Link = { id, session, socket, url, fresh, isOpen: false, trouble: '' }
    this.#links.set(id, link)
    socket.on('open', () => this.#opened(link))
    socket.on('message', (data) => this.#frame(link, data as Buffer))
    // ws answers a ping at once, with its payload.
    socket.on('ping', () => session.frame(id, this.#clock.monoMs()))
    socket.on('unexpected-response', (_request, response) => {
      const { statusCode = 0, headers } = response
      this.#refused(link, statusCode, headers['retry-after'])
      socket.terminate()
    })
    socket.on('error', (error) => {
      link.trouble ||= error.message
    })
    socket.on('close', (code) => this.#closed(link, code))
  }

  #opened(link: Link): void {
    link.isOpen = true
    this.#sink.counters.add('connects')
    this.#countLinks()
    this.#capture?.open(link.id, link.url)
    const nowMs = this.#clock.monoMs()
    link.session.opened(link.id, nowMs)
    this.#run(link.session, link.session.tick(nowMs))
  }

  #frame(link: Link, data: Buffer): void {
    assert(Buffer.isBuffer(data), 'ws gives whole messages as one buffer')
    const nowMs = this.#clock.monoMs()
    link.session.frame(link.id, nowMs)
    const sink = this.#sink
    sink.stamp()
    this.#capture?.received(link.id, sink, data)
    if (!isData(data)) this.#control(link, data, nowMs)
    else if (link.fresh.size > 0) this.#first(link, data)
    if (sink.offer(this.#facts.format, 0, 0, data, 0, data.length)) return
    sink.drop(data.length)
    this.#dropped.note(nowMs, data.length, { source: this.name })
    this.#loss?.note(data.length)
  }

  #first(link: Link, data: Buffer): void {
    const stream = streamOf(data)
    if (!link.fresh.delete(stream)) return
    this.#books.want(stream.slice(0, stream.indexOf('@')).toUpperCase())
  }

  #control(link: Link, data: Buffer, nowMs: number): void {
    const { session, id } = link
    const control = parseControl(data)
    if (control.type === 'reply') {
      session.subscriberOf(id)?.reply(control.id, control.error)
      session.answered(id, nowMs)
    } else if (control.type === 'shutdown') {
      this.#log.info({ source: this.name, connection: id }, 'the venue announces a shutdown')
      session.shutdownNotice(id, nowMs)
    } else {
      return
    }
    this.#run(session, session.tick(nowMs))
  }

  #live(session: Session<BinanceSubscriber>, id: number, rotated: boolean): void {
    const streams = this.#groups.get(session)?.streams.length
    if (rotated) this.#sink.counters.add('rotations')
    this.#log.info({ source: this.name, connection: id, streams, rotated }, 'subscribed')
    const refusals = session.subscriberOf(id)?.refusals ?? []
    if (refusals.length === 0) return
    this.#sink.counters.add('refusals', refusals.length)
    this.#log.warn(
      {
        source: this.name,
        count: refusals.length,
        refused: refusals.slice(0, REFUSALS_SHOWN),
      },
      'the venue refused streams; the others go on',
    )
  }

  /** The venue answered the upgrade with an HTTP status. */
  #refused(link: Link, status: number, retryAfter: string | undefined): void {
    link.trouble = `HTTP ${status}`
    this.#sink.counters.add('refusals')
    const isLimit = status === 429 || status === 418
    const waitMs = isLimit ? refusalWaitMs(status, retryAfter) : undefined
    const fields = { source: this.name, url: link.url, status, wait_ms: waitMs }
    this.#log.warn(fields, `connection refused${REFUSAL_HINTS[status] ?? ''}`)
    if (waitMs === undefined) return
    // Limits are per address, so they are for all connections of this one.
    const untilMs = this.#clock.monoMs() + waitMs
    for (const session of this.#sessions) session.pause(untilMs)
  }

  #closed(link: Link, code: number): void {
    if (!this.#links.delete(link.id)) return
    if (link.isOpen) {
      this.#sink.counters.add('disconnects')
      this.#capture?.closed(link.id)
    }
    this.#countLinks()
    const nowMs = this.#clock.monoMs()
    const { session, id, url, trouble } = link
    if (session.subscriberOf(id) !== undefined) {
      this.#log.warn({ source: this.name, connection: id, url, code, trouble }, 'connection lost')
    }
    session.closed(id, nowMs)
    this.#run(session, session.tick(nowMs))
  }

  #close(id: number, reason: string): void {
    const link = this.#links.get(id)
    if (link === undefined) return
    if (reason === 'silent') this.#sink.counters.add('silent_restarts')
    this.#log.info({ source: this.name, connection: id, reason }, 'connection closed')
    // A rotated connection is closed in order: what is on its way still counts.
    if (reason === 'rotated') link.socket.close(NORMAL_CLOSE)
    else link.socket.terminate()
  }

  #countLinks(): void {
    let open = 0
    for (const { isOpen } of this.#links.values()) if (isOpen) open++
    this.#sink.counters.set('connections', open)
  }
}

const REFUSAL_HINTS: Readonly<Record<number, string>> = {
  403: ': blocked by the venue’s firewall',
  418: ': this address is banned for a while',
  429: ': too many requests',
  451: ': the venue does not serve this location',
}
