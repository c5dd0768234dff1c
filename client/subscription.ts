// One subscription: what came is verified, put in order, and given to its reader.
//
//   frames ─→ sequence ─→ (hole? fill it, hold back what is behind it) ─→ queue ─→ for await
//                                                                    └──→ handlers, at once
//
// Invariant: what a reader gets is in the order of the stream; everything between two batches that
// it does not get stands in a `gap` event at that very place. Bounded: what waits for the reader
// and what is held back behind a hole are each at most `queueRecordsMax` records.

import type { BatchKind, FrameHead } from './batch.ts'
import type { Ack, FeedError, From, Gap, ServerMessage, SubscribeRequest } from './messages.ts'
import { Queue } from './queue.ts'
import { type Batch, type FeedRecord, recordsOf } from './record.ts'
import { Sequence } from './sequence.ts'
import { newStats, type Stats } from './stats.ts'

export type FeedEvent =
  | { readonly type: 'batch'; readonly batch: Batch }
  | { readonly type: 'gap'; readonly gap: Gap }
  /** Subscribed, for the first time or again; `nextSeq` is the first live sequence to come. */
  | { readonly type: 'live'; readonly epoch: number; readonly nextSeq: number }

export interface Handlers {
  /** With it the subscription calls, and is not to be iterated. */
  readonly batch?: (batch: Batch) => void
  readonly gap?: (gap: Gap) => void
  readonly live?: (epoch: number, nextSeq: number) => void
  readonly error?: (error: FeedError) => void
}

/** What a subscription asks of its connection. */
export interface Link {
  readonly queueRecordsMax: number
  readonly fillsGaps: boolean
  /** Asks for sequences again. False when that cannot be asked now. */
  fill(subscription: Subscription, from: number, to: number): boolean
  unsubscribe(subscription: Subscription): void
  /** The weight of a queue has changed. */
  onPressure(): void
}

interface Hole {
  readonly gap: Gap
  next: number
  readonly to: number
}

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
  readonly #queue: Queue<FeedEvent>
  #settle!: { resolve: (ack: Ack) => void; reject: (error: Error) => void }
  #sequence: Sequence | undefined
  #imageLeft = 0
  #isReplaying = false
  #hole: Hole | undefined
  #held: FeedEvent[] = []
  #heldCount = 0
  /** Dropped as the reader is too slow; told, and filled, once it has caught up. */
  #overflow: { from: number; to: number } | undefined

  constructor(link: Link, request: SubscribeRequest, handlers: Handlers) {
    this.#link = link
    this.request = request
    this.#handlers = handlers
    this.#queue = new Queue(() => this.#onTaken())
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
    return this.#queue.weight
  }

  /** The next sequence, once there was an ack. */
  get expected(): number | undefined {
    return this.#sequence?.expected
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
      else this.#call(event)
    }
  }

  /** Everything that a reader must know, in order. */
  async *events(): AsyncGenerator<FeedEvent> {
    try {
      for (;;) {
        const { value, done } = await this.#queue.take()
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
    const { ack } = this
    if (ack === undefined || this.#sequence === undefined) return this.request.from ?? 'live'
    return { epoch: ack.epoch, seq: this.#sequence.expected }
  }

  onAck(ack: Ack): void {
    const before = this.ack
    this.ack = ack
    this.#imageLeft = 0
    this.#isReplaying = false
    if (before === undefined || this.#sequence === undefined) {
      this.#sequence = new Sequence(ack.next_seq)
      this.#settle.resolve(ack)
    } else this.#goOn(before, ack, this.#sequence)
    this.#emit({ type: 'live', epoch: ack.epoch, nextSeq: ack.next_seq })
  }

  /** How a frame of this stream is to be taken. */
  kindOf(head: FrameHead): BatchKind {
    const isImage = this.#imageLeft > 0
    return { isImage, isReplay: !isImage && (this.#isReplaying || this.#isFill(head.firstSeq)) }
  }

  onBatch(batch: Batch): void {
    const sequence = this.#sequence
    if (sequence === undefined || batch.count === 0) return
    this.stats.frames++
    if (batch.isImage) {
      this.#imageLeft -= batch.count
      this.#emitBatch(batch)
    } else if (this.#isFill(batch.firstSeq)) this.#onFill(batch)
    else {
      const { skip, hole } = sequence.frame(batch.firstSeq, batch.count)
      if (hole !== undefined) {
        this.stats.undeclared++
        this.#lost(hole.from, hole.to, 'undeclared', undefined)
      }
      this.stats.duplicates += skip
      if (skip < batch.count) this.#emitBatch(skip === 0 ? batch : batch.skip(skip))
    }
  }

  onMessage(message: ServerMessage): void {
    if (message.op === 'snapshot') this.#imageLeft = Number(message.count)
    if (message.op === 'replay_completed') this.#isReplaying = false
    if (message.op === 'gap') this.#onGap(message)
  }

  /** The server says what comes next, while nothing comes. */
  onHeartbeat(nextSeq: number): void {
    const hole = this.#sequence?.reach(nextSeq)
    if (hole === undefined) return
    this.stats.undeclared++
    this.#lost(hole.from, hole.to, 'undeclared', undefined)
  }

  /** The range that was asked for again will not come, or no further. */
  onFillEnd(): void {
    const hole = this.#hole
    if (hole === undefined) return
    this.#hole = undefined
    if (hole.next <= hole.to) {
      this.#deliver({ type: 'gap', gap: { ...hole.gap, from: hole.next, to: hole.to } })
    }
    this.#release()
  }

  end(error: FeedError | undefined): void {
    if (this.isClosed) return
    this.isClosed = true
    if (error !== undefined) {
      this.#settle.reject(error)
      this.#handlers.error?.(error)
    }
    this.#queue.end(error)
  }

  /** Subscribed again: the same stream goes on, or another one begins. */
  #goOn(before: Ack, ack: Ack, sequence: Sequence): void {
    const isSame = ack.epoch === before.epoch && ack.next_seq >= sequence.expected
    if (!isSame) {
      this.onFillEnd()
      const cause = ack.epoch === before.epoch ? 'reconnect' : 'restart'
      const { expected: from } = sequence
      const { stream, epoch } = before
      this.#gap({ stream, epoch, from, to: undefined, cause, message: undefined }, false)
      this.#sequence = new Sequence(ack.next_seq)
      return
    }
    const hole = this.#hole
    if (hole !== undefined && !this.#link.fill(this, hole.next, hole.to)) this.onFillEnd()
    const lost = sequence.reach(ack.next_seq)
    if (lost !== undefined) this.#lost(lost.from, lost.to, 'reconnect', undefined)
  }

  #onGap(message: ServerMessage): void {
    const { from, to, cause, next_seq: nextSeq } = message
    if (typeof from !== 'number' || typeof to !== 'number') {
      // Of the feed's own loss nobody knows what belonged to this stream.
      this.#lostBefore(Number(nextSeq ?? this.expected), String(cause), message)
      return
    }
    const sequence = this.#sequence
    const hole = sequence?.reach(Math.max(from, sequence.expected))
    if (hole !== undefined) {
      this.stats.undeclared++
      this.#lost(hole.from, hole.to, 'undeclared', undefined)
    }
    const first = Math.max(from, sequence?.expected ?? from)
    sequence?.reach(to + 1)
    if (first <= to) this.#lost(first, to, String(cause), message)
  }

  #lostBefore(nextSeq: number, cause: string, message: ServerMessage): void {
    const { stream, epoch } = this.ack as Ack
    this.#gap({ stream, epoch, from: nextSeq, to: undefined, cause, message }, false)
  }

  #lost(from: number, to: number, cause: string, message: ServerMessage | undefined): void {
    const { stream, epoch } = this.ack as Ack
    this.#gap({ stream, epoch, from, to, cause, message }, true)
  }

  #gap(gap: Gap, isNew: boolean): void {
    if (isNew) this.stats.missed += (gap.to ?? gap.from) - gap.from + 1
    if (this.#hole !== undefined) this.#hold({ type: 'gap', gap }, 0)
    else if (gap.to === undefined || gap.cause === 'conflated' || !this.#tryFill(gap, gap.to)) {
      this.#deliver({ type: 'gap', gap })
    }
  }

  #tryFill(gap: Gap, to: number): boolean {
    if (!this.#link.fillsGaps || !this.#link.fill(this, gap.from, to)) return false
    this.#hole = { gap, next: gap.from, to }
    return true
  }

  #isFill(firstSeq: number): boolean {
    const hole = this.#hole
    return hole !== undefined && firstSeq >= hole.next && firstSeq <= hole.to
  }

  #onFill(batch: Batch): void {
    const hole = this.#hole as Hole
    if (batch.firstSeq > hole.next) {
      const gap = { ...hole.gap, from: hole.next, to: batch.firstSeq - 1 }
      this.#deliver({ type: 'gap', gap })
    }
    hole.next = batch.firstSeq + batch.count
    this.stats.filled += batch.count
    this.#count(batch)
    this.#deliver({ type: 'batch', batch })
    if (hole.next > hole.to) this.onFillEnd()
  }

  #emitBatch(batch: Batch): void {
    this.#count(batch)
    this.#emit({ type: 'batch', batch })
  }

  #count(batch: Batch): void {
    this.stats.records += batch.count
  }

  #emit(event: FeedEvent): void {
    if (this.#hole === undefined) this.#deliver(event)
    else this.#hold(event, event.type === 'batch' ? event.batch.count : 0)
  }

  #hold(event: FeedEvent, count: number): void {
    this.#held.push(event)
    this.#heldCount += count
    // Waiting longer would cost more than the hole is worth: it is told, and life goes on.
    if (this.#heldCount > this.#link.queueRecordsMax) this.onFillEnd()
  }

  #release(): void {
    const held = this.#held
    this.#held = []
    this.#heldCount = 0
    for (const event of held) {
      if (event.type === 'gap') this.#gap(event.gap, false)
      else this.#emit(event)
    }
  }

  #deliver(event: FeedEvent): void {
    if (this.isClosed) return
    if (this.#handlers.batch !== undefined) this.#call(event)
    else if (event.type !== 'batch') this.#queue.push(event, 0)
    else if (!this.#overflows(event.batch)) {
      this.#queue.push(event, event.batch.count)
      this.#link.onPressure()
    }
  }

  #call(event: FeedEvent): void {
    if (event.type === 'batch') this.#handlers.batch?.(event.batch)
    else if (event.type === 'gap') this.#handlers.gap?.(event.gap)
    else this.#handlers.live?.(event.epoch, event.nextSeq)
  }

  /** An image that does not fit is dropped in silence: newer values follow it. */
  #overflows({ firstSeq, count, isImage }: Batch): boolean {
    const fits = this.#queue.weight + count <= this.#link.queueRecordsMax || this.queuedCount === 0
    if (fits && this.#overflow === undefined) return false
    if (isImage) return true
    this.stats.missed += count
    this.#overflow ??= { from: firstSeq, to: 0 }
    this.#overflow.to = firstSeq + count - 1
    return true
  }

  #onTaken(): void {
    const overflow = this.#overflow
    if (overflow !== undefined && this.queuedCount <= this.#link.queueRecordsMax / 2) {
      this.#overflow = undefined
      const { stream, epoch } = this.ack as Ack
      const { from, to } = overflow
      this.#gap({ stream, epoch, from, to, cause: 'client', message: undefined }, false)
    }
    this.#link.onPressure()
  }
}
