// One subscriber's way back: records of its stream out of the journal, then on with what is live.
//
// The journal is read and filtered as the router would have done, so that the records have the
// sequences that they had. It ends where the stream's live frames take over without a break. Those
// run ahead of what is durable: once the journal has been read nearly to its end, live frames are
// held (`hold`) until what was read meets them. A subscriber that cannot keep up holds none: its
// queue is filled from the journal, at its own pace, for as long as it takes.
//
//   reading   from the journal, as far as the feed itself is
//   closing   as before, up to the first frame that is held
//   done      the subscription is like any other
//
// A fill is the same with a fixed end, beside the live frames. Invariant: `#nextSeq` is the
// sequence of the next record that matches, in `#epoch`.

import { errorText, TickdError } from '../../errors.ts'
import { FEED_REPLAY_TICKS } from '../../limits.ts'
import { crc32 } from '../../native/checksum.ts'
import { TickBatch } from '../../tick/batch.ts'
import { compareI64, readSplit, type Split } from '../../tick/fixed-point.ts'
import type { InstrumentTable } from '../../tick/instruments.ts'
import { KIND, TICK_WORDS, WORD } from '../../tick/layout.ts'
import type { ControlId } from './control.ts'
import { DeepCursor } from './deep-cursor.ts'
import type { Delivery } from './delivery.ts'
import type { FeedErrorName } from './errors.ts'
import { Frame } from './fb-frame.ts'
import type { FeedJournal, ReplayCursor } from './feed-journal.ts'
import { Holding } from './holding.ts'
import { epochBegins, replayCompleted, restartGap } from './messages.ts'
import { isMoment, type ReplayStart, type Target } from './replay-start.ts'
import { Members } from './selection.ts'
import type { Subscription } from './subscriber.ts'
import { concerns, upstreamGap, venueGap } from './upstream.ts'

export interface ReplayOptions {
  readonly id: ControlId
  readonly subscription: Subscription
  readonly journal: FeedJournal
  readonly start: ReplayStart
  readonly target: Target
  /** A fill: the last sequence wanted, in the target's epoch. */
  readonly fillTo: number | undefined
  /** Its subscriber may see nothing received before, ms since 1970; undefined = everything. */
  readonly oldestMs: number | undefined
  readonly delivery: Delivery
  readonly instruments: InstrumentTable
  readonly frameTicks: number
  readonly bufferBytes: number
}

const split: Split = { negative: false, a: 0, b: 0 }

export class Replay {
  readonly subscription: Subscription
  isDone = false
  /** Why it ended before its end. */
  failure: FeedErrorName | undefined
  failureText = ''
  readonly #options: ReplayOptions
  readonly #batch: TickBatch
  readonly #members: Members
  readonly #roomBytes: number
  #cursor: ReplayCursor | undefined
  /** Where in the journal it goes on. */
  #journalSeq: number
  #epoch: number
  #nextSeq: number
  #frame: Frame | undefined
  /** The target has been reached: records are sent. */
  #isThere = false
  #count = 0
  #crc = 0
  readonly #holding: Holding

  constructor(options: ReplayOptions) {
    const { subscription, start, instruments, bufferBytes } = options
    this.#options = options
    this.subscription = subscription
    this.#journalSeq = start.seq
    this.#epoch = start.epoch
    this.#nextSeq = start.streamSeq
    this.#members = new Members(subscription.stream.selection, instruments)
    this.#roomBytes = bufferBytes / 2
    this.#holding = new Holding(this.#roomBytes)
    const ticks = Math.floor(this.#roomBytes / subscription.subscriber.encoding.recordBytes)
    this.#batch = new TickBatch(Math.max(16, Math.min(FEED_REPLAY_TICKS, ticks)))
  }

  get isFill(): boolean {
    return this.#options.fillTo !== undefined
  }

  get id(): ControlId {
    return this.#options.id
  }

  /** Its client reads what it is sent. */
  get hasRoom(): boolean {
    return this.subscription.subscriber.bufferedBytes() <= this.#roomBytes
  }

  /**
   * Reads and sends a little. Returns the records read; 0 = it waits for its client or the disk.
   */
  work(): number {
    if (!this.hasRoom) return 0
    try {
      return this.#step()
    } catch (thrown) {
      if (!(thrown instanceof TickdError)) throw thrown
      const isGone = this.#journalSeq < this.#options.journal.oldest()
      this.#fail(isGone ? 'replay_aged_out' : 'replay_failed', errorText(thrown))
      return 0
    }
  }

  /** A live frame of the stream; `bytes` are valid during the call only. */
  hold(bytes: Uint8Array, count: number): void {
    this.#holding.frame(bytes, count)
  }

  /** As `hold`, for the word of a hole in the venue's numbers. */
  holdGap(message: string): void {
    this.#holding.gap(message)
  }

  /** Holds nothing any more: what was held is read from the journal. */
  letGo(): void {
    this.#holding.letGo()
  }

  /** Waits without holding anything open. */
  park(): void {
    this.#cursor?.close()
    // A deep one opens again by itself, where it was.
    if (!(this.#cursor instanceof DeepCursor)) this.#cursor = undefined
    this.letGo()
  }

  close(): void {
    this.park()
    this.isDone = true
  }

  #step(): number {
    const cursor = this.#cursor ?? this.#open()
    if (this.#endIfThere()) return 1
    const count = cursor.read(this.#batch)
    if (this.isDone) return 0
    this.#journalSeq = cursor.seq
    const { fault } = cursor
    if (fault !== undefined) this.#fail(fault.name, fault.text)
    if (count === 0) {
      if (!this.isDone && cursor.isWaiting !== true) this.#startHolding()
      return 0
    }
    if (cursor.epoch !== this.#epoch) this.#cross(cursor.epoch)
    if (!this.isDone) this.#take(count)
    this.#send()
    if (!this.#endIfThere() && this.#isNear()) this.#startHolding()
    return count
  }

  #open(): ReplayCursor {
    const { journal, start, target } = this.#options
    const isFirst = this.#journalSeq === start.seq
    const cursor = this.#cursorAt(this.#journalSeq)
    this.#cursor = cursor
    if (!isFirst || isMoment(target)) return cursor
    if (start.epoch > target.epoch) this.#arriveAfter(target, start.epoch)
    // Nothing was missed: nothing has to be read.
    const isLive = target.epoch === journal.epoch && target.seq === this.#liveSeq()
    if (isLive) this.#nextSeq = target.seq
    return cursor
  }

  #cursorAt(fromSeq: number): ReplayCursor {
    const { journal, start } = this.#options
    const { epochs, recvMs } = start
    const { store } = journal
    const onSkip = () => this.#fail('replay_failed', 'records of the journal are damaged')
    if (store === undefined) return journal.open(fromSeq, onSkip)
    return new DeepCursor({ journal, store, epochs, fromSeq, recvMs, onSkip })
  }

  #take(count: number): void {
    const batch = this.#batch
    const endSeq = this.#endSeq()
    const { id } = this.subscription.stream
    const { frameTicks } = this.#options
    for (let i = 0; i < count; i++) {
      if (batch.kind(i) === KIND.status && this.#nextSeq < endSeq) this.#tellGap(i)
      if (!this.#wants(i)) continue
      if (this.#nextSeq >= endSeq) return
      if (!this.#isThere && !this.#arrives(i)) {
        this.#nextSeq++
        continue
      }
      if (this.#count === 0 && !this.#maySee(i)) return
      this.#frame ??= new Frame(frameTicks, id, this.#epoch)
      if (this.#frame.isFull) this.#send()
      this.#frame.append(batch.words, i * TICK_WORDS)
      this.#nextSeq++
    }
  }

  #wants(index: number): boolean {
    const { channel } = this.subscription.stream
    return (
      channel.kinds.includes(this.#batch.kind(index)) &&
      this.#members.has(this.#batch.instrument(index))
    )
  }

  /** What the venue lost, at its place. A fill is of what was told when it was live. */
  #tellGap(index: number): void {
    const { subscriber, stream } = this.subscription
    const hole = this.isFill ? undefined : venueGap(this.#batch, index)
    if (
      hole === undefined ||
      !concerns(stream.channel, hole) ||
      !this.#members.has(this.#batch.instrument(index))
    )
      return
    if (!this.#isThere && !this.#arrives(index)) return
    if (this.#count === 0 && !this.#maySee(index)) return
    this.#send()
    subscriber.sendControl(upstreamGap(stream.id, this.#epoch, this.#nextSeq, hole))
  }

  /** Whether the record at `index` is the first that is wanted. */
  #arrives(index: number): boolean {
    const { target } = this.#options
    if (!isMoment(target)) {
      this.#isThere = this.#epoch === target.epoch && this.#nextSeq >= target.seq
      return this.#isThere
    }
    const at = index * TICK_WORDS + WORD.ts_recv
    if (compareI64(this.#batch.words, at, target.words, 0) < 0) return false
    this.#begin()
    return true
  }

  /** Whether the first record that is wanted is not too old for its subscriber. */
  #maySee(index: number): boolean {
    const { oldestMs } = this.#options
    if (oldestMs === undefined) return true
    readSplit(this.#batch.words, index * TICK_WORDS + WORD.ts_recv, split)
    if (split.a * 1000 + split.b / 1e6 >= oldestMs) return true
    this.#fail('forbidden', 'no right to go back so far')
    return false
  }

  /** From here on records are sent, of this epoch. */
  #begin(): void {
    this.#isThere = true
    const { subscriber, stream } = this.subscription
    subscriber.sendControl(epochBegins(stream.id, this.#epoch, this.#nextSeq))
  }

  /** The sequence before which it ends, in the epoch at hand. */
  #endSeq(): number {
    const { journal, fillTo, target } = this.#options
    if (fillTo !== undefined && !isMoment(target)) {
      return this.#epoch === target.epoch ? fillTo + 1 : 0
    }
    if (this.#epoch !== journal.epoch) return Infinity
    return this.#holding.seq > 0 ? this.#holding.seq : this.#liveSeq()
  }

  /** The sequence that the next record of the ring would have. */
  #liveSeq(): number {
    const { nextSeq, frame } = this.subscription.stream
    return nextSeq + frame.batch.count
  }

  #endIfThere(): boolean {
    const { journal } = this.#options
    if (!this.isDone && this.#nextSeq < this.#endSeq()) {
      // An epoch ends where the next one begins, though that has no record yet.
      const isOver = this.#epoch < journal.epoch && this.#journalSeq >= journal.firstSeq
      if (!isOver) return false
      this.#cross(journal.epoch)
      if (!this.isDone && this.#nextSeq < this.#endSeq()) return false
    }
    if (this.isDone) return true
    if (this.isFill) this.#complete()
    else this.#join()
    return true
  }

  /** The journal goes on in a later epoch: that before is complete. */
  #cross(epoch: number): void {
    this.#send()
    const { target, fillTo } = this.#options
    const { subscriber, stream } = this.subscription
    const ended = { stream: stream.id, epoch: this.#epoch, nextEpoch: epoch }
    if (fillTo !== undefined) {
      // The rest of the range was never durable.
      subscriber.sendControl(restartGap({ ...ended, from: this.#nextSeq, to: fillTo }))
      this.#complete()
      return
    }
    if (!isMoment(target) && !this.#isThere && this.#epoch === target.epoch) {
      if (target.seq > this.#nextSeq) {
        const range = { from: this.#nextSeq, to: target.seq - 1 }
        subscriber.sendControl(restartGap({ ...ended, ...range }))
      }
      this.#isThere = true
    }
    this.#epoch = epoch
    this.#nextSeq = 1
    this.#frame = undefined
    if (this.#isThere) subscriber.sendControl(epochBegins(stream.id, epoch, 1))
  }

  /** Nothing of the epoch that the client knows was durable. */
  #arriveAfter(target: { epoch: number; seq: number }, nextEpoch: number): void {
    const { subscriber, stream } = this.subscription
    const { epoch, seq } = target
    const range = { from: 1, to: this.#options.fillTo ?? seq - 1 }
    if (range.to >= 1) {
      subscriber.sendControl(restartGap({ stream: stream.id, epoch, ...range, nextEpoch }))
    }
    if (!this.isFill) this.#begin()
  }

  /** What is live is no more than a few steps ahead: it would be, for ever, if it is busy. */
  #isNear(): boolean {
    const isNow = this.#epoch === this.#options.journal.epoch
    return isNow && this.#liveSeq() - this.#nextSeq <= FEED_REPLAY_TICKS
  }

  /** The journal has been read to its end, or nearly: the live frames from here on are kept. */
  #startHolding(): void {
    if (this.isFill || this.#holding.seq > 0) return
    const { stream } = this.subscription
    this.#options.delivery.flushNow(stream)
    this.#holding.begin(stream)
  }

  /** What was read has met what is live. */
  #join(): void {
    const { delivery, target } = this.#options
    const { subscription } = this
    if (!this.#isThere && isMoment(target)) this.#begin()
    this.#startHolding()
    subscription.firstSeq = this.#holding.seq
    subscription.replay = undefined
    for (const item of this.#holding.items) {
      if (typeof item === 'string') subscription.subscriber.sendControl(item)
      else {
        this.#digest(item.bytes, item.count)
        delivery.sendHeld(subscription, item.bytes, item.count)
      }
    }
    this.#complete()
  }

  #complete(): void {
    const { id, fillTo, target } = this.#options
    const { subscriber, stream } = this.subscription
    const isFill = fillTo !== undefined && !isMoment(target)
    const extent = isFill
      ? { epoch: target.epoch, from: target.seq, to: fillTo }
      : { epoch: this.#epoch, next_seq: stream.nextSeq }
    const digest = this.#crc.toString(16).padStart(8, '0')
    const totals = { count: this.#count, digest }
    this.close()
    subscriber.sendControl(replayCompleted(id, stream.id, extent, totals))
    if (!isFill) this.#options.delivery.joined(this.subscription)
  }

  /** Sends what was gathered. */
  #send(): void {
    const frame = this.#frame
    if (frame === undefined || frame.batch.count === 0) return
    const { instruments, delivery } = this.#options
    const { subscriber, stream } = this.subscription
    const { count } = frame.batch
    const identity = { stream: stream.id, epoch: this.#epoch, firstSeq: this.#nextSeq - count }
    const bytes = subscriber.encoding.encode(frame, identity, instruments)
    this.#digest(bytes, count)
    delivery.sendAgain(this.subscription, bytes, count)
    frame.reset()
  }

  #digest(bytes: Uint8Array, count: number): void {
    this.#crc = crc32(bytes, 0, bytes.length, this.#crc)
    this.#count += count
  }

  #fail(failure: FeedErrorName, text: string): void {
    if (this.isDone) return
    this.failure = failure
    this.failureText = text
    this.close()
  }
}
