// A live subscription is given other symbols, while it goes on.
//
// What a record is called (channel, symbols, epoch, sequence) holds for whoever asks, so other
// symbols are another stream: the subscription is moved to it, between two records of the feed.
//
//   stream 3, {A, B}      … 2038  2039 │
//   stream 4, {A, C}                   │ 913  914 …
//                                      └ the point of the change: `was.next_seq` and `from_seq`
//
// Invariant: each record that the feed takes before the point and that the old symbols match is the
// old stream's, sent or declared; each one after it that the new symbols match is the new stream's.
// Both have the sequences that they always had, so both can be gone back to. Nothing has changed
// where it is refused.

import { FEED_FORMER_STREAMS_MAX } from '../../limits.ts'
import type { Instrument, InstrumentTable } from '../../tick/instruments.ts'
import { type ControlId, symbolsFault, type Update } from './control.ts'
import type { Delivery } from './delivery.ts'
import { type Refusal, tooManyReplays, unknownStream } from './errors.ts'
import { updateAck } from './messages.ts'
import { slotInstrument } from './newest.ts'
import { Selection } from './selection.ts'
import type { Stream } from './stream.ts'
import { newSubscription, type Subscriber, type Subscription } from './subscriber.ts'
import type { Subscribing } from './subscribing.ts'

export interface UpdatingOptions {
  readonly limits: { readonly subscriber_buffer_bytes: number }
  readonly instruments: InstrumentTable
  readonly delivery: Delivery
  readonly subscribing: Subscribing
  /** Gives the streams of values what has changed. */
  readonly routeValues: () => void
}

interface Change {
  readonly symbols: readonly string[]
  readonly removed: readonly string[]
  /** To be removed, and not there. */
  readonly absent: readonly string[]
}

export class Updating {
  readonly #options: UpdatingOptions

  constructor(options: UpdatingOptions) {
    this.#options = options
  }

  update(subscriber: Subscriber, id: ControlId, control: Update): Refusal | undefined {
    const { subscribing } = this.#options
    const old = subscriber.subscriptions.get(control.stream)
    if (old === undefined) return unknownStream(control.stream)
    const change = changed(old.symbols, control)
    const refusal = this.#mayNot(old, control, change)
    if (refusal !== undefined) return refusal
    const { name, shard } = old.stream
    const stream = subscribing.open({ name, shard, selection: new Selection(change.symbols) })
    if ('error' in stream) return stream
    const slots = this.#prepare(old, stream, control)
    if ('error' in slots) {
      subscribing.abandon(stream)
      return slots
    }
    this.#change(id, control, change, { old, stream, slots })
    return undefined
  }

  #mayNot(old: Subscription, { add, from }: Update, { symbols }: Change): Refusal | undefined {
    const { subscriber, stream } = old
    const { channel, name } = stream
    if (channel.carries === 'own') {
      return { error: 'update_unavailable', message: `channel ${name} has no symbols` }
    }
    if (from === 'snapshot' && !channel.snapshot) {
      return { error: 'from_unavailable', message: `channel ${name} has no image` }
    }
    const fault = symbols.length === 0 ? 'none would be left; unsubscribe' : symbolsFault(symbols)
    if (fault !== '') return { error: 'bad_field', message: `symbols: ${fault}` }
    const { replays } = this.#options.subscribing
    // Their sequences are of the stream as it was when they began.
    if (old.replay !== undefined || replays.isFilling(old)) return tooManyReplays()
    return subscriber.pass.permit(name, add, 0)
  }

  /** Brings both streams to the point of the change; the image of what is added, if asked for. */
  #prepare(old: Subscription, stream: Stream, { from }: Update): number[] | Refusal {
    const { limits, delivery, routeValues } = this.#options
    const { subscriber } = old
    if (stream !== old.stream && subscriber.subscriptions.has(stream.id)) {
      return { error: 'already_subscribed', message: `this is stream ${stream.id}` }
    }
    if (stream.channel.carries === 'value') routeValues()
    delivery.flushNow(old.stream)
    delivery.flushNow(stream)
    if (from === 'live') return []
    const before = new Set(old.stream.instruments)
    const slots = delivery.imageSlots(stream).filter((slot) => !before.has(slotInstrument(slot)))
    const room = limits.subscriber_buffer_bytes - subscriber.bufferedBytes()
    const records = delivery.imageRecords(stream, slots)
    if (records * subscriber.encoding.recordBytes <= room) return slots
    return { error: 'image_too_large', message: `the snapshot has ${records} records` }
  }

  #change(
    id: ControlId,
    { add, from }: Update,
    { symbols, removed, absent }: Change,
    { old, stream, slots }: { old: Subscription; stream: Stream; slots: readonly number[] },
  ): void {
    const { delivery, instruments } = this.#options
    const { subscriber } = old
    const was = { id: old.stream.id, nextSeq: old.stream.nextSeq }
    const members = stream.instruments.map((member) => instruments.get(member) as Instrument)
    const isOther = stream !== old.stream
    const isBehind = old.behindFrom > 0
    if (isOther) delivery.declare(old)
    const results = { added: add, removed, absent, instruments: members }
    subscriber.sendControl(updateAck(id, was, stream, results))
    old.symbols = symbols
    const subscription = isOther ? this.#move(old, stream) : old
    if (from === 'snapshot') delivery.image(subscription, slots)
    else if (isOther && isBehind) delivery.joined(subscription)
  }

  #move(old: Subscription, stream: Stream): Subscription {
    const { subscribing } = this.#options
    const { subscriber, slow, symbols, owed } = old
    this.#remember(old)
    subscribing.remove(old)
    const subscription = newSubscription(subscriber, stream, slow, symbols)
    subscribing.enter(subscription)
    // An image that it was promised comes in the new stream, of what is still in it.
    const members = new Set(stream.instruments)
    for (const slot of owed ?? []) {
      if (members.has(slotInstrument(slot))) subscription.owed?.add(slot)
    }
    const isOwed = (subscription.owed?.size ?? 0) > 0
    if (isOwed) this.#options.delivery.fallBehind(subscription, stream.nextSeq)
    return subscription
  }

  /** What was missed of the old stream can be filled. */
  #remember({ subscriber, stream }: Subscription): void {
    if (stream.channel.carries !== 'event') return
    const { former } = subscriber
    const { name, selection, shard, nextSeq } = stream
    former.delete(stream.id)
    former.set(stream.id, { key: { name, selection, shard }, endSeq: nextSeq })
    const [oldest] = former.keys()
    if (former.size > FEED_FORMER_STREAMS_MAX && oldest !== undefined) former.delete(oldest)
  }
}

function changed(before: readonly string[], { add, remove }: Update): Change {
  const gone = new Set(remove)
  const has = new Set(before)
  return {
    symbols: [...new Set([...before.filter((symbol) => !gone.has(symbol)), ...add])],
    removed: [...gone].filter((symbol) => has.has(symbol)),
    absent: [...gone].filter((symbol) => !has.has(symbol)),
  }
}
