// hot path
// Short texts as they stand in a message, compared four bytes at a time.
//
// A text is kept as words: those at offsets 0, 4, 8 … and, overlapping, the one that ends with it.
// So a text has at least four bytes, and comparing reads none beyond them.

import { assert } from '../errors.ts'

const BYTES_MAX = 64

export class QuotedWord {
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
    let word = 0
    for (let i = 0; i < last; i += 4) this.#words[word++] = view.getInt32(at + i, true)
    if (last >= 0) this.#words[word] = view.getInt32(at + last, true)
  }

  /** Does the text stand at `at`? `size` bytes can be read there. */
  isAt(view: DataView, at: number): boolean {
    const words = this.#words
    const last = this.size - 4
    if (last < 0) return false
    let word = 0
    for (let i = 0; i < last; i += 4) {
      if (view.getInt32(at + i, true) !== words[word++]) return false
    }
    return view.getInt32(at + last, true) === words[word]
  }
}
