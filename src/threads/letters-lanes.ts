// The way of ticks for dead letters that are driven again: packed ticks onto their own frame ring,
// receipts back, until the journal has them durably.
//
// A letter is a frame of its own, so that its receipt tells what became of it. Nothing waits for
// ever: a way that does not move for LETTERS_STALL_MS_MAX is an error, and what was on it in doubt.

import { randomInt } from 'node:crypto'
import { setTimeout as wait } from 'node:timers/promises'
import { TickdError } from '../errors.ts'
import type { JournalReader } from '../journal/reader.ts'
import { JOURNAL_BLOCK_TICKS_MAX, LETTERS_STALL_MS_MAX } from '../limits.ts'
import type { FeedbackReceiver, Receipt } from '../ring/feedback.ts'
import { FRAME_FORMAT } from '../ring/frame-format.ts'
import { FRAME_FLAG, type FrameMeta, type FrameRingProducer } from '../ring/frame-ring.ts'
import { TickBatch } from '../tick/batch.ts'
import { FLAG, OFFSET, TICK_BYTES } from '../tick/layout.ts'
import type { Try } from '../validate/dead-letter-log.ts'
import type { LetterLanes, Parcel, Taken } from '../validate/dead-letter-replay.ts'

const NS_PER_SEC = 1_000_000_000n
const LOOK_MS = 1

/** One shard's way in. */
export interface LetterLane {
  readonly producer: FrameRingProducer
  readonly feedback: FeedbackReceiver
  /** The identity of its journal. */
  readonly journal: string
  readonly durable: () => number
  /** First sequence that is still in the journal. */
  readonly oldest: () => number
  /** Next sequence after those that are published on the tick ring. */
  readonly published: () => number
  readonly openReader: (fromSeq: number) => JournalReader
}

export class Lanes implements LetterLanes {
  readonly #lanes: readonly LetterLane[]
  readonly #onSent: (source: number, bytes: number) => void
  /** Index of the parcel of each frame without a receipt, by token. */
  readonly #outstanding = new Map<number, number>()
  /** Receipts for an earlier life of this thread may still come: they find no token of ours. */
  #token = randomInt(2 ** 32)
  #movedAtMs = 0

  /** By shard. `onSent`: a frame of a source is on its ring. */
  constructor(lanes: readonly LetterLane[], onSent: (source: number, bytes: number) => void) {
    this.#lanes = lanes
    this.#onSent = onSent
  }

  place(shard: number): Try {
    const { journal, durable } = this.#lane(shard)
    return { shard, journal, seq: durable() }
  }

  async drive(parcels: readonly Parcel[]): Promise<Taken[]> {
    const receipts: Receipt[] = new Array(parcels.length)
    const onReceipt = (receipt: Receipt) => {
      const index = this.#outstanding.get(receipt.token)
      this.#outstanding.delete(receipt.token)
      if (index !== undefined) receipts[index] = receipt
    }
    let sent = 0
    this.#outstanding.clear()
    this.#movedAtMs = performance.now()
    while (sent < parcels.length || this.#outstanding.size > 0) {
      const before = sent - this.#outstanding.size
      while (sent < parcels.length && this.#send(parcels[sent] as Parcel, sent)) sent++
      for (const { feedback } of this.#lanes) feedback.drain({ onReceipt, onResync() {} })
      if (before === sent - this.#outstanding.size) await this.#wait('decode')
      else this.#movedAtMs = performance.now()
    }
    for (let i = 0; i < parcels.length; i++) {
      const { firstSeq, accepted } = receipts[i] as Receipt
      // Of one that was accepted in no part, what it repeats lies below its sequence.
      await this.#untilDurable((parcels[i] as Parcel).shard, firstSeq + accepted)
    }
    return receipts
  }

  async settle(shard: number): Promise<void> {
    const { producer, published } = this.#lane(shard)
    this.#movedAtMs = performance.now()
    while (producer.fillBytes > 0) await this.#wait('decode')
    await this.#untilDurable(shard, published())
  }

  reaches({ shard, journal, seq }: Try): boolean {
    const lane = this.#lanes[shard]
    if (lane === undefined || lane.journal !== journal) return false
    return seq >= lane.oldest() && seq <= lane.durable()
  }

  replayed(shard: number, seq: number, onRecord: (tick: Uint8Array) => void): void {
    const reader = this.#lane(shard).openReader(seq)
    const batch = new TickBatch(JOURNAL_BLOCK_TICKS_MAX)
    const end = this.#lane(shard).durable()
    try {
      while (reader.seq < end && reader.read(batch) > 0) {
        for (let i = 0; i < batch.count; i++) {
          const flags = batch.halves[(i * TICK_BYTES + OFFSET.flags) / 2] as number
          if ((flags & FLAG.REPLAYED) === 0) continue
          onRecord(batch.bytes.subarray(i * TICK_BYTES, (i + 1) * TICK_BYTES))
        }
      }
    } finally {
      reader.close()
    }
  }

  #send({ letter, shard, ticks }: Parcel, index: number): boolean {
    const token = (this.#token + 1) >>> 0
    const meta: FrameMeta = {
      // Of today's configuration, as the letter was decoded under it.
      source: ticks[OFFSET.source] as number,
      format: FRAME_FORMAT.packed,
      flags:
        FRAME_FLAG.REPLAYED |
        FRAME_FLAG.WANT_RECEIPT |
        (letter.stage === 'store' ? FRAME_FLAG.ADMIT_REPEATS : 0),
      token,
      recvSec: Number(letter.recvNs / NS_PER_SEC),
      recvNsec: Number(letter.recvNs % NS_PER_SEC),
    }
    meta.source |= (ticks[OFFSET.source + 1] as number) << 8
    if (!this.#lane(shard).producer.tryWrite(meta, ticks, 0, ticks.length)) return false
    this.#onSent(meta.source, ticks.length)
    this.#token = token
    this.#outstanding.set(token, index)
    return true
  }

  async #untilDurable(shard: number, seq: number): Promise<void> {
    const { durable } = this.#lane(shard)
    this.#movedAtMs = performance.now()
    for (let before = durable(); before < seq; before = durable()) {
      await this.#wait('the journal')
      if (durable() > before) this.#movedAtMs = performance.now()
    }
  }

  async #wait(forWhom: string): Promise<void> {
    if (performance.now() - this.#movedAtMs > LETTERS_STALL_MS_MAX) {
      const text = `${forWhom} has taken no dead letter for ${LETTERS_STALL_MS_MAX / 1000} s`
      throw new TickdError('IO', `${text}; call again: none is stored twice`, { canRetry: true })
    }
    await wait(LOOK_MS)
  }

  #lane(shard: number): LetterLane {
    const lane = this.#lanes[shard]
    if (lane !== undefined) return lane
    throw new TickdError('USAGE', `there is no shard ${shard} any more: its letters stay in doubt`)
  }
}
