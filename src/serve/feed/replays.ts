// The replays of all subscribers: a queue, of which a few read the journal at once.
//
// On the feed's own thread, a slice of one replay a turn: live frames wait for a thousand records
// out of the page cache at most, and what a replay holds open is bounded. Those behind wait.

import { FEED_REPLAYS_MAX, FEED_REPLAYS_WAITING_MAX } from '../../limits.ts'
import type { Replay } from './replay.ts'
import type { Subscriber, Subscription } from './subscriber.ts'

export class Replays {
  readonly #queue: Replay[] = []
  readonly #onEnd: (replay: Replay) => void
  #next = 0

  /** `onEnd` is told of each that ended by itself. */
  constructor(onEnd: (replay: Replay) => void) {
    this.#onEnd = onEnd
  }

  get count(): number {
    return this.#queue.length
  }

  get isFull(): boolean {
    return this.#queue.length >= FEED_REPLAYS_MAX + FEED_REPLAYS_WAITING_MAX
  }

  add(replay: Replay): void {
    this.#queue.push(replay)
  }

  isFilling({ subscriber, stream }: Subscription): boolean {
    return this.#queue.some(({ isFill, subscription: own }) => {
      return isFill && own.subscriber === subscriber && own.stream.id === stream.id
    })
  }

  /** The subscription has ended, and with it what is under way for it. */
  end(subscription: Subscription): void {
    this.#remove((replay) => replay.subscription === subscription)
  }

  endAll(subscriber: Subscriber): void {
    this.#remove((replay) => replay.subscription.subscriber === subscriber)
  }

  /** A stream's live records have a hole: nothing that is held is of use. */
  letGo(): void {
    for (const replay of this.#queue) replay.letGo()
  }

  /** One slice of the first that can go on. Returns the records read. */
  work(): number {
    const active = Math.min(this.#queue.length, FEED_REPLAYS_MAX)
    for (let i = 0; i < active; i++) {
      const replay = this.#queue[(this.#next + i) % active] as Replay
      const work = replay.work()
      if (replay.isDone) {
        this.#remove((each) => each === replay)
        this.#onEnd(replay)
        return 1
      }
      if (work > 0) {
        this.#next = (this.#next + i + 1) % active
        return work
      }
      // One that waits for its client, while others wait for a place, goes to the end of the queue.
      if (this.#queue.length > FEED_REPLAYS_MAX && !replay.hasRoom) {
        replay.park()
        this.#queue.push(...this.#queue.splice(this.#queue.indexOf(replay), 1))
        return 0
      }
    }
    return 0
  }

  #remove(isGone: (replay: Replay) => boolean): void {
    for (let i = this.#queue.length - 1; i >= 0; i--) {
      const replay = this.#queue[i] as Replay
      if (!isGone(replay)) continue
      replay.close()
      this.#queue.splice(i, 1)
    }
  }
}
