// The feed: subscribers come, ask and go; records of the rings become frames of their streams.
//
// Called by the serve agent only: `take` for each batch of a ring, `overrun` for what a ring lost,
// `turn` once a duty cycle. Does no I/O but through the sockets; does not know of threads or time
// but through its options. Room is left for more `from`, `fill` and authentication: an `op` is one
// case in #handle, a channel one line in channels.ts.

import type { LatestTable } from '../../aggregate/latest-table.ts'
import type { Clock } from '../../clock.ts'
import {
  FEED_BUFFER_SLACK_BYTES,
  FEED_LATEST_MS,
  FEED_MESSAGE_BYTES_MAX,
  FEED_MESSAGES_PER_SECOND,
  FEED_STREAMS_MAX,
  FEED_SYMBOLS_MAX,
} from '../../limits.ts'
import type { CounterName } from '../../ops/counter-catalog.ts'
import type { CounterSet } from '../../ops/counters.ts'
import type { TickBatch } from '../../tick/batch.ts'
import type { InstrumentTable } from '../../tick/instruments.ts'
import { TICK_WORDS } from '../../tick/layout.ts'
import { formatTime } from '../../tick/time.ts'
import { Pass } from '../access/pass.ts'
import type { FeedHandler, FeedRefusal, FeedSocket } from '../server.ts'
import { Accounts, type SubscriberAccount } from './account.ts'
import { type Control, type ControlId, isRefusal, parseControl, type Subscribe } from './control.ts'
import { Delivery } from './delivery.ts'
import { chooseProtocol, PROTOCOL_DEFAULT, PROTOCOLS, type Protocol } from './encode.ts'
import { errorJson, type Refusal } from './errors.ts'
import {
  heartbeat,
  instrumentsJoined,
  overrunGap,
  pong,
  subscribeAck,
  unsubscribeAck,
} from './messages.ts'
import { Newest, slotInstrument, slotKind } from './newest.ts'
import { Router } from './router.ts'
import { Selection } from './selection.ts'
import { type Stream, StreamRegistry } from './stream.ts'
import { newSubscription, Subscriber, type Subscription } from './subscriber.ts'
import { TestTicks } from './test-ticks.ts'

export interface FeedLimits {
  readonly flush_ms: number
  readonly frame_ticks: number
  readonly subscriber_buffer_bytes: number
  readonly subscribers_max: number
  readonly subscriptions_max: number
  readonly heartbeat_ms: number
}

export interface FeedOptions {
  readonly limits: FeedLimits
  readonly epoch: number
  /** Told to clients in `welcome`. */
  readonly version: string
  readonly instruments: InstrumentTable
  readonly latest: LatestTable
  readonly clock: Clock
  readonly counters: CounterSet<CounterName<'serve'>>
}

const decoder = new TextDecoder()
/** Subscribers are looked through for heartbeats and stalls so many times a heartbeat. */
const SWEEPS_PER_HEARTBEAT = 4

export class Feed implements FeedHandler<Subscriber> {
  readonly #options: FeedOptions
  readonly #subscribers = new Set<Subscriber>()
  readonly #heartbeatDueMs = new WeakMap<Subscriber, number>()
  readonly #newest: Newest
  readonly #delivery: Delivery
  readonly #events: Router
  readonly #values: Router
  readonly #streams: StreamRegistry
  readonly #testTicks: TestTicks
  readonly #accounts: Accounts
  /** Streams that lost their last subscriber; closed in `turn`, never while records are routed. */
  readonly #abandoned = new Set<Stream>()
  #sessionLast = 0
  #flushedAtMs = 0
  #latestAtMs = 0
  #sweptAtMs = 0

  constructor(options: FeedOptions) {
    const { limits, epoch, instruments, latest, counters, clock } = options
    this.#options = options
    this.#newest = new Newest(latest)
    this.#accounts = new Accounts(counters)
    this.#delivery = new Delivery({
      epoch,
      bufferBytes: limits.subscriber_buffer_bytes,
      frameTicks: limits.frame_ticks,
      instruments,
      newest: this.#newest,
      counters,
    })
    const flush = (stream: Stream) => this.#delivery.flush(stream, clock.monoMs())
    this.#events = new Router(flush)
    this.#values = new Router(flush)
    this.#streams = new StreamRegistry({
      streamsMax: FEED_STREAMS_MAX,
      frameTicks: limits.frame_ticks,
      epoch,
      instruments,
      events: this.#events,
      values: this.#values,
    })
    this.#testTicks = new TestTicks(clock)
  }

  accept(offered: readonly string[]): string | FeedRefusal {
    const { limits } = this.#options
    if (this.#subscribers.size >= limits.subscribers_max) {
      const message = `${limits.subscribers_max} subscribers are connected; try later`
      return { status: 503, code: 'subscriber_limit', message }
    }
    if (offered.length === 0) return ''
    const protocol = chooseProtocol(offered)
    if (protocol !== undefined) return protocol
    const message = `none of the offered sub-protocols is known; offer ${PROTOCOLS.join(', ')}`
    return { status: 400, code: 'unknown_protocol', message }
  }

  open(socket: FeedSocket, protocol: string, pass = Pass.open): Subscriber {
    const { epoch, clock, limits, counters } = this.#options
    const session = `${epoch}-${++this.#sessionLast}`
    const nowMs = clock.monoMs()
    const subscriber = new Subscriber(
      socket,
      (protocol === '' ? PROTOCOL_DEFAULT : protocol) as Protocol,
      session,
      nowMs,
      limits.subscriber_buffer_bytes + FEED_BUFFER_SLACK_BYTES / 2,
      pass,
    )
    this.#subscribers.add(subscriber)
    this.#heartbeatDueMs.set(subscriber, nowMs + limits.heartbeat_ms)
    counters.add('connects')
    counters.set('subscribers', this.#subscribers.size)
    subscriber.sendControl(this.#welcome(subscriber))
    return subscriber
  }

  message(subscriber: Subscriber, data: Uint8Array, isBinary: boolean): void {
    const waitMs = subscriber.takeAllowance(this.#options.clock.monoMs())
    if (waitMs > 0) {
      const message = 'slow down'
      this.#refuse(subscriber, undefined, { error: 'rate_limit', message, retryAfterMs: waitMs })
      return
    }
    if (isBinary) {
      const message = 'control messages are text'
      this.#refuse(subscriber, undefined, { error: 'binary_message', message })
      return
    }
    const { id, control } = parseControl(decoder.decode(data))
    const refusal = isRefusal(control) ? control : this.#handle(subscriber, id, control)
    if (refusal === undefined) subscriber.forgive()
    else this.#refuse(subscriber, id, refusal)
  }

  drain(subscriber: Subscriber): void {
    for (const subscription of [...subscriber.subscriptions.values()]) {
      this.#delivery.resume(subscription)
    }
  }

  close(subscriber: Subscriber): void {
    this.#subscribers.delete(subscriber)
    for (const subscription of [...subscriber.subscriptions.values()]) this.#remove(subscription)
    this.#options.counters.set('subscribers', this.#subscribers.size)
  }

  /** Records from a ring, in order. */
  take(batch: TickBatch): void {
    // Before the records are routed: an instrument is known before its first record is published.
    this.#streams.join((stream, joined) => {
      const message = instrumentsJoined(stream, joined)
      for (const { subscriber } of [...stream.subscriptions]) subscriber.sendControl(message)
    })
    this.#newest.apply(batch)
    this.#events.route(batch)
  }

  /** The ring lost journal sequences from … to before they could be read. */
  overrun(shard: number, from: number, to: number): void {
    this.flush()
    this.#newest.forget(this.#options.instruments.count)
    for (const stream of this.#streams) {
      if (stream.channel.carries === 'own') continue
      const message = overrunGap(stream, shard, from, to)
      for (const { subscriber } of [...stream.subscriptions]) subscriber.sendControl(message)
    }
  }

  /** Periodic work. Returns how much was done. */
  turn(): number {
    const { clock, limits } = this.#options
    const nowMs = clock.monoMs()
    this.#accounts.settle()
    this.#closeAbandoned()
    for (const stream of this.#streams) {
      if (stream.name === 'test') this.#testTicks.emit(nowMs, this.#events, stream)
    }
    if (nowMs - this.#latestAtMs >= FEED_LATEST_MS) {
      this.#latestAtMs = nowMs
      this.#routeValues()
    }
    const sweepMs = limits.heartbeat_ms / SWEEPS_PER_HEARTBEAT
    if (nowMs - this.#sweptAtMs >= sweepMs) {
      this.#sweptAtMs = nowMs
      this.#sweep(nowMs)
    }
    if (nowMs - this.#flushedAtMs < limits.flush_ms) return 0
    this.#flushedAtMs = nowMs
    return this.flush()
  }

  /** Sends everything gathered. Returns the streams that had something. */
  flush(): number {
    const nowMs = this.#options.clock.monoMs()
    let work = 0
    for (const router of [this.#events, this.#values]) {
      for (const stream of router.dirty) {
        stream.isDirty = false
        this.#delivery.flush(stream, nowMs)
      }
      work += router.dirty.length
      router.dirty.length = 0
    }
    return work
  }

  /** What up to `max` subscribers were owed, the oldest first. */
  accounts(max: number): SubscriberAccount[] {
    return this.#accounts.list(this.#subscribers, max)
  }

  /** Says goodbye to all: the daemon stops. */
  closeAll(): void {
    for (const subscriber of [...this.#subscribers]) {
      subscriber.close('going_away', 'the daemon is stopping')
    }
  }

  #handle(subscriber: Subscriber, id: ControlId, control: Control): Refusal | undefined {
    switch (control.op) {
      case 'subscribe':
        return this.#subscribe(subscriber, id, control)
      case 'unsubscribe': {
        const subscription = subscriber.subscriptions.get(control.stream)
        if (subscription === undefined) {
          const message = `no subscription to stream ${control.stream}`
          return { error: 'unknown_stream', message }
        }
        this.#delivery.flush(subscription.stream, this.#options.clock.monoMs())
        this.#delivery.declare(subscription)
        const ack = unsubscribeAck(id, subscription.stream)
        this.#remove(subscription)
        subscriber.sendControl(ack)
        return undefined
      }
      case 'ping':
        subscriber.sendControl(pong(id, this.#serverTime()))
        return undefined
    }
  }

  #subscribe(subscriber: Subscriber, id: ControlId, control: Subscribe): Refusal | undefined {
    const { limits, instruments, clock, epoch } = this.#options
    if (subscriber.subscriptions.size >= limits.subscriptions_max) {
      const message = `at most ${limits.subscriptions_max} subscriptions on a connection`
      return { error: 'subscription_limit', message }
    }
    const isTest = control.channel === 'test'
    const { pass } = subscriber
    const refusal = pass.authorize(control.channel, isTest ? [] : control.symbols, 0)
    if (refusal !== undefined) return refusal
    const symbols = isTest ? ['*'] : control.symbols
    const stream = this.#streams.open(control.channel, new Selection(symbols))
    if (stream === undefined) {
      const message = `${FEED_STREAMS_MAX} distinct streams are open`
      return { error: 'stream_limit', message, retryAfterMs: limits.heartbeat_ms }
    }
    if (subscriber.subscriptions.has(stream.id)) {
      return { error: 'already_subscribed', message: `this is stream ${stream.id}` }
    }
    // What was gathered before is for those who were subscribed before.
    if (stream.channel.carries === 'value') this.#routeValues()
    this.#delivery.flush(stream, clock.monoMs())
    const slots = control.from === 'snapshot' ? this.#delivery.imageSlots(stream) : []
    const room = limits.subscriber_buffer_bytes - subscriber.bufferedBytes()
    if (slots.length * subscriber.encoding.recordBytes > room) {
      if (stream.subscriptions.length === 0) this.#abandoned.add(stream)
      return { error: 'image_too_large', message: `the snapshot has ${slots.length} records` }
    }
    const subscription = newSubscription(subscriber, stream, control.slow)
    const members = stream.instruments.map((member) => instruments.get(member)!)
    subscriber.subscriptions.set(stream.id, subscription)
    stream.subscriptions.push(subscription)
    subscriber.pass.subscribed()
    this.#options.counters.add('subscriptions')
    subscriber.sendControl(subscribeAck(id, stream, epoch, symbols, members))
    if (control.from === 'snapshot') this.#delivery.image(subscription, slots)
    return undefined
  }

  #remove(subscription: Subscription): void {
    const { subscriber, stream } = subscription
    if (!subscriber.subscriptions.delete(stream.id)) return
    this.#accounts.end(subscription)
    subscriber.pass.unsubscribed()
    stream.subscriptions.splice(stream.subscriptions.indexOf(subscription), 1)
    if (stream.subscriptions.length === 0) this.#abandoned.add(stream)
    this.#options.counters.add('subscriptions', -1)
  }

  #closeAbandoned(): void {
    for (const stream of this.#abandoned) {
      if (stream.subscriptions.length === 0) this.#streams.close(stream)
    }
    this.#abandoned.clear()
  }

  #refuse(subscriber: Subscriber, id: ControlId, refusal: Refusal): void {
    this.#options.counters.add('protocol_errors')
    subscriber.sendControl(errorJson(refusal, id))
    if (subscriber.strike()) subscriber.close('abuse', 'too many refused messages')
  }

  /** The newest values since the last time, to the channels that carry values. */
  #routeValues(): void {
    const { changed, changedCount, words } = this.#newest
    for (let i = 0; i < changedCount; i++) {
      const slot = changed[i] as number
      this.#values.routeOne(slotInstrument(slot), slotKind(slot), words, slot * TICK_WORDS)
    }
    this.#newest.clearChanged()
  }

  /** Heartbeats for what is idle; subscribers that are behind get their chance to go on. */
  #sweep(nowMs: number): void {
    const { heartbeat_ms: heartbeatMs } = this.#options.limits
    for (const subscriber of [...this.#subscribers]) {
      this.drain(subscriber)
      if (nowMs < (this.#heartbeatDueMs.get(subscriber) as number)) continue
      this.#heartbeatDueMs.set(subscriber, nowMs + heartbeatMs)
      const idle: Record<string, number> = {}
      for (const { stream, behindFrom } of subscriber.subscriptions.values()) {
        const isIdle = nowMs - stream.flushedAtMs >= heartbeatMs
        if (isIdle && behindFrom === 0) idle[stream.id] = stream.nextSeq
      }
      const isQuiet = Object.keys(idle).length > 0 || subscriber.subscriptions.size === 0
      if (isQuiet) subscriber.sendControl(heartbeat(this.#serverTime(), idle))
    }
  }

  #welcome(subscriber: Subscriber): string {
    const { epoch, limits, version } = this.#options
    return JSON.stringify({
      op: 'welcome',
      session: subscriber.session,
      epoch,
      server_time: this.#serverTime(),
      protocol: subscriber.protocol,
      limits: {
        subscriptions: limits.subscriptions_max,
        symbols: FEED_SYMBOLS_MAX,
        message_bytes: FEED_MESSAGE_BYTES_MAX,
        messages_per_second: FEED_MESSAGES_PER_SECOND,
        frame_ticks: limits.frame_ticks,
        buffer_bytes: limits.subscriber_buffer_bytes,
        heartbeat_ms: limits.heartbeat_ms,
        latest_ms: FEED_LATEST_MS,
      },
      versions: { tickd: version, protocol: 1 },
    })
  }

  #serverTime(): string {
    const { clock } = this.#options
    clock.read()
    return formatTime(clock.sec, clock.nsec)
  }
}
