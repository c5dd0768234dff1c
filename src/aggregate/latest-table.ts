// hot path
// The newest record of each instrument and kind, in shared memory, behind a seqlock a slot.
//
// One thread writes (aggregate); any thread reads (redis, serve) without a lock and without ever
// holding the writer up. Not a history, not a notification: a reader compares versions.
//
// The record's words are stored atomically too: a seqlock needs its data to stay between the two
// version stores, and plain stores of JS may pass them on a weakly ordered machine.
// Sequences are those of the shard that the record came from.

import { assert } from '../errors.ts'
import type { TickBatch } from '../tick/batch.ts'
import { OFFSET, TICK_WORDS, WORD } from '../tick/layout.ts'
import {
  LATEST_KIND_COUNT,
  LATEST_RANK,
  latestTableBytes,
  SLOT_WORD,
  SLOT_WORDS,
} from './latest-table-layout.ts'

const TWO_32 = 2 ** 32
const KIND_WORD = OFFSET.kind >> 2
const KIND_SHIFT = (OFFSET.kind & 3) * 8
/** A write takes well under a microsecond; a reader that spins longer met a writer put to sleep. */
const READ_ATTEMPTS_MAX = 10_000

export class LatestTable {
  readonly capacity: number
  /** All slots. For the native writer; whoever else writes them breaks the seqlock. */
  readonly words: Int32Array

  /** `memory` as made by `create(capacity)`. */
  constructor(memory: SharedArrayBuffer, capacity: number) {
    assert(memory.byteLength === latestTableBytes(capacity), 'the memory was made for the capacity')
    this.capacity = capacity
    this.words = new Int32Array(memory)
  }

  static create(capacity: number): SharedArrayBuffer {
    return new SharedArrayBuffer(latestTableBytes(capacity))
  }

  /** No slot was ever written. For starts: it looks at all of them. */
  isEmpty(): boolean {
    for (let slot = 0; slot < this.words.length; slot += SLOT_WORDS) {
      // Pairs with the stores in write(). Whoever asks is the writer, or comes before it.
      if (Atomics.load(this.words, slot + SLOT_WORD.version) !== 0) return false
    }
    return true
  }

  /** A number that changes with each write of the slot; 0 = never written. */
  version(instrument: number, kind: number): number {
    const slot = this.#slot(instrument, kind)
    // Pairs with the stores in write(). Stale = the change is seen at the next look.
    return slot < 0 ? 0 : Atomics.load(this.words, slot + SLOT_WORD.version)
  }

  /**
   * Copies the newest record of an instrument and kind to tick `index` of `out`. Returns its
   * sequence; -1 when there is none, or when the writer stopped in the middle of this very slot
   * (its version changes when it goes on).
   */
  read(instrument: number, kind: number, out: TickBatch, index: number): number {
    const slot = this.#slot(instrument, kind)
    if (slot < 0) return -1
    const words = this.words
    const target = index * TICK_WORDS
    for (let attempt = 0; attempt < READ_ATTEMPTS_MAX; attempt++) {
      // Pairs with the last store in write(): even = the words below belong together, unless …
      const before = Atomics.load(words, slot + SLOT_WORD.version)
      if (before === 0) return -1
      if ((before & 1) !== 0) continue
      // Between the two version loads; pairs with the stores of the record in write().
      const low = Atomics.load(words, slot + SLOT_WORD.seqLow)
      // As above.
      const high = Atomics.load(words, slot + SLOT_WORD.seqHigh)
      for (let i = 0; i < TICK_WORDS; i++) {
        // As above.
        out.words[target + i] = Atomics.load(words, slot + SLOT_WORD.record + i)
      }
      // … a write began meanwhile: pairs with the first store in write().
      if (Atomics.load(words, slot + SLOT_WORD.version) === before)
        return high * TWO_32 + (low >>> 0)
    }
    return -1
  }

  /**
   * Makes the record at words[wordIndex …] the newest of its instrument and kind. Only one thread
   * may call this. A kind without a latest value (book) is passed over.
   */
  write(source: Int32Array, wordIndex: number, seq: number): void {
    const instrument = (source[wordIndex + WORD.instrument] as number) >>> 0
    const kind = ((source[wordIndex + KIND_WORD] as number) >>> KIND_SHIFT) & 0xff
    const slot = this.#slot(instrument, kind)
    if (slot < 0) return
    const words = this.words
    // Our own last value: we are the only writer. An odd one was left by a writer that crashed.
    const even = (Atomics.load(words, slot + SLOT_WORD.version) | 1) - 1
    // Before the first word changes: pairs with both version loads in read().
    Atomics.store(words, slot + SLOT_WORD.version, even + 1)
    // Between the two version stores; a reader that sees them mixed throws its copy away.
    Atomics.store(words, slot + SLOT_WORD.seqLow, seq | 0)
    // As above.
    Atomics.store(words, slot + SLOT_WORD.seqHigh, Math.floor(seq / TWO_32))
    for (let i = 0; i < TICK_WORDS; i++) {
      // As above.
      Atomics.store(words, slot + SLOT_WORD.record + i, source[wordIndex + i] as number)
    }
    const next = (even + 2) | 0
    // After the last word: pairs with the first load in read(). 0 is skipped when it wraps round.
    Atomics.store(words, slot + SLOT_WORD.version, next === 0 ? 2 : next)
  }

  /** Word index of a slot; -1 when the instrument or kind has none. */
  #slot(instrument: number, kind: number): number {
    const rank = kind < LATEST_RANK.length ? (LATEST_RANK[kind] as number) : -1
    if (rank < 0 || instrument < 1 || instrument > this.capacity) return -1
    return ((instrument - 1) * LATEST_KIND_COUNT + rank) * SLOT_WORDS
  }
}
