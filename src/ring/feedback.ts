// What decode tells the producer of a frame: where its records lie, or that a book needs a resync.
//
// A frame ring in the other direction, with payloads of fixed form. A producer bounds its
// outstanding receipts (limits.ts), so that this ring is never full when a receipt is due.

import type { Doorbell } from './doorbell.ts'
import { type FrameMeta, FrameRingConsumer, FrameRingProducer } from './frame-ring.ts'

/** `format` values of feedback frames. */
const FEEDBACK = Object.freeze({ receipt: 1, resync: 2 })

/** The payload of a receipt, as doubles: the fields of Receipt, from firstSeq on. */
const PAYLOAD_NUMBERS = 6

/** Outcome of a frame that was sent with WANT_RECEIPT. */
export interface Receipt {
  token: number
  source: number
  /** Sequence of the first accepted record; the accepted ones are contiguous. */
  firstSeq: number
  accepted: number
  duplicate: number
  /** Messages rejected plus records quarantined. */
  rejected: number
  /** Of a batch that was pushed before: records of the first time, from firstSeq on. */
  repeated: number
  /** The batch's id stands for other bytes: nothing of the frame was taken. */
  isReused: boolean
}

export interface FeedbackHandler {
  onReceipt(receipt: Receipt): void
  /** The book of this instrument has a gap: fetch a fresh snapshot. */
  onResync(source: number, instrument: number): void
}

export class FeedbackSender {
  readonly #ring: FrameRingProducer
  readonly #meta: FrameMeta = {
    source: 0,
    format: 0,
    flags: 0,
    token: 0,
    recvSec: 0,
    recvNsec: 0,
  }
  readonly #numbers = new Float64Array(PAYLOAD_NUMBERS)
  readonly #payload = new Uint8Array(this.#numbers.buffer)

  constructor(memory: SharedArrayBuffer, producerBell?: Doorbell) {
    this.#ring = new FrameRingProducer(memory, producerBell)
  }

  /** False when the ring is full: try again before the next frame is taken. */
  receipt(receipt: Receipt): boolean {
    this.#meta.format = FEEDBACK.receipt
    this.#meta.source = receipt.source
    this.#meta.token = receipt.token
    const { firstSeq, accepted, duplicate, rejected, repeated, isReused } = receipt
    this.#numbers.set([firstSeq, accepted, duplicate, rejected, repeated, isReused ? 1 : 0])
    return this.#ring.tryWrite(this.#meta, this.#payload, 0, this.#payload.length)
  }

  /** False when the ring is full: a lost request is repeated at the next gap or timeout. */
  resync(source: number, instrument: number): boolean {
    this.#meta.format = FEEDBACK.resync
    this.#meta.source = source
    this.#meta.token = instrument
    return this.#ring.tryWrite(this.#meta, this.#payload, 0, this.#payload.length)
  }
}

export class FeedbackReceiver {
  readonly #ring: FrameRingConsumer
  readonly #numbers = new Float64Array(PAYLOAD_NUMBERS)
  readonly #payload = new Uint8Array(this.#numbers.buffer)

  constructor(memory: SharedArrayBuffer) {
    this.#ring = new FrameRingConsumer(memory)
  }

  /** Hands all waiting feedback to `handler`; returns how many. */
  drain(handler: FeedbackHandler): number {
    const ring = this.#ring
    let count = 0
    while (ring.poll()) {
      const { source, token } = ring.meta
      if (ring.meta.format === FEEDBACK.receipt) {
        this.#payload.set(ring.bytes.subarray(ring.start, ring.end))
        const [firstSeq = 0, accepted = 0, duplicate = 0, rejected = 0] = this.#numbers
        const [, , , , repeated = 0, reused] = this.#numbers
        const counts = { accepted, duplicate, rejected, repeated }
        handler.onReceipt({ token, source, firstSeq, ...counts, isReused: reused === 1 })
      } else {
        handler.onResync(source, token)
      }
      ring.release()
      count++
    }
    return count
  }
}
