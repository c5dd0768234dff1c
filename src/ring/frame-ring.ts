// hot path
// Frame ring: variable-length frames from one producer thread to one consumer thread.
//
// Not a queue for many: each producing thread has a ring of its own. Overflow is a return value;
// what to do about it (pause the socket, count a drop) is the source's policy in `pipeline.ts`.
//
// Invariants: 0 ≤ producer - consumer ≤ capacity (as Int32 differences); a frame never wraps; the
// consumer reads only bytes below the producer position that it has loaded.

import { assert } from '../errors.ts'
import { copyBytes } from './copy-bytes.ts'
import type { Doorbell } from './doorbell.ts'
import {
  FRAME_ALIGN_BYTES,
  FRAME_DATA_OFFSET,
  FRAME_HEADER_BYTES,
  FRAME_OFFSET,
  FRAME_WORD,
  frameSize,
  PAD,
} from './frame-ring-layout.ts'

/** What a frame carries beside its bytes. Reused by callers. */
export interface FrameMeta {
  /** Index of the source in the configuration. */
  source: number
  /** FRAME_FORMAT: which decoder it is for. */
  format: number
  /** FRAME_FLAG bits. */
  flags: number
  /** Chosen by the producer, returned in a receipt; 0 … 2^32 - 1. */
  token: number
  /** Receive time: whole seconds and nanoseconds, UTC. */
  recvSec: number
  recvNsec: number
}

export const FRAME_FLAG = Object.freeze({
  /** The producer waits for a receipt with the frame's sequences. */
  WANT_RECEIPT: 1,
  /** From a capture: records get FLAG.REPLAYED. */
  REPLAYED: 2,
  /** Of a batch with an id: the payload begins with its prefix. Goes with WANT_RECEIPT. */
  MARKED: 4,
  /** Its records were accepted before, and refused by a store: no repeats of themselves. */
  ADMIT_REPEATS: 8,
})

class FrameRing {
  protected readonly words: Int32Array
  readonly bytes: Uint8Array
  /** The payload area as 32-bit words: `header` index = byte offset / 4. */
  protected readonly data: Int32Array
  protected readonly halves: Uint16Array
  readonly capacity: number

  constructor(memory: SharedArrayBuffer) {
    this.capacity = memory.byteLength - FRAME_DATA_OFFSET
    assert((this.capacity & (this.capacity - 1)) === 0, 'capacity is a power of two')
    this.words = new Int32Array(memory, 0, FRAME_DATA_OFFSET / 4)
    this.bytes = new Uint8Array(memory, FRAME_DATA_OFFSET)
    this.data = new Int32Array(memory, FRAME_DATA_OFFSET)
    this.halves = new Uint16Array(memory, FRAME_DATA_OFFSET)
  }

  /** Bytes in the ring now; a snapshot, for metrics. */
  get fillBytes(): number {
    // Two loads that may straddle an update: good enough for a gauge, never used for safety.
    const produced = Atomics.load(this.words, FRAME_WORD.producerPosition)
    // Read second: a later consumer position only makes the gauge smaller, and max() floors it.
    const consumed = Atomics.load(this.words, FRAME_WORD.consumerPosition)
    return Math.max(0, (produced - consumed) | 0)
  }
}

export class FrameRingProducer extends FrameRing {
  #position: number
  #consumerSeen: number
  readonly #bell: Doorbell | undefined

  constructor(memory: SharedArrayBuffer, consumerBell?: Doorbell) {
    super(memory)
    // Start where an earlier producer stopped: a restarted thread attaches to a live ring.
    this.#position = Atomics.load(this.words, FRAME_WORD.producerPosition)
    // Only a lower bound is needed; it is refreshed when space seems short.
    this.#consumerSeen = Atomics.load(this.words, FRAME_WORD.consumerPosition)
    this.#bell = consumerBell
  }

  /**
   * Appends one frame whose payload is a[aStart, aEnd) followed by b[bStart, bEnd).
   * Returns false, and changes nothing, when there is no room now.
   */
  tryWrite(
    meta: FrameMeta,
    a: Uint8Array,
    aStart: number,
    aEnd: number,
    b?: Uint8Array,
    bStart = 0,
    bEnd = 0,
  ): boolean {
    const length = aEnd - aStart + (bEnd - bStart)
    const size = frameSize(length)
    assert(size <= this.capacity / 2, 'a frame is at most half of its ring')
    let offset = this.#position & (this.capacity - 1)
    const toEnd = this.capacity - offset
    const needed = size <= toEnd ? size : size + toEnd
    if (!this.#hasRoom(needed)) return false
    if (size > toEnd) {
      this.data[(offset + FRAME_OFFSET.length) >> 2] = PAD
      offset = 0
    }
    this.#writeHeader(offset, length, meta)
    const payload = offset + FRAME_HEADER_BYTES
    if (aEnd > aStart) copyBytes(a, aStart, aEnd, this.bytes, payload)
    if (b !== undefined) copyBytes(b, bStart, bEnd, this.bytes, payload + aEnd - aStart)
    this.#position = (this.#position + needed) | 0
    // Publishes the bytes above: pairs with the load in FrameRingConsumer.poll().
    Atomics.store(this.words, FRAME_WORD.producerPosition, this.#position)
    if (this.#bell !== undefined) this.#bell.ring()
    return true
  }

  #hasRoom(needed: number): boolean {
    if (this.capacity - ((this.#position - this.#consumerSeen) | 0) >= needed) return true
    // Pairs with the store in release(): bytes below it are no longer read. A stale value only
    // makes the ring look fuller than it is.
    this.#consumerSeen = Atomics.load(this.words, FRAME_WORD.consumerPosition)
    if (this.capacity - ((this.#position - this.#consumerSeen) | 0) >= needed) return true
    // Asks to be rung: pairs with the load in releaseKept(). Seq-cst, so that either the consumer
    // sees it or the look that follows sees the room that the consumer has made meanwhile.
    Atomics.store(this.words, FRAME_WORD.roomWanted, 1)
    // As above.
    this.#consumerSeen = Atomics.load(this.words, FRAME_WORD.consumerPosition)
    return this.capacity - ((this.#position - this.#consumerSeen) | 0) >= needed
  }

  #writeHeader(offset: number, length: number, meta: FrameMeta): void {
    const { data, bytes, halves } = this
    data[(offset + FRAME_OFFSET.length) >> 2] = length
    halves[(offset + FRAME_OFFSET.source) >> 1] = meta.source
    bytes[offset + FRAME_OFFSET.format] = meta.format
    bytes[offset + FRAME_OFFSET.flags] = meta.flags
    data[(offset + FRAME_OFFSET.token) >> 2] = meta.token
    // Seconds and nanoseconds side by side; the decoder makes the i64 when it writes the record.
    data[(offset + FRAME_OFFSET.tsRecv) >> 2] = meta.recvSec
    data[(offset + FRAME_OFFSET.tsRecv + 4) >> 2] = meta.recvNsec
  }
}

export class FrameRingConsumer extends FrameRing {
  /** Position of the next frame to poll: at or ahead of the shared consumer position. */
  #position: number
  #producerSeen: number
  #size = 0
  /** The frame that was begun last, and how often. Mirrors the shared words. */
  #begunPosition: number
  #begunCount: number
  /** The frame in whose work our predecessor ended, and how often; count 0 = none, or passed. */
  readonly #suspectPosition: number
  #suspectCount: number
  readonly #bell: Doorbell | undefined
  /** The frame that `poll` found: header fields, and payload = bytes[start, end). */
  readonly meta: FrameMeta = {
    source: 0,
    format: 0,
    flags: 0,
    token: 0,
    recvSec: 0,
    recvNsec: 0,
  }
  start = 0
  end = 0

  constructor(memory: SharedArrayBuffer, producerBell?: Doorbell) {
    super(memory)
    // Our own last value: a restarted consumer takes the frames again that it had not released.
    this.#position = Atomics.load(this.words, FRAME_WORD.consumerPosition)
    this.#producerSeen = this.#position
    // Left by our predecessor, which has ended: nobody writes it now.
    this.#begunPosition = Atomics.load(this.words, FRAME_WORD.attemptPosition)
    // As above.
    this.#begunCount = Atomics.load(this.words, FRAME_WORD.attemptCount)
    this.#suspectPosition = this.#begunPosition
    this.#suspectCount = this.#begunCount
    this.#clearSuspect()
    this.#bell = producerBell
  }

  /**
   * True after a crash, up to and including the frame in whose work it happened. Until then frames
   * must be released one by one, so that each has its own count of attempts.
   */
  get recovering(): boolean {
    return this.#suspectCount > 0
  }

  /** Looks at the oldest frame that is not kept. False when there is none. May be repeated. */
  poll(): boolean {
    if (this.#position === this.#producerSeen) {
      // Pairs with the store in tryWrite(): all bytes below it are visible. Stale = empty for now.
      this.#producerSeen = Atomics.load(this.words, FRAME_WORD.producerPosition)
      if (this.#position === this.#producerSeen) return false
    }
    let offset = this.#position & (this.capacity - 1)
    let size = 0
    if ((this.data[offset >> 2] as number) === PAD) {
      size = this.capacity - offset
      offset = 0
    }
    this.#readHeader(offset)
    this.#size = size + frameSize(this.end - this.start)
    return true
  }

  /**
   * Up to where frames are known to lie behind the polled one, in bytes; none of them is known to
   * lie beyond, but where the ring turns. They stay until they are released.
   */
  get behindEnd(): number {
    const next = (this.end + FRAME_ALIGN_BYTES - 1) & -FRAME_ALIGN_BYTES
    const known = (this.#producerSeen - this.#position - this.#size) | 0
    return Math.min(next + known, this.capacity)
  }

  /** Moves on to the next frame; the polled one stays on the ring, bytes valid, until release. */
  keep(): void {
    assert(this.#size > 0, 'keep follows a successful poll')
    this.#position = (this.#position + this.#size) | 0
    this.#size = 0
  }

  /** Position of the first frame that is not kept. */
  get keptPosition(): number {
    return this.#position
  }

  /** Gives back the frames before `position`, which a predecessor kept and had done with. */
  passOver(position: number): void {
    if (((position - this.#position) | 0) <= 0) return
    this.#position = position
    // What was seen of the producer is behind it: the next poll looks anew.
    this.#producerSeen = position
    this.#size = 0
    this.releaseKept()
  }

  /** Gives the bytes of all kept frames back to the producer. */
  releaseKept(): void {
    // After our last read of the frames: pairs with the load in #hasRoom().
    Atomics.store(this.words, FRAME_WORD.consumerPosition, this.#position)
    this.#clearSuspect()
    this.#ringProducer()
  }

  /** Wakes a producer that waits for room, once half the ring is free: not at each release. */
  #ringProducer(): void {
    if (this.#bell === undefined) return
    // Pairs with the store in #hasRoom(). Stale = the producer's own second look finds the room.
    if (Atomics.load(this.words, FRAME_WORD.roomWanted) === 0) return
    if (this.fillBytes > this.capacity / 2) return
    // Cleared before the ring: a producer that finds too little asks again.
    Atomics.store(this.words, FRAME_WORD.roomWanted, 0)
    this.#bell.ring()
  }

  /** Gives the polled frame, and any kept before it, back to the producer. */
  release(): void {
    this.keep()
    this.releaseKept()
  }

  /**
   * Notes that work on the polled frame begins; returns how often it was begun (1 = first time).
   * Survives a crash of this thread: a frame that kills its decoder is known by its count.
   */
  beginAttempt(): number {
    const { words } = this
    let count = 1
    if (this.#position === this.#begunPosition) count = this.#begunCount + 1
    else if (this.recovering && this.#position === this.#suspectPosition) {
      count = this.#suspectCount + 1
    }
    this.#begunPosition = this.#position
    this.#begunCount = count
    // Written by the consumer's thread only (or its successor): atomics for visibility across a
    // restart, not for exclusion. A position repeats only after 4 GiB, long begun anew.
    Atomics.store(words, FRAME_WORD.attemptPosition, this.#position)
    // As above.
    Atomics.store(words, FRAME_WORD.attemptCount, count)
    return count
  }

  /** The work on all frames begun so far went well: what comes next is no fault of theirs. */
  endAttempts(): void {
    this.#begunCount = 0
    // As in beginAttempt().
    Atomics.store(this.words, FRAME_WORD.attemptCount, 0)
  }

  /** Forgets the suspect once it lies behind us: its position will come again. */
  #clearSuspect(): void {
    if (((this.#suspectPosition - this.#position) | 0) < 0) this.#suspectCount = 0
  }

  #readHeader(offset: number): void {
    const { data, bytes, halves, meta } = this
    const length = data[(offset + FRAME_OFFSET.length) >> 2] as number
    assert(length >= 0 && length < this.capacity, 'a frame length lies within the ring')
    meta.source = halves[(offset + FRAME_OFFSET.source) >> 1] as number
    meta.format = bytes[offset + FRAME_OFFSET.format] as number
    meta.flags = bytes[offset + FRAME_OFFSET.flags] as number
    meta.token = (data[(offset + FRAME_OFFSET.token) >> 2] as number) >>> 0
    // Seconds are unsigned: the field lasts until 2106.
    meta.recvSec = (data[(offset + FRAME_OFFSET.tsRecv) >> 2] as number) >>> 0
    meta.recvNsec = data[(offset + FRAME_OFFSET.tsRecv + 4) >> 2] as number
    this.start = offset + FRAME_HEADER_BYTES
    this.end = this.start + length
  }
}
