// What torture threads write and check: sizes and contents that follow from a seed and a number.

import { TICK_WORDS } from '../../src/tick/layout.ts'

/** Stands before and behind the contents of a frame: a neighbour that runs over is seen. */
export const CANARY = 0xc5

export class Random {
  #state: number

  constructor(seed: number) {
    this.#state = seed >>> 0 || 1
  }

  /** xorshift32: 0 … below - 1. */
  below(below: number): number {
    this.#state ^= this.#state << 13
    this.#state ^= this.#state >>> 17
    this.#state ^= this.#state << 5
    return (this.#state >>> 0) % below
  }
}

/** Payload size of the next frame: mostly small, sometimes up to `sizeMax`; canaries included. */
export function frameSizeOf(random: Random, sizeMax: number): number {
  return 2 + random.below(random.below(16) === 0 ? sizeMax - 1 : 100)
}

export function fillFrame(bytes: Uint8Array, token: number, size: number): void {
  bytes[0] = CANARY
  for (let i = 1; i < size - 1; i++) bytes[i] = (token + i) & 0xff
  bytes[size - 1] = CANARY
}

export function isFrame(bytes: Uint8Array, start: number, end: number, token: number): boolean {
  if (bytes[start] !== CANARY || bytes[end - 1] !== CANARY) return false
  for (let at = start + 1; at < end - 1; at++) {
    if (bytes[at] !== ((token + at - start) & 0xff)) return false
  }
  return true
}

/** Every word of a tick says its sequence: a torn one does not agree with itself. */
export function fillTick(words: Int32Array, index: number, seq: number): void {
  words.fill(seq | 0, index * TICK_WORDS, (index + 1) * TICK_WORDS)
}

export function isTick(words: Int32Array, index: number, seq: number): boolean {
  const start = index * TICK_WORDS
  for (let word = 0; word < TICK_WORDS; word++) {
    if (words[start + word] !== (seq | 0)) return false
  }
  return true
}

export function instrumentName(number: number): string {
  return `NAME-${number}`
}
