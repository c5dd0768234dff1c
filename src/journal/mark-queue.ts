// hot path
// The marks of pushed batches on their way from the mark ring into blocks: where may a block end,
// and which marks belong to it. A marked batch is never cut by the end of a block.
//
//   mark ring:  | released |  in blocks, not fsynced  |  not in a block   |
//                        cursor                    #taken             published
//
// Decode publishes a mark before the records that it is about, so whoever sees the records sees
// their mark. Marks stay on the ring until their records are durable: an agent that starts again
// finds them as it finds the records. A mark is void when the next one does not begin after it:
// decode ended between mark and records, and somebody else's records took their sequences.

import { assert } from '../errors.ts'
import { JOURNAL_BLOCK_MARKS_MAX } from '../limits.ts'
import { MARK_BYTES, markAccepted, markFirstSeq } from '../ring/batch-mark.ts'
import type { TickRingConsumer } from '../ring/tick-ring.ts'

export class MarkQueue {
  readonly #ring: TickRingConsumer
  readonly #words: Int32Array
  /** Marks of the block that was cut last. */
  readonly #block = new Uint8Array(JOURNAL_BLOCK_MARKS_MAX * MARK_BYTES)
  #blockCount = 0
  /** Counted from the ring's cursor: marks in blocks; those passed by the cut that is at hand. */
  #taken = 0
  #passed = 0

  constructor(ring: TickRingConsumer) {
    this.#ring = ring
    this.#words = new Int32Array(ring.bytes.buffer, ring.bytes.byteOffset, ring.bytes.length / 4)
  }

  /**
   * End of the block that begins at `seq`: at most `endSeq`, or more where one batch is longer.
   * All records below `endSeq` must have been seen on their ring before the call. The marks are in
   * `blockMarks` until the next call; `take` says that the block was appended.
   */
  cut(seq: number, endSeq: number): number {
    const available = this.#ring.available()
    this.#blockCount = 0
    for (this.#passed = this.#taken; this.#passed < available; this.#passed++) {
      const slot = this.#slot(this.#passed)
      const firstSeq = markFirstSeq(this.#words, slot)
      if (firstSeq >= endSeq) return endSeq
      const batchEnd = firstSeq + markAccepted(this.#words, slot)
      // Void, or of records that an earlier agent has made durable.
      if (this.#isVoid(this.#passed, available) || batchEnd <= seq) continue
      assert(firstSeq >= seq, 'a block begins where a batch does, or between two')
      if (batchEnd > endSeq && firstSeq > seq) return firstSeq
      const from = slot * MARK_BYTES
      const mark = this.#ring.bytes.subarray(from, from + MARK_BYTES)
      this.#block.set(mark, this.#blockCount++ * MARK_BYTES)
      if (batchEnd >= endSeq || this.#blockCount === JOURNAL_BLOCK_MARKS_MAX) {
        this.#passed++
        return batchEnd
      }
    }
    return endSeq
  }

  /** Marks of the block that was cut last. */
  blockMarks(): Uint8Array {
    return this.#block.subarray(0, this.#blockCount * MARK_BYTES)
  }

  /** The block that was cut last has been appended. */
  take(): void {
    this.#taken = this.#passed
  }

  /** What was appended and is not durable is appended again. */
  rewind(): void {
    this.#taken = 0
  }

  /** Gives back the marks of records below `durableSeq`. */
  release(durableSeq: number): void {
    let count = 0
    while (count < this.#taken && markFirstSeq(this.#words, this.#slot(count)) < durableSeq) count++
    if (count === 0) return
    this.#taken -= count
    this.#ring.advance(count)
  }

  /** A mark of nothing says only that those before it are void. */
  #isVoid(index: number, available: number): boolean {
    const slot = this.#slot(index)
    if (markAccepted(this.#words, slot) === 0) return true
    if (index + 1 >= available) return false
    return markFirstSeq(this.#words, this.#slot(index + 1)) <= markFirstSeq(this.#words, slot)
  }

  #slot(index: number): number {
    return (this.#ring.offset() / MARK_BYTES + index) % this.#ring.capacity
  }
}
