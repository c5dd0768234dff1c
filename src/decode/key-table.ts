// hot path
// The member names that a decoder knows, found by their bytes: a perfect hash made at start.
//
// Slots are the names' indexes in the list given. One-letter names, as the Binance streams use
// them, are found by the letter alone.

import { assert } from '../errors.ts'

const NONE = -1
const SIZE_BITS_MAX = 12
const MULTIPLIERS_TRIED = 4096

export class KeyTable {
  readonly names: readonly string[]
  readonly count: number
  readonly #letters = new Int8Array(256).fill(NONE)
  /** By hash: the slot, or NONE. */
  #slots = new Int8Array(0)
  #multiplier = 0
  #shift = 0
  /** The names one after the other; slot s is bytes[offsets[s], offsets[s + 1]). */
  readonly #bytes: Uint8Array
  readonly #offsets: Int32Array

  constructor(names: readonly string[]) {
    assert(names.length <= 127, 'slots fit in an Int8Array')
    assert(new Set(names).size === names.length, 'each name is there once')
    this.names = names
    this.count = names.length
    this.#bytes = new TextEncoder().encode(names.join(''))
    this.#offsets = new Int32Array(names.length + 1)
    for (let slot = 0; slot < names.length; slot++) {
      const name = names[slot] as string
      this.#offsets[slot + 1] = (this.#offsets[slot] as number) + name.length
      if (name.length === 1) this.#letters[name.charCodeAt(0)] = slot
    }
    assert(this.#offsets[names.length] === this.#bytes.length, 'names are ASCII')
    this.#build()
  }

  /** The slot of a name; for constants. */
  slot(name: string): number {
    const slot = this.names.indexOf(name)
    assert(slot >= 0, `the key table knows ${name}`)
    return slot
  }

  /** The slot of the name in bytes[start, end), or -1. */
  find(bytes: Uint8Array, start: number, end: number): number {
    const length = end - start
    if (length <= 1) return length === 1 ? (this.#letters[bytes[start] as number] as number) : NONE
    const slot = this.#slots[this.#hash(bytes, start, end)] as number
    if (slot === NONE) return NONE
    const name = this.#offsets[slot] as number
    if ((this.#offsets[slot + 1] as number) - name !== length) return NONE
    for (let i = 0; i < length; i++) if (this.#bytes[name + i] !== bytes[start + i]) return NONE
    return slot
  }

  /** Once, at start: looks for a multiplier that gives every name a place of its own. */
  #build(): void {
    for (let bits = 5; bits <= SIZE_BITS_MAX; bits++) {
      this.#shift = 32 - bits
      this.#slots = new Int8Array(1 << bits)
      for (let attempt = 1; attempt <= MULTIPLIERS_TRIED; attempt++) {
        this.#multiplier = Math.imul(attempt, 0x9e3779b1) | 1
        if (this.#place()) return
      }
    }
    assert(false, 'the names differ in length or in the bytes that are hashed')
  }

  #place(): boolean {
    this.#slots.fill(NONE)
    for (let slot = 0; slot < this.count; slot++) {
      const start = this.#offsets[slot] as number
      const end = this.#offsets[slot + 1] as number
      if (end - start === 1) continue
      const index = this.#hash(this.#bytes, start, end)
      if (this.#slots[index] !== NONE) return false
      this.#slots[index] = slot
    }
    return true
  }

  /** Of the length and five bytes: enough to tell short names apart. At least two bytes. */
  #hash(bytes: Uint8Array, start: number, end: number): number {
    const length = end - start
    const first = bytes[start] as number
    const second = bytes[start + 1] as number
    const middle = bytes[start + (length >> 1)] as number
    const last = ((bytes[end - 2] as number) << 5) + (bytes[end - 1] as number)
    const mixed = length + (first << 4) + (second << 10) + (middle << 15) + (last << 19)
    // The high bits of a product depend on all bits below them.
    return Math.imul(mixed, this.#multiplier) >>> this.#shift
  }
}
