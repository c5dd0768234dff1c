// The batches of a shard that are remembered: mark by id and part, the newest ones.
//
// In shared memory although one thread uses it at a time: main fills it from the journal before
// decode starts, and a decode that is made anew finds what its predecessor knew. Bounded: when the
// table is full, each new mark takes the place of the oldest. 76 bytes a mark.
//
//   | count | bucket heads (2^n) | next in the bucket, by slot | marks, by slot |   32-bit words
//
// The mark that is the k-th ever put lies in slot k % capacity. Heads and nexts hold slot + 1; 0
// is the end. `count` is how many marks were ever put.

import { assert } from '../errors.ts'
import {
  BATCH_ID_WORDS,
  type BatchMark,
  MARK_OFFSET,
  MARK_WORDS,
  markAccepted,
  markFirstSeq,
  readMark,
  writeMark,
} from './batch-mark.ts'

const HEAD_WORDS = 2
const TWO_32 = 2 ** 32

/** Bucket heads for a capacity: a power of two, at least twice as many. */
const bucketsOf = (capacity: number): number => 2 ** Math.ceil(Math.log2(2 * capacity))

export class BatchIds {
  readonly capacity: number
  readonly #count: Int32Array
  readonly #heads: Int32Array
  readonly #nexts: Int32Array
  readonly #marks: Int32Array

  static create(capacity: number): SharedArrayBuffer {
    assert(capacity > 0, 'at least one batch is remembered')
    const words = HEAD_WORDS + bucketsOf(capacity) + capacity * (1 + MARK_WORDS)
    return new SharedArrayBuffer(words * 4)
  }

  constructor(memory: SharedArrayBuffer, capacity: number) {
    const buckets = bucketsOf(capacity)
    this.capacity = capacity
    this.#count = new Int32Array(memory, 0, HEAD_WORDS)
    this.#heads = new Int32Array(memory, HEAD_WORDS * 4, buckets)
    this.#nexts = new Int32Array(memory, (HEAD_WORDS + buckets) * 4, capacity)
    this.#marks = new Int32Array(memory, (HEAD_WORDS + buckets + capacity) * 4)
    assert(this.#marks.length === capacity * MARK_WORDS, 'the memory is that of the capacity')
  }

  /** Marks remembered. */
  get size(): number {
    return Math.min(this.#everPut(), this.capacity)
  }

  /** Fills `mark` with what is remembered of part `part` of the batch `id`. False: nothing is. */
  find(id: Int32Array, part: number, mark: BatchMark): boolean {
    const slot = this.#slotOf(id, part)
    if (slot < 0) return false
    readMark(this.#marks, slot, mark)
    return true
  }

  /** Remembers a mark, in place of the oldest when the table is full. */
  put(mark: BatchMark): void {
    const known = this.#slotOf(mark.id, mark.part)
    if (known >= 0) {
      writeMark(this.#marks, known, mark)
      return
    }
    const ever = this.#everPut()
    const slot = ever % this.capacity
    if (ever >= this.capacity) this.#unlink(slot)
    // Counted before it can be found: a thread may end at any of these writes, and what can be
    // found and is not counted would be neither forgotten nor unlinked.
    this.#count.set([((ever + 1) % TWO_32) | 0, Math.floor((ever + 1) / TWO_32)])
    writeMark(this.#marks, slot, mark)
    this.#link(slot)
  }

  /** Forgets marks of records from `nextSeq` on: decode ended before it published them. */
  forgetFrom(nextSeq: number): void {
    // A batch that is known by nobody: its slot stays taken until its turn comes.
    for (let slot = 0; slot < this.size; slot++) {
      const accepted = markAccepted(this.#marks, slot)
      if (accepted === 0 || markFirstSeq(this.#marks, slot) < nextSeq) continue
      this.#unlink(slot)
      this.#marks.fill(0, slot * MARK_WORDS, (slot + 1) * MARK_WORDS)
      this.#link(slot)
    }
  }

  #everPut(): number {
    const [low = 0, high = 0] = this.#count
    return (low >>> 0) + high * TWO_32
  }

  #slotOf(id: Int32Array, part: number): number {
    let link = this.#heads[this.#bucketOf(id, 0, part)] as number
    while (link !== 0) {
      const at = (link - 1) * MARK_WORDS
      if (this.#isAt(at, id, part)) return link - 1
      link = this.#nexts[link - 1] as number
    }
    return -1
  }

  #isAt(at: number, id: Int32Array, part: number): boolean {
    for (let word = 0; word < BATCH_ID_WORDS; word++) {
      if (this.#marks[at + word] !== id[word]) return false
    }
    return (this.#marks[at + MARK_OFFSET.part / 4] as number) === (part | 0)
  }

  /** Ids are digests: their first word is as good as a hash. */
  #bucketOf(words: Int32Array, at: number, part: number): number {
    return ((words[at] as number) ^ Math.imul(part, 0x9e3779b1)) & (this.#heads.length - 1)
  }

  #bucketOfSlot(slot: number): number {
    const at = slot * MARK_WORDS
    return this.#bucketOf(this.#marks, at, this.#marks[at + MARK_OFFSET.part / 4] as number)
  }

  #link(slot: number): void {
    const bucket = this.#bucketOfSlot(slot)
    this.#nexts[slot] = this.#heads[bucket] as number
    this.#heads[bucket] = slot + 1
  }

  #unlink(slot: number): void {
    const bucket = this.#bucketOfSlot(slot)
    const after = this.#nexts[slot] as number
    let link = this.#heads[bucket] as number
    if (link === slot + 1) {
      this.#heads[bucket] = after
      return
    }
    while (link !== 0) {
      const next = this.#nexts[link - 1] as number
      if (next === slot + 1) this.#nexts[link - 1] = after
      link = next
    }
  }
}
