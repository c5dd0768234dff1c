// What subscribers ask for, done: subscriptions come and go, replays and fills begin.

import type { Clock } from '../../clock.ts'
import { FEED_STREAMS_MAX } from '../../limits.ts'
import type { CounterName } from '../../ops/counter-catalog.ts'
import type { CounterSet } from '../../ops/counters.ts'
import type { InstrumentTable } from '../../tick/instruments.ts'
import type { Accounts } from './account.ts'
import type { ControlId, Fill, Subscribe, Unsubscribe, Update } from './control.ts'
import type { Delivery } from './delivery.ts'
import {
  errorJson,
  type FeedErrorName,
  REPLAY_RETRY_MS,
  type Refusal,
  tooManyReplays,
  unknownStream,
} from './errors.ts'
import type { FeedJournal } from './feed-journal.ts'
import { fillAck, subscribeAck, unsubscribeAck } from './messages.ts'
import { Replay } from './replay.ts'
import { isMoment, type ReplayStart, startOf, type Target } from './replay-start.ts'
import { Replays } from './replays.ts'
import { Selection } from './selection.ts'
import type { FeedShard } from './shard.ts'
import { Stream, type StreamKey, type StreamRegistry } from './stream.ts'
import { newSubscription, type Subscriber, type Subscription } from './subscriber.ts'
import { Updating } from './updating.ts'

export interface SubscribingOptions {
  readonly limits: {
    readonly subscriptions_max: number
    readonly subscriber_buffer_bytes: number
    readonly frame_ticks: number
    readonly heartbeat_ms: number
  }
  readonly shards: readonly FeedShard[]
  readonly streams: StreamRegistry
  readonly delivery: Delivery
  readonly accounts: Accounts
  readonly instruments: InstrumentTable
  readonly clock: Clock
  readonly counters: CounterSet<CounterName<'serve'>>
  /** Gives the streams of values what has changed. */
  readonly routeValues: () => void
}

const MEANING: Readonly<Partial<Record<FeedErrorName, string>>> = {
  replay_aged_out: 'what lies from there on is no longer kept',
  unknown_sequence: 'the stream has not come so far',
  from_unavailable: 'there is no journal to read',
}

export class Subscribing {
  readonly replays: Replays
  readonly #updating: Updating
  readonly #options: SubscribingOptions
  /** Streams that lost their last subscriber; closed in a turn, never while records are routed. */
  readonly #abandoned = new Set<Stream>()

  constructor(options: SubscribingOptions) {
    this.#options = options
    this.replays = new Replays((replay) => this.#ended(replay))
    this.#updating = new Updating({ ...options, subscribing: this })
  }

  subscribe(subscriber: Subscriber, id: ControlId, control: Subscribe): Refusal | undefined {
    const { channel, from, slow } = control
    const symbols = channel === 'test' ? ['*'] : control.symbols
    const refusal = this.#mayNot(subscriber, control)
    if (refusal !== undefined) return refusal
    const selection = new Selection(symbols)
    const stream = this.open({ name: channel, selection, shard: this.#one(control.shard) })
    if ('error' in stream) return stream
    const found = this.#prepare(subscriber, stream, from)
    if ('error' in found) {
      this.abandon(stream)
      return found
    }
    const subscription = newSubscription(subscriber, stream, slow, symbols)
    const { instruments, delivery } = this.#options
    const members = stream.instruments.map((member) => instruments.get(member)!)
    this.enter(subscription)
    subscriber.sendControl(subscribeAck(id, stream, symbols, members, whence(stream, from)))
    if (from === 'snapshot') delivery.image(subscription, found.slots)
    else if (found.start !== undefined) {
      this.#replay(subscription, id, found.start, from as Target, undefined)
    }
    return undefined
  }

  update(subscriber: Subscriber, id: ControlId, control: Update): Refusal | undefined {
    return this.#updating.update(subscriber, id, control)
  }

  unsubscribe(subscriber: Subscriber, id: ControlId, control: Unsubscribe): Refusal | undefined {
    const subscription = subscriber.subscriptions.get(control.stream)
    if (subscription === undefined) return unknownStream(control.stream)
    const { delivery } = this.#options
    delivery.flushNow(subscription.stream)
    delivery.declare(subscription)
    const ack = unsubscribeAck(id, subscription.stream)
    this.remove(subscription)
    subscriber.sendControl(ack)
    return undefined
  }

  fill(subscriber: Subscriber, id: ControlId, control: Fill): Refusal | undefined {
    const subscription =
      subscriber.subscriptions.get(control.stream) ?? this.#formerOf(subscriber, control.stream)
    if (subscription === undefined) return unknownStream(control.stream)
    const { stream } = subscription
    const { epoch = stream.epoch, from, to } = control
    const shard = this.#shardOf(stream)
    if (shard?.journal === undefined) {
      return { error: 'fill_unavailable', message: `stream ${stream.id} cannot be filled` }
    }
    if (this.replays.isFull || this.replays.isFilling(subscription)) return tooManyReplays()
    if (epoch === stream.epoch && to >= stream.nextSeq) return refuse('unknown_sequence')
    const target = { epoch, seq: from }
    const start = startOf(shard.journal, shard.checkpoints.list, stream, target)
    if (typeof start === 'string') return refuse(start)
    if (isStoreBusy(shard.journal, start)) return tooManyReplays()
    subscriber.sendControl(fillAck(id, stream.id, { epoch, from, to }))
    this.#replay(subscription, id, start, target, to)
    return undefined
  }

  enter(subscription: Subscription): void {
    const { subscriber, stream } = subscription
    subscriber.subscriptions.set(stream.id, subscription)
    stream.subscriptions.push(subscription)
    subscriber.pass.subscribed()
    this.#options.counters.add('subscriptions')
  }

  remove(subscription: Subscription): void {
    const { subscriber, stream } = subscription
    if (!subscriber.subscriptions.delete(stream.id)) return
    this.replays.end(subscription)
    this.#options.delivery.forget(subscription)
    this.#options.accounts.end(subscription)
    subscriber.pass.unsubscribed()
    stream.subscriptions.splice(stream.subscriptions.indexOf(subscription), 1)
    this.abandon(stream)
    this.#options.counters.add('subscriptions', -1)
  }

  closeAbandoned(): void {
    for (const stream of this.#abandoned) {
      if (stream.subscriptions.length === 0) this.#options.streams.close(stream)
    }
    this.#abandoned.clear()
  }

  /** Whether it may have what it asks for, whatever that is. */
  #mayNot(subscriber: Subscriber, control: Subscribe): Refusal | undefined {
    const { limits, shards, clock } = this.#options
    if (subscriber.subscriptions.size >= limits.subscriptions_max) {
      const message = `at most ${limits.subscriptions_max} subscriptions on a connection`
      return { error: 'subscription_limit', message }
    }
    const { channel, symbols, from, shard } = control
    if (shard !== undefined && shard >= shards.length) {
      return { error: 'bad_field', message: `shard: there are ${shards.length}` }
    }
    const isBack = typeof from === 'object'
    // How far back a sequence lies is looked at when its record has been found.
    const backMs = isBack && isMoment(from) ? wallMsOf(clock) - from.ms : 0
    const refusal = subscriber.pass.authorize(channel, channel === 'test' ? [] : symbols, backMs)
    if (refusal !== undefined || !isBack) return refusal
    if (shard === undefined && shards.length > 1) {
      const message = 'shard: name one; the order between several cannot be had again'
      return { error: 'bad_field', message }
    }
    return this.replays.isFull ? tooManyReplays() : undefined
  }

  /** The stream of that key; the caller subscribes to it, or abandons it. */
  open(key: StreamKey): Stream | Refusal {
    const { limits, streams } = this.#options
    const stream = streams.open(key)
    if (stream !== undefined) return stream
    const message = `${FEED_STREAMS_MAX} distinct streams are open`
    return { error: 'stream_limit', message, retryAfterMs: limits.heartbeat_ms }
  }

  /** A stream that nobody is subscribed to ends with this turn. */
  abandon(stream: Stream): void {
    if (stream.subscriptions.length === 0) this.#abandoned.add(stream)
  }

  /** What stands for a stream that an update has left, while a fill of it is under way. */
  #formerOf(subscriber: Subscriber, id: number): Subscription | undefined {
    const former = subscriber.former.get(id)
    if (former === undefined) return undefined
    const { limits, instruments, shards } = this.#options
    const { key, endSeq } = former
    const epoch = shards[key.shard ?? 0]?.epoch ?? 0
    const stream = new Stream(id, key, epoch, limits.frame_ticks)
    for (const { id } of key.selection.instruments(instruments)) stream.instruments.push(id)
    stream.nextSeq = endSeq
    const subscription = newSubscription(subscriber, stream, 'gap')
    subscription.firstSeq = 0
    return subscription
  }

  /** Where there is one shard, all of them and this one are the same stream. */
  #one(shard: number | undefined): number | undefined {
    return this.#options.shards.length === 1 ? undefined : shard
  }

  /** Looks whether the subscription can begin where it is to. */
  #prepare(
    subscriber: Subscriber,
    stream: Stream,
    from: Subscribe['from'],
  ): Refusal | { slots: number[]; start?: ReplayStart } {
    const { limits, delivery, routeValues } = this.#options
    if (subscriber.subscriptions.has(stream.id)) {
      return { error: 'already_subscribed', message: `this is stream ${stream.id}` }
    }
    // What was gathered before is for those who were subscribed before.
    if (stream.channel.carries === 'value') routeValues()
    delivery.flushNow(stream)
    if (typeof from === 'object') return this.#findStart(stream, from)
    const slots = from === 'snapshot' ? delivery.imageSlots(stream) : []
    const room = limits.subscriber_buffer_bytes - subscriber.bufferedBytes()
    const records = delivery.imageRecords(stream, slots)
    if (records * subscriber.encoding.recordBytes > room) {
      return { error: 'image_too_large', message: `the snapshot has ${records} records` }
    }
    return { slots }
  }

  #findStart(stream: Stream, from: Target): Refusal | { slots: number[]; start: ReplayStart } {
    const shard = this.#shardOf(stream)
    if (shard?.journal === undefined) return refuse('from_unavailable')
    const isAhead = !isMoment(from) && from.epoch === shard.epoch && from.seq > stream.nextSeq
    if (isAhead) return refuse('unknown_sequence')
    const start = startOf(shard.journal, shard.checkpoints.list, stream, from)
    if (typeof start === 'string') return refuse(start)
    return isStoreBusy(shard.journal, start) ? tooManyReplays() : { slots: [], start }
  }

  /** The shard whose journal has the stream's records in their order. */
  #shardOf({ channel, shard }: Stream): FeedShard | undefined {
    const { shards } = this.#options
    if (channel.carries !== 'event' || (shard === undefined && shards.length > 1)) return undefined
    return shards[shard ?? 0]
  }

  #replay(
    subscription: Subscription,
    id: ControlId,
    start: ReplayStart,
    target: Target,
    fillTo: number | undefined,
  ): void {
    const { limits, delivery, instruments, clock } = this.#options
    const { journal } = this.#shardOf(subscription.stream) as FeedShard
    if (journal === undefined) return
    const { replay_ms: backMs } = subscription.subscriber.pass.grant
    const replay = new Replay({
      id,
      subscription,
      journal,
      start,
      target,
      fillTo,
      delivery,
      instruments,
      oldestMs: backMs === null ? undefined : wallMsOf(clock) - backMs,
      frameTicks: limits.frame_ticks,
      bufferBytes: limits.subscriber_buffer_bytes,
    })
    if (fillTo === undefined) {
      subscription.replay = replay
      subscription.firstSeq = 0
    }
    this.replays.add(replay)
  }

  #ended({ failure, failureText, id, isFill, subscription }: Replay): void {
    const { subscriber, stream } = subscription
    // A fill of a former stream is an account of its own.
    const isOwn = subscriber.subscriptions.get(stream.id) === subscription
    if (!isOwn) this.#options.accounts.end(subscription)
    if (failure === undefined) return
    const isPassing = failure === 'store_unavailable'
    const retry = isPassing ? { retryAfterMs: REPLAY_RETRY_MS } : {}
    subscriber.sendControl(errorJson({ error: failure, message: failureText, ...retry }, id))
    if (!isFill) this.remove(subscription)
  }
}

/** The first sequence to come: null = a message will say. */
function whence(stream: Stream, from: Subscribe['from']) {
  const { epoch, nextSeq } = stream
  if (typeof from !== 'object') return { epoch, nextSeq, isReplay: false }
  if (isMoment(from)) return { epoch, nextSeq: null, isReplay: true }
  return { epoch: from.epoch, nextSeq: from.seq, isReplay: true }
}

function refuse(error: FeedErrorName): Refusal {
  return { error, message: MEANING[error] ?? error }
}

/** Whether it would read PostgreSQL, and as many do as may. */
function isStoreBusy({ store, oldest }: FeedJournal, { seq }: ReplayStart): boolean {
  return store?.isFull === true && seq < oldest()
}

function wallMsOf(clock: Clock): number {
  clock.read()
  return clock.sec * 1000 + clock.nsec / 1e6
}
