// A short text in shared memory, for people: one thread writes it, any thread reads it.
//
// Not for data: what is longer than its slot is cut, and a reader that meets a writer that died in
// the middle gets nothing. A seqlock, as the latest table is: the version is odd while it is
// written.
//
//   word 0         1             2 … 63
//        version   size, bytes   UTF-8

import { assert } from '../errors.ts'

const SLOT_WORDS = 64
const WORD = Object.freeze({ version: 0, size: 1, text: 2 })
const TEXT_BYTES_MAX = (SLOT_WORDS - WORD.text) * 4
const READ_ATTEMPTS_MAX = 1000

export class SharedText {
  readonly #words: Int32Array
  readonly #at: number
  readonly #scratch = new Int32Array(SLOT_WORDS - WORD.text)
  readonly #bytes = new Uint8Array(this.#scratch.buffer)

  /** `memory` holds several; `slot` is this one's. */
  constructor(memory: SharedArrayBuffer, slot: number) {
    this.#words = new Int32Array(memory)
    this.#at = slot * SLOT_WORDS
    assert(this.#at < this.#words.length, 'the text lies within its memory')
  }

  static bytes(count: number): number {
    return count * SLOT_WORDS * 4
  }

  /** Only one thread may call this. A longer text is cut between two characters. */
  write(text: string): void {
    const { written } = new TextEncoder().encodeInto(text, this.#bytes)
    const words = this.#words
    // Our own last value: we are the only writer. An odd one was left by one that died here.
    const even = (Atomics.load(words, this.#at + WORD.version) | 1) - 1
    // Before the first word changes: pairs with both loads of the version in read().
    Atomics.store(words, this.#at + WORD.version, even + 1)
    // Between the two stores of the version; a reader that sees them mixed looks again.
    Atomics.store(words, this.#at + WORD.size, written)
    for (let i = 0; i < this.#scratch.length; i++) {
      // As above.
      Atomics.store(words, this.#at + WORD.text + i, this.#scratch[i] as number)
    }
    // After the last word: pairs with the first load in read().
    Atomics.store(words, this.#at + WORD.version, (even + 2) | 0)
  }

  /** The text as last written; '' = none yet. */
  read(): string {
    const words = this.#words
    for (let attempt = 0; attempt < READ_ATTEMPTS_MAX; attempt++) {
      // Pairs with the last store in write(): even = what follows belongs together, unless …
      const before = Atomics.load(words, this.#at + WORD.version)
      if ((before & 1) !== 0) continue
      // Between the two loads of the version; stale = the text before this one.
      const size = Atomics.load(words, this.#at + WORD.size)
      for (let i = 0; i < this.#scratch.length; i++) {
        // As above.
        this.#scratch[i] = Atomics.load(words, this.#at + WORD.text + i)
      }
      // … a write began meanwhile: pairs with the first store in write().
      if (Atomics.load(words, this.#at + WORD.version) !== before) continue
      return new TextDecoder().decode(this.#bytes.subarray(0, Math.min(size, TEXT_BYTES_MAX)))
    }
    return ''
  }
}
