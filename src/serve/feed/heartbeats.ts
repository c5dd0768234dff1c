// Who is to hear from us when: a heartbeat for each subscriber that was sent nothing else.
//
// All wait equally long, so that the order in which they were set is the order in which they are
// due: a sweep looks at those that are due, and at one more. It costs nothing while ten thousand
// others wait. What is idle is decided by the streams' own last frames, when a subscriber is due.

import { heartbeat } from './messages.ts'
import type { Subscriber } from './subscriber.ts'

export class Heartbeats {
  readonly #everyMs: number
  readonly #serverTime: () => string
  /** When each is due, monotonic; in ascending order. */
  readonly #dueMs = new Map<Subscriber, number>()

  constructor(everyMs: number, serverTime: () => string) {
    this.#everyMs = everyMs
    this.#serverTime = serverTime
  }

  begin(subscriber: Subscriber, nowMs: number): void {
    this.#dueMs.set(subscriber, nowMs + this.#everyMs)
  }

  end(subscriber: Subscriber): void {
    this.#dueMs.delete(subscriber)
  }

  /** Sends those that are due. */
  sweep(nowMs: number): void {
    for (const [subscriber, dueMs] of this.#dueMs) {
      if (nowMs < dueMs) return
      // To the end of the order.
      this.#dueMs.delete(subscriber)
      this.#dueMs.set(subscriber, nowMs + this.#everyMs)
      this.#beat(subscriber, nowMs)
    }
  }

  #beat(subscriber: Subscriber, nowMs: number): void {
    const idle: Record<string, number> = {}
    let isQuiet = subscriber.subscriptions.size === 0
    for (const { stream, behindFrom, replay } of subscriber.subscriptions.values()) {
      const isIdle = nowMs - stream.flushedAtMs >= this.#everyMs && replay === undefined
      if (!isIdle || behindFrom !== 0) continue
      idle[stream.id] = stream.nextSeq
      isQuiet = true
    }
    if (isQuiet) subscriber.sendControl(heartbeat(this.#serverTime(), idle))
  }
}
