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
import type { Link } from './link.ts'
import {
  type Ack,
  brokenOf,
  type Change,
  type FeedError,
  type From,
  type Gap,
  LIVE_CHANNELS,
  type ServerMessage,
  type SubscribeRequest,
  type UpdateAck,
} from './messages.ts'
import { type FeedEvent, type Handlers, Outlet, type Overflow } from './outlet.ts'
import { type Batch, type FeedRecord, recordsOf } from './record.ts'
import { Sequence } from './sequence.ts'
import { newStats, type Stats } from './stats.ts'

/** Sequences that are missing and were asked for again. */
interface Hole {
  readonly gap: Gap
  readonly generation: number
  next: number
  readonly to: number
  crc: number
}

/** Nothing can be had again of what an image stands for, or of what never came to the daemon. */
const FILLABLE_NOT: ReadonlySet<string> = new Set(['conflated', 'upstream', 'restart'])

/** Streams of former symbols that the server still fills. */
const FORMER_STREAMS_MAX = 16

export class Subscription implements AsyncIterable<FeedRecord> {
  /** With the symbols that it has now. */
  request: SubscribeRequest
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
  #held: { readonly event: FeedEvent; readonly generation: number }[] = []
  #heldCount = 0
  /** How often the symbols were changed; and by that, the streams that this connection can fill. */
  #generation = 0
  readonly #streams = new Map<number, number>()
  #update: Promise<unknown> = Promise.resolve()

  constructor(link: Link, request: SubscribeRequest, handlers: Handlers) {
    this.#link = link
    this.request = request
    this.#handlers = handlers
    this.#outlet = new Outlet({
      handlers,
      recordsMax: link.queueRecordsMax,
      onPressure: () => link.onPressure(),
      onOverflowEnd: (overflow) => this.#onOverflowEnd(overflow),
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
    // 0: a replay by time has not said where it begins.
    const seq = this.#sequence?.expected ?? 0
    return seq === 0 ? undefined : { epoch: this.#epoch, seq }
  }

  /**
   * Gives it other symbols while it goes on: nothing is missing around the change, nothing comes
   * twice. Rejects when the server refuses, or the connection ends first: then it has what it had.
   */
  update(change: Change): Promise<UpdateAck> {
    const updated = this.#update.then(() => this.#link.update(this, change))
    this.#update = updated.catch(() => {})
    return updated
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
    if (LIVE_CHANNELS.test(this.request.channel)) return this.request.from ?? 'live'
    return this.position ?? this.request.from ?? 'live'
  }

  onAck(ack: Ack): void {
    const isFirst = this.ack === undefined
    this.ack = ack
    this.#imageLeft = 0
    this.#streams.clear()
    this.#streams.set(this.#generation, ack.stream)
    this.#replay = ack.replay === true ? { crc: 0 } : undefined
    if (isFirst) this.#settle.resolve(ack)
    this.#goOn(ack, isFirst)
    if (this.#replay === undefined) {
      this.#emit({ type: 'live', epoch: ack.epoch, nextSeq: ack.next_seq ?? 0 })
    }
  }

  /** Between two records it has become another stream: that of the new symbols. */
  onUpdate(updated: UpdateAck, { add = [], remove = [] }: Change): void {
    const { stream, epoch, from_seq: nextSeq, was, symbols: results } = updated
    const { symbols: before = ['*'] } = this.request
    const kept = before.filter((symbol) => !remove.includes(symbol))
    const symbols = [...new Set([...kept, ...add])]
    this.request = { ...this.request, symbols }
    if (stream === was.stream) return
    this.onHeartbeat(was.next_seq)
    const { channel } = updated
    this.ack = { op: 'ack', stream, channel, epoch, next_seq: nextSeq, symbols: results }
    this.#streams.set(++this.#generation, stream)
    this.#streams.delete(this.#generation - FORMER_STREAMS_MAX - 1)
    this.#sequence = new Sequence(nextSeq)
    this.#imageLeft = 0
    this.#emit({ type: 'update', epoch, nextSeq, symbols })
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
    if (message.op === 'book') this.#emit({ type: 'broken', broken: brokenOf(message) })
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
    for (const { event, generation } of held) {
      if (event.type === 'gap') this.#gap(event.gap, generation)
      else this.#emit(event, generation)
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
      !LIVE_CHANNELS.test(this.request.channel) &&
      (nextSeq ?? 0) >= position.seq
    if (isSame) {
      const hole = this.#hole
      if (hole !== undefined && !this.#askFor(hole)) this.onFillEnd()
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

  #gap(gap: Gap, generation = this.#generation): void {
    if (this.#hole !== undefined) this.#hold({ type: 'gap', gap }, 0, generation)
    else if (!this.#tryFill(gap, generation)) this.#outlet.push({ type: 'gap', gap })
  }

  #tryFill(gap: Gap, generation: number): boolean {
    const { cause, from, to } = gap
    if (to === undefined || FILLABLE_NOT.has(cause) || !this.#link.fillsGaps) return false
    if (LIVE_CHANNELS.test(this.request.channel)) return false
    // Before it is asked for, as an answer may end it at once.
    this.#hole = { gap, generation, next: from, to, crc: 0 }
    if (this.#askFor(this.#hole)) return true
    this.#hole = undefined
    return false
  }

  /** A stream of former symbols can only be asked for on the connection that had it. */
  #askFor({ gap: { epoch }, generation, next, to }: Hole): boolean {
    const stream = this.#streams.get(generation)
    return stream !== undefined && this.#link.fill(this, { stream, epoch, from: next, to })
  }

  #isFill({ stream, epoch, firstSeq }: FrameHead): boolean {
    const hole = this.#hole
    if (hole === undefined || epoch !== hole.gap.epoch) return false
    if (stream !== this.#streams.get(hole.generation)) return false
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

  #emit(event: FeedEvent, generation = this.#generation): void {
    if (this.#hole === undefined) this.#outlet.push(event)
    else this.#hold(event, event.type === 'batch' ? event.batch.count : 0, generation)
  }

  #hold(event: FeedEvent, count: number, generation: number): void {
    this.#held.push({ event, generation })
    this.#heldCount += count
    // Waiting longer would cost more than the hole is worth: it is told, and life goes on.
    if (this.#heldCount > this.#link.queueRecordsMax) this.onFillEnd()
  }

  #onOverflowEnd({ epoch, from, to, generation }: Overflow): void {
    this.stats.missed += to - from + 1
    const stream = this.#streams.get(generation) ?? this.stream
    this.#gap({ stream, epoch, from, to, cause: 'client', message: undefined }, generation)
  }
}
