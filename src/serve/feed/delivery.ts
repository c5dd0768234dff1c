// Frames to subscribers: encode once, send to each, and account for every record owed.
//
//   records_published = records_delivered + records_skipped       exact, after every call
//
// The three move together, with nothing slow between, so that another thread rarely sees them
// apart. The same is kept of each subscription (account.ts), against the stream's own sequence.
//
// A subscriber whose queue would pass `bufferBytes` is behind: from then on it is sent nothing of
// that stream until its queue has shrunk to half, and then first what it missed (`gap`), so that
// the sequences it sees plus those declared are dense. Its policy says what else:
//
//   gap       nothing else
//   close     it is closed at once, with the last sequence it was sent
//   conflate  an image of the newest record of each instrument and kind it missed
//
// Other subscribers of the same stream are not touched by any of this.

import { LATEST_KIND_COUNT, LATEST_RANK } from '../../aggregate/latest-table-layout.ts'
import type { CounterName } from '../../ops/counter-catalog.ts'
import type { CounterSet } from '../../ops/counters.ts'
import type { TickBatch } from '../../tick/batch.ts'
import type { InstrumentTable } from '../../tick/instruments.ts'
import { FLAG, TICK_WORDS } from '../../tick/layout.ts'
import type { Protocol } from './encode.ts'
import { Frame } from './fb-frame.ts'
import { gap, snapshot } from './messages.ts'
import type { Newest } from './newest.ts'
import type { Stream } from './stream.ts'
import type { Subscription } from './subscriber.ts'

export interface DeliveryOptions {
  readonly epoch: number
  readonly bufferBytes: number
  readonly frameTicks: number
  readonly instruments: InstrumentTable
  readonly newest: Newest
  readonly counters: CounterSet<CounterName<'serve'>>
}

export class Delivery {
  readonly #options: DeliveryOptions
  readonly #resumeBytes: number
  readonly #values: Float64Array
  readonly #at: Readonly<Record<'published' | 'delivered' | 'skipped' | 'frames' | 'bytes', number>>

  constructor(options: DeliveryOptions) {
    this.#options = options
    this.#resumeBytes = options.bufferBytes / 2
    const { counters } = options
    this.#values = counters.values
    this.#at = {
      published: counters.index('records_published'),
      delivered: counters.index('records_delivered'),
      skipped: counters.index('records_skipped'),
      frames: counters.index('frames'),
      bytes: counters.index('bytes'),
    }
  }

  /** Sends what a stream has gathered. */
  flush(stream: Stream, nowMs: number): void {
    const { frame, id, nextSeq: firstSeq } = stream
    const { epoch, instruments } = this.#options
    const { count } = frame.batch
    if (count === 0) return
    stream.nextSeq += count
    stream.flushedAtMs = nowMs
    const identity = { stream: id, epoch, firstSeq }
    const encoded = new Map<Protocol, Uint8Array>()
    // From the end: a subscriber that is closed on the way takes itself off the list.
    for (let i = stream.subscriptions.length - 1; i >= 0; i--) {
      const subscription = stream.subscriptions[i] as Subscription
      const { protocol, encoding } = subscription.subscriber
      let bytes = encoded.get(protocol)
      if (bytes === undefined) {
        bytes = encoding.encode(frame, identity, instruments)
        encoded.set(protocol, bytes)
      }
      this.#deliver(subscription, bytes, firstSeq, frame.batch)
    }
    frame.reset()
  }

  /** Looks whether a subscriber that is behind can go on: its queue has shrunk. */
  resume(subscription: Subscription): void {
    if (subscription.behindFrom > 0) this.#resume(subscription, subscription.stream.nextSeq - 1)
  }

  /** Tells a subscriber that leaves what it missed, however full its queue is. */
  declare(subscription: Subscription): void {
    const { subscriber, stream, behindFrom, owed } = subscription
    subscription.behindFrom = 0
    if (behindFrom === 0 || behindFrom === stream.nextSeq) return
    const cause = owed === undefined ? 'slow' : 'conflated'
    subscriber.sendControl(gap(stream.id, behindFrom, stream.nextSeq - 1, cause))
  }

  /** Records of the image that a new subscription would be sent, and their size in all. */
  imageSlots(stream: Stream): number[] {
    const { newest } = this.#options
    const slots: number[] = []
    for (const id of stream.instruments) {
      for (const kind of stream.channel.kinds) {
        const slot = newest.find(id, kind)
        if (slot >= 0) slots.push(slot)
      }
    }
    return slots
  }

  /** Sends an image that was found to fit. */
  image(subscription: Subscription, slots: readonly number[]): void {
    const { subscriber, stream } = subscription
    const { epoch, frameTicks, instruments, newest } = this.#options
    const { nextSeq: firstSeq, id } = stream
    subscriber.sendControl(snapshot(id, firstSeq, slots.length))
    const frame = new Frame(frameTicks, id, epoch)
    for (let from = 0; from < slots.length; from += frameTicks) {
      const part = slots.slice(from, from + frameTicks)
      part.forEach((slot, i) => {
        frame.append(newest.words, slot * TICK_WORDS)
        frame.batch.addFlags(i, FLAG.SNAPSHOT)
      })
      const identity = { stream: id, epoch, firstSeq }
      const bytes = subscriber.encoding.encode(frame, identity, instruments)
      subscription.imaged += part.length
      const sent = subscriber.sendData(bytes)
      if (sent) this.#countSent(subscription, bytes.length, part.length)
      else this.#countSkipped(subscription, part.length)
      frame.reset()
    }
  }

  #deliver(
    subscription: Subscription,
    bytes: Uint8Array,
    firstSeq: number,
    batch: TickBatch,
  ): void {
    const { subscriber } = subscription
    if (subscription.behindFrom > 0) this.#resume(subscription, firstSeq - 1)
    const fits = subscriber.bufferedBytes() + bytes.length <= this.#options.bufferBytes
    // A frame larger than the whole allowance goes to a subscriber that owes nothing.
    const mayGo = fits || subscriber.bufferedBytes() === 0
    if (subscription.behindFrom === 0 && mayGo && subscriber.sendData(bytes)) {
      this.#countSent(subscription, bytes.length, batch.count)
    } else {
      this.#skip(subscription, firstSeq, batch)
    }
  }

  #skip(subscription: Subscription, firstSeq: number, batch: TickBatch): void {
    this.#countSkipped(subscription, batch.count)
    if (subscription.behindFrom === 0) subscription.behindFrom = firstSeq
    if (subscription.slow === 'close') {
      this.#options.counters.add('slow_closed')
      const reason = { stream: subscription.stream.id, last_seq: firstSeq - 1 }
      subscription.subscriber.close('slow', JSON.stringify(reason))
      return
    }
    const { owed } = subscription
    if (owed === undefined) return
    for (let i = 0; i < batch.count; i++) {
      const rank = LATEST_RANK[batch.kind(i)] as number
      if (rank >= 0) owed.add((batch.instrument(i) - 1) * LATEST_KIND_COUNT + rank)
    }
  }

  /** `to`: the last sequence that was not for it. */
  #resume(subscription: Subscription, to: number): void {
    const { subscriber, stream, behindFrom, owed } = subscription
    if (subscriber.bufferedBytes() > this.#resumeBytes) return
    subscription.behindFrom = 0
    if (to >= behindFrom) {
      const cause = owed === undefined ? 'slow' : 'conflated'
      subscriber.sendControl(gap(stream.id, behindFrom, to, cause))
    }
    if (owed === undefined || owed.size === 0) return
    const room = this.#options.bufferBytes - subscriber.bufferedBytes()
    const slots: number[] = []
    const slotsMax = Math.max(1, Math.floor(room / subscriber.encoding.recordBytes))
    for (const slot of owed) {
      if (slots.length === slotsMax) break
      slots.push(slot)
    }
    for (const slot of slots) owed.delete(slot)
    this.image(subscription, slots)
    // The rest of the image waits for the queue to shrink again.
    if (owed.size > 0) subscription.behindFrom = to + 1
  }

  #countSent(subscription: Subscription, bytes: number, records: number): void {
    subscription.delivered += records
    this.#add(this.#at.published, records)
    this.#add(this.#at.delivered, records)
    this.#add(this.#at.frames, 1)
    this.#add(this.#at.bytes, bytes)
  }

  #countSkipped(subscription: Subscription, records: number): void {
    subscription.skipped += records
    this.#add(this.#at.published, records)
    this.#add(this.#at.skipped, records)
  }

  #add(index: number, n: number): void {
    this.#values[index] = (this.#values[index] as number) + n
  }
}
