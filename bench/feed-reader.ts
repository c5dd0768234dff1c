// A subscriber of the feed's binary sub-protocol that checks what it gets: for the benches.
//
// It counts, and insists on a dense sequence: what is missing must have been declared.

import { WsReader } from './ws-reader.ts'

/** Bytes of a length or an offset in FlatBuffers, and of a field's entry in the vtable. */
const OFFSET_BYTES = 4
const FIELD_BYTES = 2
/** Fields of the table `Batch`, in the order of schema/tick.fbs. */
const FIELD = Object.freeze({ firstSeq: 2, ticks: 3 })
/** Enough of a frame to know its sequence and count. */
const HEAD_BYTES = 64

const SUBSCRIBE = { op: 'subscribe', id: 1, channel: 'trades', slow: 'gap' }

export interface FeedTally {
  records: number
  frames: number
  bytes: number
  /** Records that the server declared as missing. */
  declared: number
  /** Times that the sequence jumped without a word. */
  holes: number
}

export interface FeedReaderOptions {
  readonly url: string
  /** Absent = all. */
  readonly symbols?: readonly string[]
  /** Called for each data frame: `count` ticks from data[start]. Absent = ticks are passed over. */
  readonly onTicks?: (data: Buffer, start: number, count: number) => void
  /** Called once the subscription stands. */
  readonly onReady: () => void
  /** Called after each change of the tally. */
  readonly onProgress?: (reader: FeedReader) => void
  /** The other side sends to whoever connects, and knows no subscriptions: a bare server. */
  readonly isBare?: boolean
}

export class FeedReader {
  readonly tally: FeedTally = { records: 0, frames: 0, bytes: 0, declared: 0, holes: 0 }
  readonly #options: FeedReaderOptions
  readonly socket: WsReader
  /** Sequence of the next record; -1 = not known yet. */
  #next = -1

  constructor(options: FeedReaderOptions) {
    this.#options = options
    this.socket = new WsReader({
      url: options.url,
      ...(options.isBare ? {} : { protocol: 'tickd.v1.fb' }),
      headBytes: options.onTicks === undefined ? HEAD_BYTES : Number.POSITIVE_INFINITY,
      onText: (text) => this.#onControl(JSON.parse(text)),
      onBinary: (data, start, _end, length) => this.#onBatch(data, start, length),
    })
  }

  /** Records that came, or of which it was said that they will not. */
  get settled(): number {
    return this.tally.records + this.tally.declared
  }

  end(): void {
    this.socket.end()
  }

  #onControl(message: { op: string; [field: string]: unknown }): void {
    const { tally } = this
    switch (message.op) {
      case 'welcome':
        if (this.#options.isBare) this.#options.onReady()
        else this.#subscribe()
        break
      case 'ack':
        this.#next = Number(message.next_seq)
        this.#options.onReady()
        break
      case 'gap':
        if (message.from === undefined) {
          if (this.#options.symbols !== undefined) throw new Error('a loss that cannot be counted')
          // In journal sequences: the stream has all of them, as only trades are sent.
          tally.declared += Number(message.to_seq) - Number(message.from_seq) + 1
        } else {
          tally.declared += Number(message.to) - Number(message.from) + 1
          this.#next = Number(message.to) + 1
        }
        this.#options.onProgress?.(this)
        break
      case 'error':
        throw new Error(JSON.stringify(message))
    }
  }

  #subscribe(): void {
    const { symbols = ['*'] } = this.#options
    this.socket.sendText(JSON.stringify({ ...SUBSCRIBE, symbols }))
  }

  #onBatch(data: Buffer, start: number, length: number): void {
    const table = start + data.readUInt32LE(start)
    const vtable = table - data.readInt32LE(table)
    const firstSeqAt =
      table + data.readUInt16LE(vtable + OFFSET_BYTES + FIELD_BYTES * FIELD.firstSeq)
    const ticksAt = table + data.readUInt16LE(vtable + OFFSET_BYTES + FIELD_BYTES * FIELD.ticks)
    const firstSeq = data.readUInt32LE(firstSeqAt) + data.readUInt32LE(firstSeqAt + 4) * 2 ** 32
    const vector = ticksAt + data.readUInt32LE(ticksAt)
    const count = data.readUInt32LE(vector)
    const { tally } = this
    if (this.#next >= 0 && firstSeq !== this.#next) tally.holes++
    this.#next = firstSeq + count
    tally.records += count
    tally.frames++
    tally.bytes += length
    this.#options.onTicks?.(data, vector + OFFSET_BYTES, count)
    this.#options.onProgress?.(this)
  }
}
