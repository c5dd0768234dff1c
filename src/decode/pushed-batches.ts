// The pushed batches of a shard: is this frame a part of one that was published before?
//
// A frame of a batch with an id begins with a prefix (ring/batch-mark.ts) of digest and part. Its
// bytes are compared by length and CRC-32 with what the id stood for the first time:
//
//   fresh    unknown id: published, and its mark with it
//   repeat   known, and the same bytes: nothing is published; the receipt has the first sequences
//   reused   known, and other bytes: a mistake of the pusher's, refused as a whole
//
// The order that makes it exactly once: mark on the mark ring and in the table, then records on
// the tick ring. Ended between the two, the next decode voids the mark before it does anything.

import { assert } from '../errors.ts'
import { crc32 } from '../native/checksum.ts'
import type { BatchIds } from '../ring/batch-ids.ts'
import { BATCH_PREFIX_BYTES, newMark, readPrefix, writeMark } from '../ring/batch-mark.ts'
import type { Receipt } from '../ring/feedback.ts'
import type { TickRingProducer } from '../ring/tick-ring.ts'
import { TickBatch } from '../tick/batch.ts'

export const BATCH = Object.freeze({ fresh: 0, repeat: 1, reused: 2 })

export interface PushedBatchesOptions {
  /** To the journal: a tick ring of marks. */
  readonly marks: TickRingProducer
  readonly ids: BatchIds
}

export class PushedBatches {
  readonly #marks: TickRingProducer
  readonly #ids: BatchIds
  /** Of the frame that was looked at last, and what is known of its id. */
  readonly #mark = newMark()
  readonly #known = newMark()
  readonly #slot = new TickBatch(1)
  #isReady = false

  constructor({ marks, ids }: PushedBatchesOptions) {
    this.#marks = marks
    this.#ids = ids
  }

  /** Voids what a predecessor left undone. `nextSeq`: of the tick ring. False: no room, again. */
  begin(nextSeq: number): boolean {
    if (this.#isReady) return true
    this.#ids.forgetFrom(nextSeq)
    const { id: _, ...nothing } = newMark()
    Object.assign(this.#mark, { ...nothing, firstSeq: nextSeq })
    this.#isReady = this.#publish()
    return this.#isReady
  }

  /** What the frame bytes[start, end) is: BATCH. */
  look(bytes: Uint8Array, start: number, end: number): number {
    const mark = this.#mark
    const known = this.#known
    readPrefix(bytes, start, mark)
    const payload = bytes.subarray(start + BATCH_PREFIX_BYTES, end)
    mark.frameBytes = payload.length
    mark.frameCrc = crc32(payload)
    if (!this.#ids.find(mark.id, mark.part, known)) return BATCH.fresh
    const isSame = known.frameBytes === mark.frameBytes && known.frameCrc === mark.frameCrc
    return isSame ? BATCH.repeat : BATCH.reused
  }

  /**
   * Announces the fresh batch that was looked at last and became the records of `receipt`, which
   * are published next. False: no room now, and nothing has changed.
   */
  announce(receipt: Receipt): boolean {
    assert(receipt.accepted > 0, 'a batch of no records needs no mark')
    const mark = this.#mark
    mark.firstSeq = receipt.firstSeq
    mark.accepted = receipt.accepted
    mark.duplicate = receipt.duplicate
    mark.rejected = receipt.rejected
    if (!this.#publish()) return false
    this.#ids.put(mark)
    return true
  }

  /** The receipt of a repeat: where the records of the first time are. */
  repeat(receipt: Receipt): void {
    const { firstSeq, accepted, duplicate, rejected } = this.#known
    receipt.firstSeq = firstSeq
    receipt.accepted = 0
    receipt.repeated = accepted
    receipt.duplicate = accepted + duplicate
    receipt.rejected = rejected
  }

  #publish(): boolean {
    writeMark(this.#slot.words, 0, this.#mark)
    return this.#marks.publish(this.#slot, 0, 1) !== -1
  }
}
