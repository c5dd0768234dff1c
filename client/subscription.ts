// One subscription: what came is verified, put in order, and given to its reader.
//
//   frames ─→ sequence ─→ (hole? fill it, hold back what is behind it) ─→ queue ─→ for await
//                                                                    └──→ handlers, at once
//
// Invariant: what a reader gets is in the order of the stream; everything between two batches that
// it does not get stands in a `gap` event at that very place. Bounded: what waits for the reader
// and what is held back behind a hole are each at most `queueRecordsMax` records.

import type { BatchKind, FrameHead } from './batch.ts'
import { crc32, crcText } from './crc32.ts'
import type { Ack, FeedError, From, Gap, ServerMessage, SubscribeRequest } from './messages.ts'
import { type FeedEvent, Outlet } from './outlet.ts'
import { type Batch, type FeedRecord, recordsOf } from './record.ts'
import { Sequence } from './sequence.ts'
import { newStats, type Stats } from './stats.ts'

export interface Handlers {
  /** With it the subscription calls, and is not to be iterated. */
  readonly batch?: (batch: Batch) => void
  readonly gap?: (gap: Gap) => void
  readonly epoch?: (epoch: number, nextSeq: number) => void
  readonly live?: (epoch: number, nextSeq: number) => void
  readonly error?: (error: FeedError) => void
}

/** What a subscription asks of its connection. */
export interface Link {
  readonly queueRecordsMax: number
  readonly fillsGaps: boolean
  /** Asks for sequences again. False when that cannot be asked now. */
  fill(subscription: Subscription, epoch: number, from: number, to: number): boolean
  unsubscribe(subscription: Subscription): void
  /** The weight of a queue has changed. */
  onPressure(): void
}

/** Sequences that are missing and were asked for again. */
interface Hole {
  readonly gap: Gap
  next: number
  readonly to: number
  crc: number
}

/** Streams of these are made for those who listen: nothing of them can be had again. */
const LIVE_CHANNELS: ReadonlySet<string> = new Set(['latest', 'test'])
/** Nothing can be had again of what an image stands for, or of what never came to the daemon. */
const FILLABLE_NOT: ReadonlySet<string> = new Set(['conflated', 'upstream', 'restart'])

export class Subscription implements AsyncIterable<FeedRecord> {
  readonly request: SubscribeRequest
  readonly stats: Stats = newStats()
  /** Resolves with the first ack; rejects when the server refuses. */
  readonly ready: Promise<Ack>
  /** The newest ack. */
  ack: Ack | undefined
  isClosed = false
  readonly #link: Link
  readonly #handlers: Handlers
  readonly #outlet: Outlet
  #settle!: { resolve: (ack: Ack) => void; reject: (error: Error) => void }
  #epoch = 0
  #sequence: Sequence | undefined
  #imageLeft = 0
  /** Of the replay that is under way. */
  #replay: { crc: number } | undefined
  #hole: Hole | undefined
  #held: FeedEvent[] = []
  #heldCount = 0

  constructor(link: Link, request: SubscribeRequest, handlers: Handlers) {
    this.#link = link
    this.request = request
    this.#handlers = handlers
    this.#outlet = new Outlet({
      handlers,
      recordsMax: link.queueRecordsMax,
      onPressure: () => link.onPressure(),
      onOverflowEnd: (epoch, from, to) => this.#onOverflowEnd(epoch, from, to),
    })
    this.ready = new Promise((resolve, reject) => {
      this.#settle = { resolve, reject }
    })
    // Who iterates learns of a refusal there.
    this.ready.catch(() => {})
  }

  get stream(): number {
    return this.ack?.stream ?? 0
  }

  /** Records that wait for the reader. */
  get queuedCount(): number {
    return this.#outlet.queuedCount
  }

  /** The next record: what `from` takes to go on from here, in another process too. */
  get position(): { readonly epoch: number; readonly seq: number } | undefined {
    const sequence = this.#sequence
    return sequence === undefined ? undefined : { epoch: this.#epoch, seq: sequence.expected }
  }

  /** Ends it here and at the server. Readers get what is queued, then the end. */
  close(): void {
    if (this.isClosed) return
    this.#link.unsubscribe(this)
    this.end(undefined)
  }

  /** Records, one by one. Gaps go to the `gap` handler at their place. */
  async *[Symbol.asyncIterator](): AsyncGenerator<FeedRecord> {
    for await (const batch of this.batches()) yield* recordsOf(batch)
  }

  /** Records as the frames brought them: the way for speed. */
  async *batches(): AsyncGenerator<Batch> {
    for await (const event of this.events()) {
      if (event.type === 'batch') yield event.batch
      else this.#outlet.call(event)
    }
  }

  /** Everything that a reader must know, in order. */
  async *events(): AsyncGenerator<FeedEvent> {
    try {
      for (;;) {
        const { value, done } = await this.#outlet.take()
        if (done) return
        yield value
      }
    } finally {
      this.close()
    }
  }

  // What follows is for the connection.

  /** Where to begin now: as asked at first, then where it stopped. */
  from(): From {
    if (LIVE_CHANNELS.has(this.request.channel)) return this.request.from ?? 'live'
    return this.position ?? this.request.from ?? 'live'
  }

  onAck(ack: Ack): void {
    const isFirst = this.ack === undefined
    this.ack = ack
    this.#imageLeft = 0
    this.#replay = ack.replay === true ? { crc: 0 } : undefined
    if (isFirst) this.#settle.resolve(ack)
    this.#goOn(ack, isFirst)
    if (this.#replay === undefined) {
      this.#emit({ type: 'live', epoch: ack.epoch, nextSeq: ack.next_seq ?? 0 })
    }
  }

  /** How a frame of this stream is to be taken. */
  kindOf(head: FrameHead): BatchKind {
    const isImage = this.#imageLeft > 0
    return { isImage, isReplay: !isImage && (this.#replay !== undefined || this.#isFill(head)) }
  }

  /** `payload`: the bytes of the message, of which a replay has a digest. */
  onBatch(batch: Batch, payload: () => Uint8Array): void {
    const sequence = this.#sequence
    if (sequence === undefined || batch.count === 0) return
    this.stats.frames++
    if (batch.isImage) {
      this.#imageLeft -= batch.count
      this.#emitBatch(batch)
    } else if (this.#isFill(batch)) this.#onFill(batch, payload())
    else {
      if (this.#replay !== undefined) this.#replay.crc = crc32(payload(), this.#replay.crc)
      const { skip, hole } = sequence.frame(batch.firstSeq, batch.count)
      if (hole !== undefined) this.#undeclared(hole.from, hole.to)
      this.stats.duplicates += skip
      if (skip < batch.count) this.#emitBatch(skip === 0 ? batch : batch.skip(skip))
    }
  }

  onMessage(message: ServerMessage): void {
    if (message.op === 'snapshot') this.#imageLeft = Number(message.count)
    if (message.op === 'gap') this.#onGap(message)
    if (message.op === 'epoch') {
      const nextSeq = Number(message.next_seq)
      this.#epoch = Number(message.epoch)
      this.#sequence = new Sequence(nextSeq)
      this.#emit({ type: 'epoch', epoch: this.#epoch, nextSeq })
    }
    if (message.op === 'replay_completed') this.#onReplayCompleted(message)
  }

  /** The server says what comes next, while nothing comes. */
  onHeartbeat(nextSeq: number): void {
    const hole = this.#sequence?.reach(nextSeq)
    if (hole !== undefined) this.#undeclared(hole.from, hole.to)
  }

  /** The range that was asked for again will not come, or no further. */
  onFillEnd(): void {
    const hole = this.#hole
    if (hole === undefined) return
    this.#hole = undefined
    if (hole.next <= hole.to) {
      this.#outlet.push({ type: 'gap', gap: { ...hole.gap, from: hole.next, to: hole.to } })
    }
    const held = this.#held
    this.#held = []
    this.#heldCount = 0
    for (const event of held) {
      if (event.type === 'gap') this.#gap(event.gap)
      else this.#emit(event)
    }
  }

  end(error: FeedError | undefined): void {
    if (this.isClosed) return
    this.isClosed = true
    if (error !== undefined) {
      this.#settle.reject(error)
      this.#handlers.error?.(error)
    }
    this.#outlet.end(error)
  }

  /** Subscribed for the first time; or the same sequence goes on; or another one begins. */
  #goOn({ epoch, stream, next_seq: nextSeq, replay }: Ack, isFirst: boolean): void {
    const { position } = this
    const sequence = this.#sequence
    const isSame =
      epoch === position?.epoch &&
      !LIVE_CHANNELS.has(this.request.channel) &&
      (nextSeq ?? 0) >= position.seq
    if (isSame) {
      const hole = this.#hole
      const isAsked =
        hole === undefined || this.#link.fill(this, hole.gap.epoch, hole.next, hole.to)
      if (!isAsked) this.onFillEnd()
      const lost = sequence?.reach(nextSeq ?? 0)
      if (lost !== undefined) this.#lost(lost.from, lost.to, 'reconnect', undefined)
      return
    }
    this.onFillEnd()
    // A replay tells by itself what it begins behind.
    if (!isFirst && position !== undefined && replay !== true) {
      const cause = epoch === position.epoch ? 'reconnect' : 'restart'
      const { epoch: before, seq: from } = position
      this.#gap({ stream, epoch: before, from, to: undefined, cause, message: undefined })
    }
    this.#epoch = epoch
    // Of a replay by time the `epoch` message that comes first says the sequence.
    this.#sequence = new Sequence(nextSeq ?? 0)
  }

  #onReplayCompleted(message: ServerMessage): void {
    const { from, digest, epoch, next_seq: nextSeq } = message
    // With `from` it is the end of a fill.
    const crc = from === undefined ? this.#replay?.crc : this.#hole?.crc
    if (crc !== undefined && digest !== crcText(crc)) this.stats.corrupt++
    if (from !== undefined) this.onFillEnd()
    else if (this.#replay !== undefined) {
      this.#replay = undefined
      this.onHeartbeat(Number(nextSeq))
      this.#emit({ type: 'live', epoch: Number(epoch), nextSeq: Number(nextSeq) })
    }
  }

  #onGap(message: ServerMessage): void {
    const { from, to, next_seq: nextSeq, epoch } = message
    const cause = String(message.cause)
    const sequence = this.#sequence
    if (sequence === undefined) return
    if (typeof from !== 'number' || typeof to !== 'number') {
      // Nobody knows what of it belonged to this stream; its sequences are whole.
      this.#tell(Number(nextSeq ?? sequence.expected), undefined, cause, message)
    } else if (cause === 'restart') {
      this.stats.voided += to - from + 1
      this.#gap({ stream: this.stream, epoch: Number(epoch), from, to, cause, message })
    } else {
      const hole = sequence.reach(from)
      if (hole !== undefined) this.#undeclared(hole.from, hole.to)
      const first = Math.max(from, sequence.expected)
      sequence.reach(to + 1)
      if (first <= to) this.#lost(first, to, cause, message)
    }
  }

  #undeclared(from: number, to: number): void {
    this.stats.undeclared++
    this.#lost(from, to, 'undeclared', undefined)
  }

  #lost(from: number, to: number, cause: string, message: ServerMessage | undefined): void {
    this.stats.missed += to - from + 1
    this.#tell(from, to, cause, message)
  }

  #tell(
    from: number,
    to: number | undefined,
    cause: string,
    message: ServerMessage | undefined,
  ): void {
    this.#gap({ stream: this.stream, epoch: this.#epoch, from, to, cause, message })
  }

  #gap(gap: Gap): void {
    if (this.#hole !== undefined) this.#hold({ type: 'gap', gap }, 0)
    else if (!this.#tryFill(gap)) this.#outlet.push({ type: 'gap', gap })
  }

  #tryFill(gap: Gap): boolean {
    const { cause, epoch, from, to } = gap
    if (to === undefined || FILLABLE_NOT.has(cause) || !this.#link.fillsGaps) return false
    if (LIVE_CHANNELS.has(this.request.channel)) return false
    // Before it is asked for, as an answer may end it at once.
    this.#hole = { gap, next: from, to, crc: 0 }
    if (this.#link.fill(this, epoch, from, to)) return true
    this.#hole = undefined
    return false
  }

  #isFill({ epoch, firstSeq }: FrameHead): boolean {
    const hole = this.#hole
    if (hole === undefined || epoch !== hole.gap.epoch) return false
    return firstSeq >= hole.next && firstSeq <= hole.to
  }

  #onFill(batch: Batch, payload: Uint8Array): void {
    const hole = this.#hole as Hole
    if (batch.firstSeq > hole.next) {
      const gap = { ...hole.gap, from: hole.next, to: batch.firstSeq - 1 }
      this.#outlet.push({ type: 'gap', gap })
    }
    hole.crc = crc32(payload, hole.crc)
    hole.next = batch.firstSeq + batch.count
    this.stats.filled += batch.count
    this.stats.records += batch.count
    this.#outlet.push({ type: 'batch', batch })
  }

  #emitBatch(batch: Batch): void {
    this.stats.records += batch.count
    this.#emit({ type: 'batch', batch })
  }

  #emit(event: FeedEvent): void {
    if (this.#hole === undefined) this.#outlet.push(event)
    else this.#hold(event, event.type === 'batch' ? event.batch.count : 0)
  }

  #hold(event: FeedEvent, count: number): void {
    this.#held.push(event)
    this.#heldCount += count
    // Waiting longer would cost more than the hole is worth: it is told, and life goes on.
    if (this.#heldCount > this.#link.queueRecordsMax) this.onFillEnd()
  }

  #onOverflowEnd(epoch: number, from: number, to: number): void {
    this.stats.missed += to - from + 1
    const { stream } = this
    this.#gap({ stream, epoch, from, to, cause: 'client', message: undefined })
  }
}
