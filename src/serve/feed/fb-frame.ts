// hot path
// A feed frame under construction: a FlatBuffers `Batch` (schema/tick.fbs), ticks copied in.
//
// The part before the ticks has a fixed form: it is written once, and patched for each frame, so
// that encoding is a memcpy. The other sub-protocols encode from `batch`, which is the same memory.
//
//   byte 0      4           16       20      24      32         40      44      48
//        root   vtable      vtable   stream  epoch   first_seq  ticks   count   ticks …
//        u32    u16 x 6     i32      u32     u64     u64        u32     u32     64 bytes each
//
// Invariant: batch.count ≤ capacity; the memory doubles up to the capacity as it is needed.

import { assert } from '../../errors.ts'
import { TickBatch } from '../../tick/batch.ts'
import { TICK_BYTES, TICK_WORDS } from '../../tick/layout.ts'

const VTABLE_FIELDS = 4
/** Name -> width in bytes, in order: the fixed part. */
const PREFIX = [
  ['root', 4],
  ['vtable', 2 * (2 + VTABLE_FIELDS)],
  ['table', 4],
  ['stream', 4],
  ['epoch', 8],
  ['firstSeq', 8],
  ['ticksRef', 4],
  ['count', 4],
] as const

type PrefixField = (typeof PREFIX)[number][0] | 'ticks'

export const FRAME_PREFIX: Readonly<Record<PrefixField, number>> = (() => {
  const offsets = {} as Record<PrefixField, number>
  let offset = 0
  for (const [name, width] of PREFIX) {
    offsets[name] = offset
    offset += width
  }
  offsets.ticks = offset
  return Object.freeze(offsets)
})()

export const FRAME_PREFIX_BYTES = FRAME_PREFIX.ticks
assert(FRAME_PREFIX_BYTES % 8 === 0, 'ticks begin on 8 bytes')
assert(FRAME_PREFIX.table === 16 && FRAME_PREFIX.epoch % 8 === 0, 'u64 fields lie on 8 bytes')

const CAPACITY_FIRST = 16
/** Fewer ticks are copied sooner word by word than it takes to make a view of them. */
const RUN_TICKS_MIN = 8
const TWO_32 = 2 ** 32

export class Frame {
  /** The ticks gathered so far. */
  batch: TickBatch
  readonly #capacityMax: number
  #bytes: Uint8Array
  #view: DataView

  constructor(capacityMax: number, streamId: number, epoch: number, first = CAPACITY_FIRST) {
    this.#capacityMax = capacityMax
    const capacity = Math.min(capacityMax, first)
    this.#bytes = new Uint8Array(FRAME_PREFIX_BYTES + capacity * TICK_BYTES)
    this.#view = new DataView(this.#bytes.buffer)
    this.batch = new TickBatch(capacity, this.#bytes.buffer as ArrayBuffer, FRAME_PREFIX_BYTES)
    this.#writePrefix(streamId, epoch)
  }

  get isFull(): boolean {
    return this.batch.count === this.#capacityMax
  }

  /** Appends the tick at words[wordIndex …]. The caller has looked at `isFull`. */
  append(words: Int32Array, wordIndex: number): void {
    if (this.batch.count === this.batch.capacity) this.#grow()
    const to = this.batch.words
    const at = this.batch.count * TICK_WORDS
    for (let i = 0; i < TICK_WORDS; i++) to[at + i] = words[wordIndex + i] as number
    this.batch.count++
  }

  /** Appends ticks [from, to) of `batch`, or as many as there is room for; returns how many. */
  appendRun(batch: TickBatch, from: number, to: number): number {
    const count = Math.min(to - from, this.#capacityMax - this.batch.count)
    if (count < RUN_TICKS_MIN) {
      for (let i = from; i < from + count; i++) this.append(batch.words, i * TICK_WORDS)
      return count
    }
    while (this.batch.count + count > this.batch.capacity) this.#grow()
    const ticks = batch.bytes.subarray(from * TICK_BYTES, (from + count) * TICK_BYTES)
    this.batch.bytes.set(ticks, this.batch.count * TICK_BYTES)
    this.batch.count += count
    return count
  }

  /** The frame's bytes, ready to send; valid until the next append or `reset`. */
  encode(firstSeq: number): Uint8Array {
    const { count } = this.batch
    this.#writeU64(FRAME_PREFIX.firstSeq, firstSeq)
    this.#view.setUint32(FRAME_PREFIX.count, count, true)
    return this.#bytes.subarray(0, FRAME_PREFIX_BYTES + count * TICK_BYTES)
  }

  reset(): void {
    this.batch.count = 0
  }

  /** Makes this frame, which has room, the same as another: stream, epoch and ticks. */
  become(other: Frame): void {
    const { count } = other.batch
    assert(count <= this.batch.capacity, 'a copy has room for what is copied')
    this.#bytes.set(other.#bytes.subarray(0, FRAME_PREFIX_BYTES + count * TICK_BYTES))
    this.batch.count = count
  }

  #writePrefix(streamId: number, epoch: number): void {
    const view = this.#view
    const { vtable, table, ticksRef, count } = FRAME_PREFIX
    const fields = [FRAME_PREFIX.stream, FRAME_PREFIX.epoch, FRAME_PREFIX.firstSeq, ticksRef]
    view.setUint32(FRAME_PREFIX.root, table, true)
    view.setUint16(vtable, 2 * (2 + VTABLE_FIELDS), true)
    view.setUint16(vtable + 2, count - table, true)
    for (let i = 0; i < fields.length; i++) {
      view.setUint16(vtable + 4 + 2 * i, (fields[i] as number) - table, true)
    }
    view.setInt32(table, table - vtable, true)
    view.setUint32(FRAME_PREFIX.stream, streamId, true)
    this.#writeU64(FRAME_PREFIX.epoch, epoch)
    view.setUint32(ticksRef, count - ticksRef, true)
  }

  #writeU64(offset: number, value: number): void {
    this.#view.setUint32(offset, value % TWO_32, true)
    this.#view.setUint32(offset + 4, Math.floor(value / TWO_32), true)
  }

  #grow(): void {
    const capacity = Math.min(this.#capacityMax, this.batch.capacity * 2)
    assert(capacity > this.batch.capacity, 'a full frame is not appended to')
    const bytes = new Uint8Array(FRAME_PREFIX_BYTES + capacity * TICK_BYTES)
    bytes.set(this.#bytes)
    const { count } = this.batch
    this.#bytes = bytes
    this.#view = new DataView(bytes.buffer)
    this.batch = new TickBatch(capacity, bytes.buffer, FRAME_PREFIX_BYTES)
    this.batch.count = count
  }
}
