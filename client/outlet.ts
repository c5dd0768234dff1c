// Where a subscription's events leave it: handlers, called at once, or a queue that is iterated.
//
// The queue is bounded in records. What does not fit is dropped and told, as one range, when the
// reader has caught up to half: so a reader that is too slow for its feed loses in order, knows
// what, and can have it again.

import type { BrokenBooks, FeedError, Gap } from './messages.ts'
import { Queue } from './queue.ts'
import type { Batch } from './record.ts'

export type FeedEvent =
  | { readonly type: 'batch'; readonly batch: Batch }
  | { readonly type: 'gap'; readonly gap: Gap }
  | { readonly type: 'broken'; readonly broken: BrokenBooks }
  /** From here on sequences are of this epoch. */
  | { readonly type: 'epoch'; readonly epoch: number; readonly nextSeq: number }
  /** From here on the symbols are these, and sequences are those of their stream. */
  | {
      readonly type: 'update'
      readonly epoch: number
      readonly nextSeq: number
      readonly symbols: readonly string[]
    }
  /** What follows is live: subscribed, or a replay has caught up. */
  | { readonly type: 'live'; readonly epoch: number; readonly nextSeq: number }

export interface Handlers {
  /** With it the subscription calls, and is not to be iterated. */
  readonly batch?: (batch: Batch) => void
  readonly gap?: (gap: Gap) => void
  /** Channels of books: these are not right until their next image. */
  readonly broken?: (broken: BrokenBooks) => void
  readonly epoch?: (epoch: number, nextSeq: number) => void
  readonly update?: (epoch: number, nextSeq: number, symbols: readonly string[]) => void
  readonly live?: (epoch: number, nextSeq: number) => void
  readonly error?: (error: FeedError) => void
}

/** Records that did not fit. */
export interface Overflow {
  readonly epoch: number
  readonly from: number
  to: number
  /** How often the symbols had been changed. */
  readonly generation: number
}

export interface OutletOptions {
  readonly handlers: Handlers
  readonly recordsMax: number
  readonly onPressure: () => void
  /** The reader is back: these did not fit. */
  readonly onOverflowEnd: (overflow: Overflow) => void
}

export class Outlet {
  readonly #options: OutletOptions
  readonly #queue: Queue<FeedEvent>
  #overflow: Overflow | undefined
  #generation = 0

  constructor(options: OutletOptions) {
    this.#options = options
    this.#queue = new Queue(() => this.#onTaken())
  }

  get queuedCount(): number {
    return this.#queue.weight
  }

  push(event: FeedEvent): void {
    if (event.type === 'update') this.#generation++
    if (this.#options.handlers.batch !== undefined) this.call(event)
    else if (event.type !== 'batch') this.#queue.push(event, 0)
    else if (!this.#overflows(event.batch)) {
      this.#queue.push(event, event.batch.count)
      this.#options.onPressure()
    }
  }

  call(event: FeedEvent): void {
    const { handlers } = this.#options
    if (event.type === 'batch') handlers.batch?.(event.batch)
    else if (event.type === 'gap') handlers.gap?.(event.gap)
    else if (event.type === 'broken') handlers.broken?.(event.broken)
    else if (event.type === 'update') {
      handlers.update?.(event.epoch, event.nextSeq, event.symbols)
    } else handlers[event.type]?.(event.epoch, event.nextSeq)
  }

  take(): Promise<IteratorResult<FeedEvent>> {
    return this.#queue.take()
  }

  end(error: Error | undefined): void {
    this.#queue.end(error)
  }

  /** An image that does not fit is dropped in silence: newer values follow it. */
  #overflows({ epoch, firstSeq, count, isImage }: Batch): boolean {
    const { recordsMax } = this.#options
    const fits = this.queuedCount === 0 || this.queuedCount + count <= recordsMax
    if (fits && this.#overflow === undefined) return false
    if (isImage) return true
    const generation = this.#generation
    const before = this.#overflow
    const isOther = before?.epoch !== epoch || before.generation !== generation
    if (before !== undefined && isOther) this.#endOverflow()
    this.#overflow ??= { epoch, from: firstSeq, to: 0, generation }
    this.#overflow.to = firstSeq + count - 1
    return true
  }

  #onTaken(): void {
    if (this.queuedCount <= this.#options.recordsMax / 2) this.#endOverflow()
    this.#options.onPressure()
  }

  #endOverflow(): void {
    const overflow = this.#overflow
    this.#overflow = undefined
    if (overflow !== undefined) this.#options.onOverflowEnd(overflow)
  }
}
