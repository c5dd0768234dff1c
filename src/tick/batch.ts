// A run of ticks in memory that this thread owns: what a decoder fills and a stage passes on.
//
// Not a ring: no sharing, no positions. `count` ticks are valid, from index 0. The views alias one
// buffer; field access is `words[index * TICK_WORDS + WORD.x]` on the hot path, or the named
// methods below where a call costs nothing that matters.

import { assert } from '../errors.ts'
import { OFFSET, TICK_BYTES, TICK_WORDS } from './layout.ts'

const HALVES = TICK_BYTES / 2

export class TickBatch {
  /** Ticks that it may hold. Its owner may set it lower than its memory allows, and back. */
  capacity: number
  readonly bytes: Uint8Array
  /** The same memory as 32-bit words: i64 fields (low, high), instrument. */
  readonly words: Int32Array
  /** The same memory as 16-bit words: source, flags, interval. */
  readonly halves: Uint16Array
  /** Valid ticks. Whoever fills the batch sets it. */
  count = 0

  /** `memory`: at least capacity x 64 bytes, 8-byte aligned; allocated when not given. */
  constructor(capacity: number, memory?: ArrayBuffer | SharedArrayBuffer, byteOffset = 0) {
    const size = capacity * TICK_BYTES
    const buffer = memory ?? new ArrayBuffer(size)
    assert(byteOffset % 8 === 0, 'a batch starts on 8 bytes')
    assert(buffer.byteLength >= byteOffset + size, 'the memory holds the capacity')
    this.capacity = capacity
    this.bytes = new Uint8Array(buffer, byteOffset, size)
    this.words = new Int32Array(buffer, byteOffset, size / 4)
    this.halves = new Uint16Array(buffer, byteOffset, size / 2)
  }

  /** Zeroes tick `index` before it is filled: a reused slot keeps nothing of its last tick. */
  clear(index: number): void {
    this.words.fill(0, index * TICK_WORDS, (index + 1) * TICK_WORDS)
  }

  kind(index: number): number {
    return this.bytes[index * TICK_BYTES + OFFSET.kind] as number
  }

  side(index: number): number {
    return this.bytes[index * TICK_BYTES + OFFSET.side] as number
  }

  action(index: number): number {
    return this.bytes[index * TICK_BYTES + OFFSET.action] as number
  }

  market(index: number): number {
    return this.bytes[index * TICK_BYTES + OFFSET.market] as number
  }

  instrument(index: number): number {
    return (this.words[index * TICK_WORDS + OFFSET.instrument / 4] as number) >>> 0
  }

  source(index: number): number {
    return this.halves[index * HALVES + OFFSET.source / 2] as number
  }

  flags(index: number): number {
    return this.halves[index * HALVES + OFFSET.flags / 2] as number
  }

  interval(index: number): number {
    return this.halves[index * HALVES + OFFSET.interval / 2] as number
  }

  setKindSide(index: number, kind: number, side: number): void {
    this.bytes[index * TICK_BYTES + OFFSET.kind] = kind
    this.bytes[index * TICK_BYTES + OFFSET.side] = side
  }

  setAction(index: number, action: number): void {
    this.bytes[index * TICK_BYTES + OFFSET.action] = action
  }

  setMarket(index: number, market: number, intervalMinutes: number): void {
    this.bytes[index * TICK_BYTES + OFFSET.market] = market
    this.halves[index * HALVES + OFFSET.interval / 2] = intervalMinutes
  }

  setInstrument(index: number, instrument: number): void {
    this.words[index * TICK_WORDS + OFFSET.instrument / 4] = instrument
  }

  setSource(index: number, source: number): void {
    this.halves[index * HALVES + OFFSET.source / 2] = source
  }

  setFlags(index: number, flags: number): void {
    this.halves[index * HALVES + OFFSET.flags / 2] = flags
  }

  addFlags(index: number, flags: number): void {
    const at = index * HALVES + OFFSET.flags / 2
    this.halves[at] = (this.halves[at] as number) | flags
  }

  /** Copies tick `from` over tick `to`, within this batch (to close a hole). */
  move(from: number, to: number): void {
    if (from === to) return
    this.bytes.copyWithin(to * TICK_BYTES, from * TICK_BYTES, (from + 1) * TICK_BYTES)
  }
}
