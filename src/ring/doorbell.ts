// Waking a sleeping thread. One word a thread, alone on its cache line.
//
// The sleeper: `prepare()`, look for work once more, then `wait` or `waitAsync`, then `wake`.
// The ringer: after it has published, `ring()`. Looking again after `prepare()` closes the race:
// either the sleeper sees the work, or the ringer sees SLEEPING. A ring costs one atomic load
// unless the thread sleeps, so it may be rung after each batch.
//
// An event loop that sleeps still runs its handlers: data has come, say, and the handler rings its
// own thread. That ends the sleep there and then, without the way through the kernel and the loop
// that a ring from elsewhere takes. So there is one Doorbell object a thread and bell (Shared).

import { assert } from '../errors.ts'
import { CACHE_ISOLATION_BYTES } from '../limits.ts'

const AWAKE = 0
const SLEEPING = 1
const WORDS_PER_BELL = CACHE_ISOLATION_BYTES / 4

export class Doorbell {
  readonly #words: Int32Array
  readonly #index: number
  /** Ends the sleep of this thread's event loop; absent while it is awake. */
  #endSleep: (() => void) | undefined
  /** Sleep was announced here, so that this is the sleeper's own bell. */
  #isAnnounced = false
  /** True while a notification would reach this thread's event loop. */
  #isWatched = false
  #timer: NodeJS.Timeout | undefined
  #timerMs = 0

  /** `memory` holds the bells of all threads; `slot` is this one's. */
  constructor(memory: SharedArrayBuffer, slot: number) {
    this.#words = new Int32Array(memory)
    this.#index = slot * WORDS_PER_BELL
    assert(this.#index < this.#words.length, 'the doorbell lies within its memory')
  }

  static bytes(count: number): number {
    return count * CACHE_ISOLATION_BYTES
  }

  /** Wakes the thread if it sleeps. */
  ring(): void {
    // Pairs with the store in prepare(); seq-cst, so it is not reordered before the publication.
    if (Atomics.load(this.#words, this.#index) !== SLEEPING) return
    // Cleared by the ringer so that further ringers need not make the system call.
    Atomics.store(this.#words, this.#index, AWAKE)
    if (this.#endSleep !== undefined) this.#endSleep()
    // Wakes Atomics.wait and waitAsync alike; there is one sleeper at most, and not ourselves.
    else if (!this.#isAnnounced) Atomics.notify(this.#words, this.#index)
  }

  /** Announces sleep. The caller must look for work once more before it waits. */
  prepare(): void {
    // Pairs with the load in ring(); seq-cst, so the second look cannot move before it.
    Atomics.store(this.#words, this.#index, SLEEPING)
    this.#isAnnounced = true
  }

  /** Sleeps until rung or `timeoutMs` has passed. Blocks the thread: not for event loops. */
  wait(timeoutMs: number): void {
    // Returns at once ('not-equal') when ring() came between prepare() and here.
    Atomics.wait(this.#words, this.#index, SLEEPING, timeoutMs)
  }

  /** Sleeps for `timeoutMs` without having announced it: no ring ends it, and none costs. */
  nap(timeoutMs: number): void {
    // Pairs with nothing: only the time-out ends it.
    Atomics.wait(this.#words, this.#index, AWAKE, timeoutMs)
  }

  /** As `wait`, without blocking the event loop. May end early. */
  waitAsync(timeoutMs: number): Promise<void> {
    if (!this.#watch()) return Promise.resolve()
    return new Promise<void>((resolve) => {
      this.#endSleep = () => {
        this.#endSleep = undefined
        resolve()
      }
      this.#arm(timeoutMs)
    })
  }

  /** Ends the announcement, when work was found at the second look or the wait is over. */
  wake(): void {
    this.#isAnnounced = false
    // A ring() from now on costs only its load; a lost one is no harm, as the thread is awake.
    Atomics.store(this.#words, this.#index, AWAKE)
  }

  /** Sees to it that a notification ends the sleep. False when the bell was rung meanwhile. */
  #watch(): boolean {
    // Pairs with the store in ring(): one that came after prepare() is seen here, or notifies.
    if (Atomics.load(this.#words, this.#index) !== SLEEPING) return false
    if (this.#isWatched) return true
    // No time-out: one watch outlives the sleeps that something else ends.
    const outcome = Atomics.waitAsync(this.#words, this.#index, SLEEPING)
    if (!outcome.async) return false
    this.#isWatched = true
    void outcome.value.then(() => {
      this.#isWatched = false
      this.#endSleep?.()
    })
    return true
  }

  /** One timer for all sleeps; it keeps no event loop alive. */
  #arm(timeoutMs: number): void {
    if (this.#timer !== undefined && this.#timerMs === timeoutMs) {
      this.#timer.refresh()
      return
    }
    clearTimeout(this.#timer)
    this.#timerMs = timeoutMs
    this.#timer = setTimeout(() => this.#endSleep?.(), timeoutMs).unref()
  }
}
