// hot path
// Short texts as they stand in a message, compared four bytes at a time.
//
// A text is kept as words: those at offsets 0, 4, 8 …, and the one that ends with it.
// So a text has at least four bytes, and comparing reads none beyond them.

import { assert } from '../errors.ts'

const BYTES_MAX = 64

export class QuotedWord {
  /** Those that nearly all texts have, without a loop. */
  #first = 0
  #second = 0
  #last = 0
  readonly #words = new Int32Array(BYTES_MAX / 4)
  /** Bytes; 0 = none is kept, and nothing is equal to it. */
  size = 0

  constructor(text = '') {
    if (text === '') return
    const bytes = new TextEncoder().encode(text)
    assert(bytes.length >= 4 && bytes.length <= BYTES_MAX, 'a text of 4 … 64 bytes')
    this.keep(new DataView(bytes.buffer), 0, bytes.length)
  }

  /** Takes the text at `at`; one that is too short or long is not kept. */
  keep(view: DataView, at: number, size: number): void {
    this.size = size < 4 || size > BYTES_MAX ? 0 : size
    const last = this.size - 4
    if (last < 0) return
    for (let i = 0; i < last; i += 4) this.#words[i >> 2] = view.getInt32(at + i, true)
    this.#last = view.getInt32(at + last, true)
    this.#first = last > 0 ? (this.#words[0] as number) : this.#last
    this.#second = this.#words[1] as number
  }

  /** Does the text stand at `at`? `size` bytes can be read there. */
  isAt(view: DataView, at: number): boolean {
    const last = this.size - 4
    if (last < 0 || view.getInt32(at, true) !== this.#first) return false
    if (view.getInt32(at + last, true) !== this.#last) return false
    if (last <= 4) return true
    if (view.getInt32(at + 4, true) !== this.#second) return false
    const words = this.#words
    for (let i = 8; i < last; i += 4) {
      if (view.getInt32(at + i, true) !== words[i >> 2]) return false
    }
    return true
  }
}
