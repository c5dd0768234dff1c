// Frames that crashed, hung or choked decode twice, remembered by what they say: a pusher that gets
// no answer sends the same again, and each copy would cost two more ends of the thread.
//
// In shared memory, as the thread that learns of one is not the one that suffered from it. Bounded:
// the oldest is forgotten. Costs nothing until there is one, and then a look at lengths a frame.
//
//   word 0           1 + 2i      2 + 2i
//        ever added  length of   CRC-32 of   frame i

import { crc32 } from 'node:zlib'

const FRAMES_MAX = 64
const WORDS_PER_FRAME = 2

export class PoisonList {
  readonly #words: Int32Array

  constructor(memory: SharedArrayBuffer) {
    this.#words = new Int32Array(memory)
  }

  static create(): SharedArrayBuffer {
    return new SharedArrayBuffer((1 + FRAMES_MAX * WORDS_PER_FRAME) * Int32Array.BYTES_PER_ELEMENT)
  }

  get isEmpty(): boolean {
    return this.#words[0] === 0
  }

  add(bytes: Uint8Array, start: number, end: number): void {
    if (this.has(bytes, start, end)) return
    const count = this.#words[0] as number
    const at = 1 + (count % FRAMES_MAX) * WORDS_PER_FRAME
    this.#words[at] = end - start
    this.#words[at + 1] = crc32(bytes.subarray(start, end)) | 0
    this.#words[0] = count + 1
  }

  /** True for the frame's bytes, and for about one in 2^32 others of its length. */
  has(bytes: Uint8Array, start: number, end: number): boolean {
    const words = this.#words
    const count = Math.min(words[0] as number, FRAMES_MAX)
    for (let i = 0; i < count; i++) {
      const at = 1 + i * WORDS_PER_FRAME
      if (words[at] !== end - start) continue
      if (words[at + 1] === (crc32(bytes.subarray(start, end)) | 0)) return true
    }
    return false
  }
}
