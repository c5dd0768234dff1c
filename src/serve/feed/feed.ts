// The feed: subscribers come, ask and go; records of the rings become frames of their streams.
//
// Called by the serve agent only: `take` for each batch of a ring, `overrun` for what a ring lost,
// `turn` once a duty cycle. Does no I/O but through the sockets, and what replays read of the
// journal; does not know of threads or time but through its options. An `op` is one case in
// #handle, a channel one line in channels.ts.

import type { LatestTable } from '../../aggregate/latest-table.ts'
import type { Clock } from '../../clock.ts'
import { FEED_BUFFER_SLACK_BYTES, FEED_LATEST_MS, FEED_STREAMS_MAX } from '../../limits.ts'
import type { CounterName } from '../../ops/counter-catalog.ts'
import type { CounterReader, CounterSet } from '../../ops/counters.ts'
import type { Log } from '../../ops/log.ts'
import type { TickBatch } from '../../tick/batch.ts'
import type { InstrumentTable } from '../../tick/instruments.ts'
import { TICK_WORDS } from '../../tick/layout.ts'
import { formatTime } from '../../tick/time.ts'
import { Pass } from '../access/pass.ts'
import { Books } from '../book/books.ts'
import type { FeedHandler, FeedRefusal, FeedSocket } from '../server.ts'
import { Accounts, type SubscriberAccount } from './account.ts'
import { BookWatch } from './book-watch.ts'
import { type Control, type ControlId, isRefusal, parseControl } from './control.ts'
import { Delivery } from './delivery.ts'
import { chooseProtocol, PROTOCOL_DEFAULT, PROTOCOLS, type Protocol } from './encode.ts'
import { errorJson, type Refusal } from './errors.ts'
import { Heartbeats } from './heartbeats.ts'
import { Images } from './images.ts'
import { instrumentsJoined, overrunGap, pong } from './messages.ts'
import { Newest, slotInstrument, slotKind } from './newest.ts'
import { Router } from './router.ts'
import { type ServeThread, sessionName } from './session.ts'
import { FeedShard, type FeedShardOptions } from './shard.ts'
import { type Stream, StreamRegistry } from './stream.ts'
import { Subscriber } from './subscriber.ts'
import { Subscribing } from './subscribing.ts'
import { TestTicks } from './test-ticks.ts'
import { concerns, tellGap, venueGap } from './upstream.ts'
import { type FeedLimits, welcome } from './welcome.ts'

export interface FeedOptions {
  readonly limits: FeedLimits
  readonly epoch: number
  /** Told to clients in `welcome`. */
  readonly version: string
  readonly instruments: InstrumentTable
  readonly latest: LatestTable
  /** By their numbers, from 0. */
  readonly shards: readonly Omit<FeedShardOptions, 'instruments' | 'log' | 'nowMs'>[]
  readonly clock: Clock
  readonly log: Log
  readonly counters: CounterSet<CounterName<'serve'>>
  /** Counters of the other threads that serve, and which of how many this one is. */
  readonly others: CounterReader<CounterName<'serve'>>
  readonly thread: ServeThread
  /** The book of an instrument needs a fresh image. */
  readonly wantBook?: ((shard: number, instrument: number) => void) | undefined
}

const decoder = new TextDecoder()
/** Heartbeats, and subscribers that are behind, are looked for so many times a heartbeat. */
const SWEEPS_PER_HEARTBEAT = 4
/** What is done in parts goes on after so long. */
const PART_MS = 10

export class Feed implements FeedHandler<Subscriber> {
  readonly #options: FeedOptions
  readonly #subscribers = new Set<Subscriber>()
  readonly #heartbeats: Heartbeats
  readonly #newest: Newest
  readonly #books: Books
  readonly #bookWatch: BookWatch
  readonly #delivery: Delivery
  readonly #shards: readonly FeedShard[]
  readonly #values: Router
  readonly #streams: StreamRegistry
  readonly #testTicks: TestTicks
  readonly #accounts: Accounts
  readonly #subscribing: Subscribing
  /** Shards whose lost records are being counted. */
  readonly #behind = new Set<number>()
  #flushedAtMs = 0
  #latestAtMs = 0
  #sweptAtMs = 0

  constructor(options: FeedOptions) {
    const { limits, instruments, latest, counters, clock, log } = options
    this.#options = options
    this.#newest = new Newest(latest)
    this.#books = new Books({ want: options.wantBook ?? (() => {}) })
    this.#accounts = new Accounts(counters)
    this.#delivery = new Delivery({
      bufferBytes: limits.subscriber_buffer_bytes,
      bufferAgeMs: limits.subscriber_age_ms,
      frameTicks: limits.frame_ticks,
      instruments,
      images: new Images(this.#newest, this.#books),
      onResumed: (subscription) => this.#bookWatch.restate(subscription),
      counters,
    })
    const onFull = (stream: Stream) => this.#delivery.gather(stream, clock.monoMs(), true)
    const onStatus = this.#upstream.bind(this)
    this.#shards = options.shards.map((shard) => {
      clock.read()
      const nowMs = clock.sec * 1000 + Math.floor(clock.nsec / 1e6)
      return new FeedShard({ ...shard, instruments, log, nowMs }, { onFull, onStatus })
    })
    this.#values = new Router({ onFull })
    this.#streams = new StreamRegistry({
      streamsMax: FEED_STREAMS_MAX,
      frameTicks: limits.frame_ticks,
      instruments,
      shards: this.#shards,
      values: this.#values,
    })
    this.#bookWatch = new BookWatch({
      books: this.#books,
      instruments,
      values: this.#values,
      streams: this.#streams,
      flush: (stream) => this.#delivery.flushNow(stream),
    })
    this.#subscribing = new Subscribing({
      ...options,
      shards: this.#shards,
      streams: this.#streams,
      delivery: this.#delivery,
      accounts: this.#accounts,
      routeValues: () => this.#routeValues(),
    })
    this.#testTicks = new TestTicks(clock)
    this.#heartbeats = new Heartbeats(limits.heartbeat_ms, () => this.#serverTime())
  }

  accept(offered: readonly string[]): string | FeedRefusal {
    const { limits, others } = this.#options
    if (this.#subscribers.size + others.get('subscribers') >= limits.subscribers_max) {
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
    const { epoch, clock, limits, counters, thread } = this.#options
    counters.add('connects')
    const nowMs = clock.monoMs()
    const subscriber = new Subscriber(
      socket,
      (protocol === '' ? PROTOCOL_DEFAULT : protocol) as Protocol,
      sessionName(epoch, counters.get('connects'), thread),
      nowMs,
      limits.subscriber_buffer_bytes + FEED_BUFFER_SLACK_BYTES / 2,
      pass,
    )
    this.#subscribers.add(subscriber)
    this.#heartbeats.begin(subscriber, nowMs)
    counters.set('subscribers', this.#subscribers.size)
    const shardCount = this.#shards.length
    const serverTime = this.#serverTime()
    subscriber.sendControl(welcome(subscriber, { ...this.#options, shardCount, serverTime }))
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
    this.#heartbeats.end(subscriber)
    for (const subscription of [...subscriber.subscriptions.values()]) {
      this.#subscribing.remove(subscription)
    }
    this.#subscribing.replays.endAll(subscriber)
    this.#options.counters.set('subscribers', this.#subscribers.size)
  }

  /** Records from the ring of a shard, in order. */
  take(shard: number, batch: TickBatch): void {
    this.#join()
    const otherCount = this.#newest.apply(batch)
    if (otherCount > 0) this.#takeBooks(shard, batch)
    else this.#shardAt(shard).route(batch)
    this.#delivery.send()
  }

  /** Journal sequence of the next record that the feed takes from a shard. */
  seqOf(shard: number): number {
    return this.#shardAt(shard).tally.seq
  }

  /**
   * The ring will not bring the records of a shard before `toSeq`: they are counted out of the
   * journal, and declared. False = not yet done; call again before anything behind them is taken.
   */
  catchUp(shard: number, toSeq: number): boolean {
    this.flush()
    this.#join()
    const own = this.#shardAt(shard)
    const from = own.tally.seq
    const result = own.recount(toSeq, (batch) => {
      this.#books.applyAll(batch, shard)
      this.#newest.apply(batch)
    })
    this.#behind[result === 'more' ? 'add' : 'delete'](shard)
    this.#delivery.isCatchingUp = this.#behind.size > 0
    if (result === 'more') return false
    if (result === 'unknown') {
      this.#books.lose(shard)
      this.#newest.forget(this.#options.instruments.count)
    }
    for (const stream of this.#streams) {
      const isOf = stream.shard === undefined || stream.shard === shard
      if (stream.channel.carries === 'own' || !isOf) continue
      const isCounted = stream.channel.carries === 'event'
      const lost = isCounted ? this.#streams.seqOf(stream) - stream.nextSeq : 0
      if (lost > 0) this.#delivery.lose(stream, lost)
      // Books have been brought up to date with what was counted.
      const isKnown = isCounted || stream.channel.depth !== undefined
      const message = overrunGap(stream, shard, from, toSeq - 1)
      for (const subscription of [...stream.subscriptions]) {
        if (!isKnown || result !== 'done') subscription.subscriber.sendControl(message)
        if (subscription.replay === undefined) this.#bookWatch.restate(subscription)
      }
    }
    return true
  }

  /** Periodic work. Returns how much was done. */
  turn(): number {
    const { clock, limits } = this.#options
    const nowMs = clock.monoMs()
    this.#delivery.setTime(nowMs)
    this.#books.setTime(nowMs)
    this.#accounts.settle()
    this.#subscribing.closeAbandoned()
    for (const stream of this.#streams.own) this.#testTicks.emit(nowMs, this.#values, stream)
    if (nowMs - this.#latestAtMs >= FEED_LATEST_MS) {
      this.#latestAtMs = nowMs
      this.#routeValues()
    }
    const sweepMs = limits.heartbeat_ms / SWEEPS_PER_HEARTBEAT
    if (nowMs - this.#sweptAtMs >= sweepMs) {
      this.#sweptAtMs = nowMs
      this.#delivery.resumeAll()
      this.#heartbeats.sweep(nowMs)
      this.#bookWatch.count(this.#options.counters)
    }
    const replayed = this.#subscribing.replays.work()
    if (nowMs - this.#flushedAtMs < limits.flush_ms) return replayed
    this.#flushedAtMs = nowMs
    return replayed + this.flush()
  }

  /** How long nothing will be due that no record and no message brings about, milliseconds. */
  idleMs(): number {
    const { clock, limits } = this.#options
    if (this.#subscribing.replays.count > 0 || this.#behind.size > 0) return PART_MS
    const nowMs = clock.monoMs()
    const sweepMs = this.#sweptAtMs + limits.heartbeat_ms / SWEEPS_PER_HEARTBEAT - nowMs
    const isChanged = this.#newest.changedCount > 0 || this.#books.changed.length > 0
    const latestMs = this.#latestAtMs + FEED_LATEST_MS - nowMs
    return Math.max(0, isChanged ? Math.min(latestMs, sweepMs) : sweepMs)
  }

  /** Sends everything gathered. Returns the streams that had something. */
  flush(): number {
    const nowMs = this.#options.clock.monoMs()
    let work = 0
    for (const { router } of this.#shards) work += this.#gather(router, nowMs)
    work += this.#gather(this.#values, nowMs)
    this.#delivery.send()
    return work
  }

  /** What up to `max` subscribers were owed, the oldest first. */
  accounts(max: number): SubscriberAccount[] {
    return this.#accounts.list(this.#subscribers, max)
  }

  /** Says goodbye to all: the daemon stops. */
  closeAll(): void {
    for (const shard of this.#shards) shard.close()
    for (const subscriber of [...this.#subscribers]) {
      subscriber.close('going_away', 'the daemon is stopping')
    }
  }

  #handle(subscriber: Subscriber, id: ControlId, control: Control): Refusal | undefined {
    switch (control.op) {
      case 'subscribe':
        return this.#subscribing.subscribe(subscriber, id, control)
      case 'update':
        return this.#subscribing.update(subscriber, id, control)
      case 'unsubscribe':
        return this.#subscribing.unsubscribe(subscriber, id, control)
      case 'fill':
        return this.#subscribing.fill(subscriber, id, control)
      case 'ping':
        subscriber.sendControl(pong(id, this.#serverTime()))
        return undefined
    }
  }

  /** Records with books among them: one that breaks is told at its place. */
  #takeBooks(shard: number, batch: TickBatch): void {
    const books = this.#books
    const own = this.#shardAt(shard)
    for (let from = 0; from < batch.count; ) {
      const to = books.apply(batch, from, shard)
      own.route(batch, from, to)
      if (books.broken !== undefined) this.#bookWatch.tell(books.broken)
      from = to
    }
  }

  /** Before records are routed: an instrument is known before its first record is published. */
  #join(): void {
    this.#streams.join((stream, joined) => {
      const message = instrumentsJoined(stream, joined)
      for (const { subscriber } of [...stream.subscriptions]) subscriber.sendControl(message)
    })
  }

  #gather(router: Router, nowMs: number): number {
    const { dirty } = router
    if (dirty.length === 0) return 0
    for (const stream of dirty) {
      stream.isDirty = false
      this.#delivery.gather(stream, nowMs, false)
    }
    const count = dirty.length
    dirty.length = 0
    return count
  }

  /** A venue's own hole is told in its place among the records, also where those were lost. */
  #upstream(streams: readonly Stream[], batch: TickBatch, index: number, isLost: boolean): void {
    const hole = venueGap(batch, index)
    if (hole === undefined) return
    for (const stream of streams) {
      if (!concerns(stream.channel, hole)) continue
      if (!isLost) this.#delivery.flushNow(stream)
      tellGap(hole, stream, isLost ? this.#streams.seqOf(stream) : stream.nextSeq)
    }
  }

  #shardAt(shard: number): FeedShard {
    return this.#shards[shard] as FeedShard
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
    this.#bookWatch.routeTops()
  }

  #serverTime(): string {
    const { clock } = this.#options
    clock.read()
    return formatTime(clock.sec, clock.nsec)
  }
}
