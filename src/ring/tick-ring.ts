// hot path
// Tick ring: 64-byte records from one producer to several consumers on other threads.
//
//   gating consumer   the producer waits for it: it sees every record (journal, aggregate)
//   lapping consumer  the producer does not: it may be overrun, and knows by how much (serve)
//
// A sequence is a whole number below 2^48 that goes on across restarts; a position is its low 32
// bits. Each end extends positions to sequences by Int32 differences, exact while no end falls
// 2^31 records behind, which gating or the lap check rules out.

import { assert } from '../errors.ts'
import type { TickBatch } from '../tick/batch.ts'
import { TICK_BYTES } from '../tick/layout.ts'
import { copyBytes } from './copy-bytes.ts'
import type { Doorbell } from './doorbell.ts'
import { cursorWord, TICK_RING_DATA_OFFSET, TICK_RING_WORD } from './tick-ring-layout.ts'

/** Reads that were overrun while they copied, before a lapper leaves it to its next call. */
const ATTEMPTS_MAX = 7

class TickRing {
  protected readonly words: Int32Array
  readonly bytes: Uint8Array
  readonly capacity: number

  constructor(memory: SharedArrayBuffer) {
    this.capacity = (memory.byteLength - TICK_RING_DATA_OFFSET) / TICK_BYTES
    this.words = new Int32Array(memory, 0, TICK_RING_DATA_OFFSET / 4)
    this.bytes = new Uint8Array(memory, TICK_RING_DATA_OFFSET)
  }

  protected published(): number {
    // Pairs with the store at the end of publish(): records below it are complete.
    return Atomics.load(this.words, TICK_RING_WORD.published)
  }
}

export class TickRingProducer extends TickRing {
  /** Sequence of the next record. */
  seq: number
  #position: number
  #claimed: number
  #limitSeen: number
  readonly #cursors: readonly number[]
  readonly #bells: readonly Doorbell[]

  /**
   * `nearSeq`: any sequence within 2^31 of the next record; `gatingSlots`: cursor slots in use;
   * `bells`: the threads of all consumers.
   */
  constructor(
    memory: SharedArrayBuffer,
    nearSeq: number,
    gatingSlots: readonly number[],
    bells: readonly Doorbell[] = [],
  ) {
    super(memory)
    this.#cursors = gatingSlots.map(cursorWord)
    this.#bells = bells
    this.#position = this.published()
    // A predecessor that ended between claim and publication has spoilt the slots it claimed: the
    // claim stands, and is never moved back.
    this.#claimed = Atomics.load(this.words, TICK_RING_WORD.claimed)
    // A restarted producer goes on where its predecessor published.
    this.seq = seqOf(this.#position, nearSeq)
    this.#limitSeen = this.#slowest()
  }

  /** Position of the next record. */
  get position(): number {
    return this.#position
  }

  /** Records that can be published now without overrunning a gating consumer. */
  available(): number {
    this.#limitSeen = this.#slowest()
    return this.capacity - ((this.#position - this.#limitSeen) | 0)
  }

  /**
   * Publishes ticks [from, from + count) of `batch`, all or none, contiguous in sequence.
   * Returns the sequence of the first, or -1 when a gating consumer leaves no room now.
   */
  publish(batch: TickBatch, from: number, count: number): number {
    assert(count > 0 && count <= this.capacity, 'a publication fits in the ring')
    if (this.capacity - ((this.#position - this.#limitSeen) | 0) < count) {
      if (this.available() < count && !this.#hasRoomAfterAsking(count)) return -1
    }
    const next = (this.#position + count) | 0
    if (((next - this.#claimed) | 0) > 0) this.#claimed = next
    // Before the first byte is written: a lapping reader that copied these slots sees that they
    // were taken. Pairs with the load after the copy in TickRingLapper.read().
    Atomics.store(this.words, TICK_RING_WORD.claimed, this.#claimed)
    // Keeps the plain writes below from being seen before that store: a store alone does not, on
    // processors of weak order; a load after it does. Never stale: we are the only writer.
    const claimed = Atomics.load(this.words, TICK_RING_WORD.claimed)
    assert(claimed === this.#claimed, 'a tick ring has one producer')
    const slot = this.#position & (this.capacity - 1)
    const first = Math.min(count, this.capacity - slot)
    const start = from * TICK_BYTES
    const cut = start + first * TICK_BYTES
    copyBytes(batch.bytes, start, cut, this.bytes, slot * TICK_BYTES)
    if (first < count) copyBytes(batch.bytes, cut, start + count * TICK_BYTES, this.bytes, 0)
    this.#position = next
    // Publishes the records: pairs with the load in published().
    Atomics.store(this.words, TICK_RING_WORD.published, next)
    const seq = this.seq
    this.seq += count
    for (let i = 0; i < this.#bells.length; i++) (this.#bells[i] as Doorbell).ring()
    return seq
  }

  /** Asks to be rung when there is room, and looks once more. */
  #hasRoomAfterAsking(count: number): boolean {
    // Pairs with the load in ringProducer(). Seq-cst, so that either the consumer sees it or the
    // look that follows sees the room that the consumer has made meanwhile.
    Atomics.store(this.words, TICK_RING_WORD.roomWanted, 1)
    return this.available() >= count
  }

  #slowest(): number {
    let slowest = this.#position
    for (let i = 0; i < this.#cursors.length; i++) {
      // Pairs with the store in advance(): slots below it are no longer read. Stale = less room.
      const cursor = Atomics.load(this.words, this.#cursors[i] as number)
      if (((cursor - slowest) | 0) < 0) slowest = cursor
    }
    return slowest
  }
}

/** A consumer that the producer waits for. Reads in place: no copy. */
export class TickRingConsumer extends TickRing {
  /** Sequence of the next record to read. */
  seq: number
  #position: number
  readonly #cursor: number
  readonly #bell: Doorbell | undefined

  /** `nearSeq`: any sequence within 2^31 of the next record. */
  constructor(memory: SharedArrayBuffer, slot: number, nearSeq: number, producerBell?: Doorbell) {
    super(memory)
    this.#cursor = cursorWord(slot)
    // Our own last value: a restarted consumer goes on where it stopped.
    this.#position = Atomics.load(this.words, this.#cursor)
    this.seq = seqOf(this.#position, nearSeq)
    this.#bell = producerBell
  }

  /** Records that can be read now; they are valid until `advance`. */
  available(): number {
    return (this.published() - this.#position) | 0
  }

  /** Of the available records, those that lie without a break from `offset()`. */
  run(): number {
    const slot = this.#position & (this.capacity - 1)
    return Math.min(this.available(), this.capacity - slot)
  }

  /** Byte offset in `bytes` of the next record. */
  offset(): number {
    return (this.#position & (this.capacity - 1)) * TICK_BYTES
  }

  /** Gives `count` records back to the producer. */
  advance(count: number): void {
    assert(count >= 0 && count <= this.available(), 'a consumer advances over published records')
    this.#position = (this.#position + count) | 0
    this.seq += count
    // After our last read of the slots: pairs with the load in #slowest().
    Atomics.store(this.words, this.#cursor, this.#position)
    this.#ringProducer()
  }

  /** Wakes a producer that waits for room, once half the ring is free: not at each advance. */
  #ringProducer(): void {
    if (this.#bell === undefined) return
    // Pairs with the store in #hasRoomAfterAsking(). Stale = the producer's second look finds room.
    if (Atomics.load(this.words, TICK_RING_WORD.roomWanted) === 0) return
    if (this.available() > this.capacity / 2) return
    // Cleared before the ring: a producer that finds too little asks again.
    Atomics.store(this.words, TICK_RING_WORD.roomWanted, 0)
    this.#bell.ring()
  }
}

/** A consumer that the producer may overrun. Copies out, then checks that the copy is whole. */
export class TickRingLapper extends TickRing {
  /** Sequence of the next record to read. */
  seq: number
  /** Records overrun before they could be read, in total. */
  lostCount = 0
  #position: number
  readonly #fence = new Int32Array(new SharedArrayBuffer(4))

  /** Starts at the next record to be published. `nearSeq` as for TickRingConsumer. */
  constructor(memory: SharedArrayBuffer, nearSeq: number) {
    super(memory)
    this.#position = this.published()
    this.seq = seqOf(this.#position, nearSeq)
  }

  /** Records published and not yet read (more than the capacity means overrun). */
  lag(): number {
    return (this.published() - this.#position) | 0
  }

  /**
   * Copies up to out.capacity records into `out` and sets out.count. Returns the sequence of the
   * first. When the producer has lapped us, the lost records are skipped and counted first: the
   * returned sequence then is ahead of the previous `seq` by exactly what was lost.
   */
  read(out: TickBatch): number {
    let count = Math.min(this.lag(), out.capacity)
    // One retry is enough unless the producer takes half a ring while we copy a batch.
    for (let attempt = 0; count > 0; attempt++) {
      this.#copy(out, count)
      if (!this.#overrun()) break
      count = attempt < ATTEMPTS_MAX ? Math.min(this.lag(), out.capacity) : 0
    }
    const seq = this.seq
    out.count = count
    this.#position = (this.#position + count) | 0
    this.seq += count
    return seq
  }

  /**
   * True when the producer has taken slots from `#position` on since they were published: they are
   * then counted as lost, with as many more as put us half a ring behind the producer.
   */
  #overrun(): boolean {
    // Keeps the plain reads of the copy from being made after the load below, on processors of
    // weak order: a store of our own between them does.
    Atomics.store(this.#fence, 0, 0)
    // Pairs with the store before the copy in publish(): had the producer claimed any of the
    // slots that we read, claimed - position would exceed the capacity now.
    const claimed = Atomics.load(this.words, TICK_RING_WORD.claimed)
    const overrun = ((claimed - this.#position) | 0) - this.capacity
    if (overrun <= 0) return false
    // Not beyond what is published: a claim of more than half a ring may be under way.
    const skip = Math.min(overrun + this.capacity / 2, this.lag())
    this.#position = (this.#position + skip) | 0
    this.seq += skip
    this.lostCount += skip
    return true
  }

  #copy(out: TickBatch, count: number): void {
    const slot = this.#position & (this.capacity - 1)
    const first = Math.min(count, this.capacity - slot)
    const start = slot * TICK_BYTES
    copyBytes(this.bytes, start, start + first * TICK_BYTES, out.bytes, 0)
    if (first < count) {
      copyBytes(this.bytes, 0, (count - first) * TICK_BYTES, out.bytes, first * TICK_BYTES)
    }
  }
}

/** Knows how far the ring is published, reads no record, and is seen by nobody. */
export class TickRingObserver extends TickRing {
  #seq: number
  #position: number

  /** `nearSeq` as for TickRingConsumer; then ask at least every 2^31 records. */
  constructor(memory: SharedArrayBuffer, nearSeq: number) {
    super(memory)
    this.#position = this.published()
    this.#seq = seqOf(this.#position, nearSeq)
  }

  /** Sequence of the next record to be published. */
  publishedSeq(): number {
    const position = this.published()
    this.#seq += (position - this.#position) | 0
    this.#position = position
    return this.#seq
  }
}

/** The sequence whose low 32 bits are `position`, of those the one nearest to `nearSeq`. */
function seqOf(position: number, nearSeq: number): number {
  return nearSeq + ((position - ((nearSeq % 2 ** 32) | 0)) | 0)
}
