// Frames to subscribers: encode once, send to each, and account for every record owed.
//
//   records_published = records_delivered + records_skipped       exact, after every call
//
// The three move together, with nothing slow between, so that another thread rarely sees them
// apart. The same is kept of each subscription (account.ts), against the stream's own sequence.
//
// Frames are gathered as parcels, by subscriber, and sent at the end of each call (`send`): those
// of one subscriber in one go. Encoded once a frame and sub-protocol, whatever their number.
//
// A subscriber whose queue would pass `bufferBytes`, or whose oldest queued byte has waited for
// `bufferAgeMs`, is behind: from then on it is sent nothing of that stream until its queue has
// shrunk to half, and then first what it missed (`gap`), so that the sequences it sees plus those
// declared are dense. At half of either it is warned (`slow`). Its policy says what else:
//
//   gap       nothing else
//   close     it is closed at once, with the last sequence it was sent
//   conflate  an image of the newest record of each instrument and kind, or of each book, it missed
//
// Other subscribers of the same stream are not touched by any of this.

import { MIB } from '../../limits.ts'
import type { CounterName } from '../../ops/counter-catalog.ts'
import type { CounterSet } from '../../ops/counters.ts'
import type { InstrumentTable } from '../../tick/instruments.ts'
import { Frame } from './fb-frame.ts'
import type { Images } from './images.ts'
import { gap, slow, snapshot } from './messages.ts'
import { Parcel } from './parcel.ts'
import type { Stream } from './stream.ts'
import type { Subscriber, Subscription } from './subscriber.ts'

/** Copies of full frames that wait for the end of a call: with more, they are sent before it. */
const COPIED_BYTES_MAX = 4 * MIB
/** A subscriber is warned when so much of what it may have queued is. */
const WARN_SHARE = 0.5

export interface DeliveryOptions {
  readonly bufferBytes: number
  /** 0 = however long. */
  readonly bufferAgeMs: number
  readonly frameTicks: number
  readonly instruments: InstrumentTable
  readonly images: Images
  /** The subscription goes on behind what it was not sent, or has been sent an image. */
  readonly onResumed: (subscription: Subscription) => void
  readonly counters: CounterSet<CounterName<'serve'>>
}

export class Delivery {
  readonly #options: DeliveryOptions
  readonly #resumeBytes: number
  readonly #values: Float64Array
  /** The first so many have parcels in their outboxes; the other places are empty. */
  readonly #waiting: (Subscriber | undefined)[] = []
  #waitingCount = 0
  /** Those that are behind, and some that were. */
  readonly #behind = new Set<Subscription>()
  /** Some of what is newest has no sequence in the streams yet: no images meanwhile. */
  isCatchingUp = false
  #copiedBytes = 0
  /** Full frames of this turn, copied; as many as COPIED_BYTES_MAX allows, and used again. */
  readonly #copies: Frame[] = []
  #copiesUsed = 0
  #nowMs = 0
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

  /**
   * Makes a parcel of what a stream has gathered. The frame may be filled again after `send`, or at
   * once when it was full: `isFull`.
   */
  gather(stream: Stream, nowMs: number, isFull: boolean): void {
    const { frame, nextSeq: firstSeq, subscriptions } = stream
    const { count } = frame.batch
    if (count === 0) return
    this.#nowMs = nowMs
    stream.nextSeq += count
    stream.flushedAtMs = nowMs
    const { epoch } = stream
    const sent = isFull ? this.#copyOf(frame) : frame
    const parcel = new Parcel(sent, { stream: stream.id, epoch, firstSeq })
    frame.reset()
    for (let i = 0; i < subscriptions.length; i++) {
      const subscription = subscriptions[i] as Subscription
      const { subscriber } = subscription
      const { outbox } = subscriber
      if (outbox.count === 0) this.#waiting[this.#waitingCount++] = subscriber
      outbox.push(subscription, parcel)
    }
    if (isFull) this.#copiedBytes += parcel.sizeBytes
    if (this.#copiedBytes > COPIED_BYTES_MAX) this.send()
  }

  /** A copy that stays as it is until all parcels are sent. */
  #copyOf(frame: Frame): Frame {
    const { frameTicks } = this.#options
    const known = this.#copies[this.#copiesUsed]
    const copy = known ?? new Frame(frameTicks, 0, 0, frameTicks)
    if (known === undefined) this.#copies.push(copy)
    this.#copiesUsed++
    copy.become(frame)
    return copy
  }

  /** Sends all parcels. */
  send(): void {
    const waiting = this.#waiting
    this.#copiedBytes = 0
    for (let i = 0; i < this.#waitingCount; i++) {
      const subscriber = waiting[i] as Subscriber
      waiting[i] = undefined
      if (subscriber.outbox.count === 1) this.#empty(subscriber)
      // Several, in one go.
      else subscriber.cork(() => this.#empty(subscriber))
    }
    this.#waitingCount = 0
    this.#copiesUsed = 0
  }

  /** Sends what a stream has gathered. */
  flushNow(stream: Stream): void {
    this.gather(stream, this.#nowMs, false)
    this.send()
  }

  /** The time, for what is sent outside of a turn. */
  setTime(nowMs: number): void {
    this.#nowMs = nowMs
  }

  /** Sequences of the stream that the feed itself never saw. Nothing is gathered. */
  lose(stream: Stream, count: number): void {
    const from = stream.nextSeq
    stream.nextSeq += count
    for (const subscription of [...stream.subscriptions]) {
      if (subscription.replay !== undefined) {
        // It reads them from the journal.
        subscription.replay.letGo()
        continue
      }
      this.#countSkipped(subscription, count)
      // A gap that is still to be declared takes these in.
      if (subscription.behindFrom > 0) {
        for (const slot of this.imageSlots(stream)) subscription.owed?.add(slot)
        continue
      }
      subscription.subscriber.sendControl(gap(stream.id, from, stream.nextSeq - 1, 'overrun'))
    }
  }

  /** Records of a replay. */
  sendAgain(subscription: Subscription, bytes: Uint8Array, count: number): void {
    subscription.imaged += count
    this.#send(subscription, bytes, count)
  }

  /** Live records that were held while a replay ended; they have sequences that it is owed. */
  sendHeld(subscription: Subscription, bytes: Uint8Array, count: number): void {
    this.#send(subscription, bytes, count)
  }

  /** Looks whether a subscriber that is behind can go on: its queue has shrunk. */
  resume(subscription: Subscription): void {
    if (subscription.behindFrom === 0) return
    if (subscription.owed !== undefined) {
      if (this.isCatchingUp) return
      // What is newest has been taken, so it must have its sequence too.
      this.flushNow(subscription.stream)
    }
    this.#resume(subscription, subscription.stream.nextSeq - 1)
  }

  /** From this sequence on it is sent nothing, until it is found that it can go on. */
  fallBehind(subscription: Subscription, fromSeq: number): void {
    subscription.behindFrom = fromSeq
    this.#behind.add(subscription)
  }

  /** The subscription is no more. */
  forget(subscription: Subscription): void {
    this.#behind.delete(subscription)
  }

  /** `resume` of all that are behind: a queue may have shrunk without a word. */
  resumeAll(): void {
    for (const subscription of [...this.#behind]) {
      this.resume(subscription)
      if (subscription.behindFrom === 0) this.#behind.delete(subscription)
    }
  }

  /** Tells a subscriber that leaves what it missed, however full its queue is. */
  declare(subscription: Subscription): void {
    const { subscriber, stream, behindFrom, owed } = subscription
    subscription.behindFrom = 0
    if (behindFrom === 0 || behindFrom === stream.nextSeq) return
    const cause = owed === undefined ? 'slow' : 'conflated'
    subscriber.sendControl(gap(stream.id, behindFrom, stream.nextSeq - 1, cause))
  }

  /** Slots of the image that a new subscription would be sent. */
  imageSlots(stream: Stream): number[] {
    return this.#options.images.slots(stream)
  }

  /** Records of the image of these slots. */
  imageRecords(stream: Stream, slots: readonly number[]): number {
    return this.#options.images.recordCount(stream, slots)
  }

  /** Sends an image that was found to fit. */
  image(subscription: Subscription, slots: readonly number[]): void {
    const { subscriber, stream } = subscription
    const { frameTicks, instruments, images, onResumed } = this.#options
    const { nextSeq: firstSeq, id, epoch } = stream
    subscriber.sendControl(snapshot(id, firstSeq, images.recordCount(stream, slots)))
    const frame = new Frame(frameTicks, id, epoch)
    const identity = { stream: id, epoch, firstSeq }
    const send = () => {
      const { count } = frame.batch
      if (count === 0) return
      this.sendAgain(subscription, subscriber.encoding.encode(frame, identity, instruments), count)
      frame.reset()
    }
    for (const slot of slots) {
      images.read(stream, slot, (words, at) => {
        if (frame.isFull) send()
        frame.append(words, at)
      })
    }
    send()
    onResumed(subscription)
  }

  /** A replay of the subscription has ended: what is live goes on. */
  joined(subscription: Subscription): void {
    this.#options.onResumed(subscription)
  }

  #empty(subscriber: Subscriber): void {
    const { outbox } = subscriber
    for (let i = 0; i < outbox.count; i++) this.#deliver(outbox.subscription(i), outbox.parcel(i))
    outbox.clear()
  }

  #deliver(subscription: Subscription, parcel: Parcel): void {
    const { subscriber } = subscription
    const { firstSeq } = parcel.identity
    const bytes = parcel.encoded(subscriber, this.#options.instruments)
    if (subscription.replay !== undefined) {
      subscription.replay.hold(bytes, parcel.count)
      return
    }
    // An image is of all that was taken, and this may be only a part: its time comes (`resume`).
    if (subscription.behindFrom > 0 && subscription.owed === undefined) {
      this.#resume(subscription, firstSeq - 1)
    }
    const queued = subscriber.bufferedBytes()
    const ageMs = subscriber.queue.ageMs(queued, this.#nowMs)
    if (queued > 0) this.#warn(subscriber, queued, ageMs)
    const { bufferBytes, bufferAgeMs } = this.#options
    const fits = queued + bytes.length <= bufferBytes && (bufferAgeMs === 0 || ageMs < bufferAgeMs)
    // A frame larger than the whole allowance goes to a subscriber that owes nothing.
    const mayGo = fits || queued === 0
    if (subscription.behindFrom === 0 && mayGo && subscriber.sendData(bytes, this.#nowMs)) {
      this.#countSent(subscription, bytes.length, parcel.count)
    } else {
      this.#skip(subscription, parcel)
    }
  }

  /** Says once that the queue is long, until it is short again. */
  #warn(subscriber: Subscriber, queued: number, ageMs: number): void {
    const { bufferBytes, bufferAgeMs } = this.#options
    const share = Math.max(queued / bufferBytes, bufferAgeMs === 0 ? 0 : ageMs / bufferAgeMs)
    if (share < WARN_SHARE / 2) subscriber.isWarned = false
    if (share < WARN_SHARE || subscriber.isWarned) return
    subscriber.isWarned = true
    subscriber.sendControl(slow({ queued, ageMs, bufferBytes, bufferAgeMs }))
  }

  #skip(subscription: Subscription, parcel: Parcel): void {
    const { batch, count, identity } = parcel
    this.#countSkipped(subscription, count)
    if (subscription.behindFrom === 0) this.fallBehind(subscription, identity.firstSeq)
    if (subscription.slow === 'close') {
      if (subscription.endSeq > 0) return
      this.#options.counters.add('slow_closed')
      const reason = { stream: subscription.stream.id, last_seq: identity.firstSeq - 1 }
      subscription.subscriber.close('slow', JSON.stringify(reason))
      return
    }
    const { owed } = subscription
    if (owed === undefined) return
    const { images } = this.#options
    for (let i = 0; i < count; i++) {
      const slot = images.slotOf(subscription.stream, batch, i)
      if (slot >= 0) owed.add(slot)
    }
  }

  /** `to`: the last sequence that was not for it. */
  #resume(subscription: Subscription, to: number): void {
    const { subscriber, stream, behindFrom, owed } = subscription
    const queued = subscriber.bufferedBytes()
    const ageMs = subscriber.queue.ageMs(queued, this.#nowMs)
    const { bufferAgeMs } = this.#options
    if (queued > this.#resumeBytes || (bufferAgeMs > 0 && ageMs > bufferAgeMs / 2)) return
    subscription.behindFrom = 0
    if (to >= behindFrom) {
      const cause = owed === undefined ? 'slow' : 'conflated'
      subscriber.sendControl(gap(stream.id, behindFrom, to, cause))
    }
    if (owed === undefined || owed.size === 0) {
      this.#options.onResumed(subscription)
      return
    }
    const room = this.#options.bufferBytes - subscriber.bufferedBytes()
    let recordsLeft = Math.floor(room / subscriber.encoding.recordBytes)
    const slots: number[] = []
    for (const slot of owed) {
      recordsLeft -= this.#options.images.recordCount(stream, [slot])
      if (recordsLeft < 0 && slots.length > 0) break
      slots.push(slot)
    }
    for (const slot of slots) owed.delete(slot)
    this.image(subscription, slots)
    // The rest of the image waits for the queue to shrink again.
    if (owed.size > 0) this.fallBehind(subscription, to + 1)
  }

  #send(subscription: Subscription, bytes: Uint8Array, records: number): void {
    const sent = subscription.subscriber.sendData(bytes, this.#nowMs)
    if (sent) this.#countSent(subscription, bytes.length, records)
    else this.#countSkipped(subscription, records)
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
