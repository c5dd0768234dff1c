// The batches that text and MessagePack frames become: their records are objects already.

import { textMs } from './decimal.ts'
import type { Batch, FeedRecord } from './record.ts'

/** What a data frame says of itself, in whatever sub-protocol. */
export interface FrameHead {
  readonly stream: number
  readonly epoch: number
  readonly firstSeq: number
}

/** How the frame is to be taken; the frame itself does not say. */
export interface BatchKind {
  readonly isImage: boolean
  readonly isReplay: boolean
}

export class ObjectBatch implements Batch {
  readonly stream: number
  readonly epoch: number
  readonly firstSeq: number
  readonly isImage: boolean
  readonly isReplay: boolean
  readonly #records: readonly FeedRecord[]

  constructor(head: FrameHead, records: readonly FeedRecord[], kind: BatchKind) {
    this.stream = head.stream
    this.epoch = head.epoch
    this.firstSeq = head.firstSeq
    this.isImage = kind.isImage
    this.isReplay = kind.isReplay
    this.#records = records
  }

  get count(): number {
    return this.#records.length
  }

  record(index: number): FeedRecord {
    const record = this.#at(index)
    return this.isImage ? record : { ...record, seq: this.firstSeq + index }
  }

  price(index: number): number {
    const record = this.#at(index)
    if (record.type === 'status') return Number.NaN
    const price = record.type === 'quote' ? record.bid_price : record.price
    return price === null ? Number.NaN : Number(price)
  }

  timeMs(index: number): number {
    return textMs(this.#at(index).ts_event)
  }

  receivedMs(index: number): number {
    return textMs(this.#at(index).ts_recv)
  }

  skip(count: number): Batch {
    const { stream, epoch, firstSeq } = this
    const head = { stream, epoch, firstSeq: firstSeq + count }
    return new ObjectBatch(head, this.#records.slice(count), this)
  }

  #at(index: number): FeedRecord {
    const record = this.#records[index]
    if (record === undefined) throw new RangeError(`record ${index} of ${this.count}`)
    return record
  }
}
