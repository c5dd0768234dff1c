// hot path
// A small seeded generator of random numbers (sfc32): the same seed gives the same numbers on every
// machine, for ever. Not for secrets.

const WARM_UP = 12

export class Random {
  #a: number
  #b: number
  #c: number
  #counter = 1

  /** `seed`: 0 … 2^32 - 1. */
  constructor(seed: number) {
    this.#a = seed | 0
    this.#b = 0x9e3779b9 | 0
    this.#c = 0x243f6a88
    // Mixes the seed into all of the state; near seeds have nothing in common afterwards.
    for (let i = 0; i < WARM_UP; i++) this.next()
  }

  /** 32 random bits, as an Int32. */
  next(): number {
    const sum = (((this.#a + this.#b) | 0) + this.#counter) | 0
    this.#counter = (this.#counter + 1) | 0
    this.#a = this.#b ^ (this.#b >>> 9)
    this.#b = (this.#c + (this.#c << 3)) | 0
    this.#c = (this.#c << 21) | (this.#c >>> 11)
    this.#c = (this.#c + sum) | 0
    return sum
  }

  /** A whole number in 0 … count - 1; count ≤ 2^31. */
  below(count: number): number {
    return Math.floor(((this.next() >>> 0) * count) / 4294967296)
  }

  /** A number in [0, 1). */
  fraction(): number {
    return (this.next() >>> 0) / 4294967296
  }
}
