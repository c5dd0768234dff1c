// Lets a reader of the latest table sleep until something in it has changed: one shared word.
//
// The reader arms it, and then looks at the table; the writer takes it after it has written. A
// change is either seen by that look, or finds the notice armed: none is missed. The writer pays
// one load a batch, and rings the reader once an arming, however many ticks come.

import { CACHE_ISOLATION_BYTES } from '../limits.ts'

const TAKEN = 0
const ARMED = 1

export class ChangeNotice {
  readonly #words: Int32Array

  constructor(memory: SharedArrayBuffer) {
    this.#words = new Int32Array(memory)
  }

  static create(): SharedArrayBuffer {
    return new SharedArrayBuffer(CACHE_ISOLATION_BYTES)
  }

  /** The reader: a change from here on is to be told. Look at the table after this. */
  arm(): void {
    // Before the look at the table: pairs with the load in take(). Sequentially consistent, so
    // that a write which the look misses comes before a take() that sees this.
    Atomics.store(this.#words, 0, ARMED)
  }

  /** The reader: has anything changed since arm()? */
  get isTaken(): boolean {
    // Pairs with the store in take(). Stale = it is seen a duty cycle later.
    return Atomics.load(this.#words, 0) === TAKEN
  }

  /** The writer, after a change: true = the reader waits to be told, and must be rung. */
  take(): boolean {
    // After the versions of the table were stored: pairs with the store in arm().
    if (Atomics.load(this.#words, 0) === TAKEN) return false
    // Pairs with the load in isTaken. An arming between the load and here has looked at the table
    // after this change was in it: it is told of it once more, for nothing.
    Atomics.store(this.#words, 0, TAKEN)
    return true
  }
}
