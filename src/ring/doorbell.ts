// Waking a sleeping thread. One word a thread, alone on its cache line.
//
// The sleeper: `prepare()`, look for work once more, then `wait` or `waitAsync`, then `wake`.
// The ringer: after it has published, `ring()`. Looking again after `prepare()` closes the race:
// either the sleeper sees the work, or the ringer sees SLEEPING. A ring costs one atomic load
// unless the thread sleeps, so it may be rung after each batch.

import { assert } from '../errors.ts'
import { CACHE_ISOLATION_BYTES } from '../limits.ts'

const AWAKE = 0
const SLEEPING = 1
const WORDS_PER_BELL = CACHE_ISOLATION_BYTES / 4

export class Doorbell {
  readonly #words: Int32Array
  readonly #index: number

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
    if (Atomics.load(this.#words, this.#index) === SLEEPING) {
      // Cleared by the ringer so that further ringers need not make the system call.
      Atomics.store(this.#words, this.#index, AWAKE)
      // Wakes Atomics.wait and waitAsync alike; there is one sleeper at most.
      Atomics.notify(this.#words, this.#index)
    }
  }

  /** Announces sleep. The caller must look for work once more before it waits. */
  prepare(): void {
    // Pairs with the load in ring(); seq-cst, so the second look cannot move before it.
    Atomics.store(this.#words, this.#index, SLEEPING)
  }

  /** Sleeps until rung or `timeoutMs` has passed. Blocks the thread: not for event loops. */
  wait(timeoutMs: number): void {
    // Returns at once ('not-equal') when ring() came between prepare() and here.
    Atomics.wait(this.#words, this.#index, SLEEPING, timeoutMs)
  }

  /** As `wait`, without blocking the event loop. */
  async waitAsync(timeoutMs: number): Promise<void> {
    // As in wait(): 'not-equal' when the bell was rung meanwhile; then there is no promise.
    const outcome = Atomics.waitAsync(this.#words, this.#index, SLEEPING, timeoutMs)
    if (outcome.async) await outcome.value
  }

  /** Ends the announcement, when work was found at the second look or the wait is over. */
  wake(): void {
    // A ring() from now on costs only its load; a lost one is no harm, as the thread is awake.
    Atomics.store(this.#words, this.#index, AWAKE)
  }
}
