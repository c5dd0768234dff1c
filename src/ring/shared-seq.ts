// A sequence number that one thread writes and others read: journal positions, store positions.
//
// 64 bits in one atomic word. BigInt appears once a batch, never per tick.

import { assert } from '../errors.ts'
import { CACHE_ISOLATION_BYTES, SEQ_MAX } from '../limits.ts'

export class SharedSeq {
  readonly #words: BigInt64Array
  readonly #index: number

  /** `memory` holds several, each on its own cache lines; `slot` is this one's. */
  constructor(memory: SharedArrayBuffer, slot: number) {
    this.#words = new BigInt64Array(memory)
    this.#index = (slot * CACHE_ISOLATION_BYTES) / 8
    assert(this.#index < this.#words.length, 'the sequence lies within its memory')
  }

  static bytes(count: number): number {
    return count * CACHE_ISOLATION_BYTES
  }

  load(): number {
    // Pairs with store(): whatever was written before it is visible. Stale = an older position.
    return Number(Atomics.load(this.#words, this.#index))
  }

  store(seq: number): void {
    assert(seq >= 0 && seq <= SEQ_MAX, 'a sequence is in 0 … 2^48 - 1')
    // Publishes what the position covers: pairs with load().
    Atomics.store(this.#words, this.#index, BigInt(seq))
  }
}
