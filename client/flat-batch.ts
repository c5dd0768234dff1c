// The FlatBuffers frame: table `Batch` of schema/tick.fbs, read where it lies.
//
// The table is read through its vtable, as generated code would: a field that a newer server adds,
// or moves, changes nothing here. The records are structs of 64 bytes, whose layout is fixed.

import type { BatchKind, FrameHead } from './batch.ts'
import { integerNumber, integerText, priceText, sizeText, timeMs, timeText } from './decimal.ts'
import type { Batch, FeedRecord, Instrument, RecordHead, Side } from './record.ts'

const TICK_BYTES = 64
/** Offsets in the struct `Tick`. */
const AT = {
  ts_event: 0,
  ts_recv: 8,
  instrument: 16,
  kind: 22,
  side: 23,
  flags: 24,
  action: 26,
  market: 27,
  interval: 28,
  p0: 32,
  p1: 40,
  p2: 48,
  p3: 56,
} as const
const KIND = { trade: 1, quote: 2, book: 3, price: 4, status: 5 } as const

const SIDES: readonly Side[] = ['none', 'buy', 'sell']
const ACTIONS = ['none', 'set', 'delete', 'clear'] as const
const STATUSES = ['none', 'gap', 'halted', 'resumed', 'connected']
const MARKETS = ['none', 'day_ahead', 'real_time', 'hour_ahead']
const FLAGS = [
  'last',
  'snapshot',
  'replayed',
  'late',
  'out_of_order',
  'duplicate_suspect',
  'bad_time',
  'stale',
  'corrected',
  'backfilled',
  'synthetic',
]

export type Names = ReadonlyMap<number, Instrument>

/** Fields of the table, in the order of the schema. */
const FIELD = { stream: 0, epoch: 1, firstSeq: 2, ticks: 3 } as const

/** Where things lie in a frame. Throws a RangeError when the frame is no `Batch`. */
interface FlatFrame {
  readonly head: FrameHead
  readonly view: DataView
  readonly ticksAt: number
  readonly count: number
}

export function readFlatFrame(bytes: Uint8Array): FlatFrame {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const table = view.getUint32(0, true)
  const vtable = table - view.getInt32(table, true)
  const vtableBytes = view.getUint16(vtable, true)
  const field = (index: number): number => {
    const slot = 4 + 2 * index
    const offset = slot < vtableBytes ? view.getUint16(vtable + slot, true) : 0
    return offset === 0 ? 0 : table + offset
  }
  const at = field(FIELD.ticks)
  const vector = at === 0 ? 0 : at + view.getUint32(at, true)
  const count = vector === 0 ? 0 : view.getUint32(vector, true)
  const ticksAt = vector + 4
  if (ticksAt + count * TICK_BYTES > view.byteLength) throw new RangeError('the frame ends early')
  const long = (index: number): number => {
    const where = field(index)
    return where === 0 ? 0 : Number(view.getBigUint64(where, true))
  }
  const stream = field(FIELD.stream)
  const head = {
    stream: stream === 0 ? 0 : view.getUint32(stream, true),
    epoch: long(FIELD.epoch),
    firstSeq: long(FIELD.firstSeq),
  }
  return { head, view, ticksAt, count }
}

export class FlatBatch implements Batch {
  readonly stream: number
  readonly epoch: number
  readonly firstSeq: number
  readonly count: number
  readonly isImage: boolean
  readonly isReplay: boolean
  readonly #frame: FlatFrame
  readonly #names: Names

  constructor(frame: FlatFrame, names: Names, kind: BatchKind) {
    this.stream = frame.head.stream
    this.epoch = frame.head.epoch
    this.firstSeq = frame.head.firstSeq
    this.count = frame.count
    this.isImage = kind.isImage
    this.isReplay = kind.isReplay
    this.#frame = frame
    this.#names = names
  }

  price(index: number): number {
    const { view } = this.#frame
    const at = this.#at(index)
    if (view.getUint8(at + AT.kind) === KIND.status) return Number.NaN
    const price = view.getBigInt64(at + AT.p0, true)
    return Number(priceText(price) ?? Number.NaN)
  }

  timeMs(index: number): number {
    return timeMs(this.#frame.view.getBigInt64(this.#at(index) + AT.ts_event, true))
  }

  receivedMs(index: number): number {
    return timeMs(this.#frame.view.getBigInt64(this.#at(index) + AT.ts_recv, true))
  }

  skip(count: number): Batch {
    const { head, view, ticksAt } = this.#frame
    const frame = {
      head: { ...head, firstSeq: head.firstSeq + count },
      view,
      ticksAt: ticksAt + count * TICK_BYTES,
      count: this.count - count,
    }
    return new FlatBatch(frame, this.#names, this)
  }

  record(index: number): FeedRecord {
    const { view } = this.#frame
    const at = this.#at(index)
    const head = this.#head(at, index)
    switch (view.getUint8(at + AT.kind)) {
      case KIND.trade:
        return {
          type: 'trade',
          ...head,
          id: integerText(view.getBigInt64(at + AT.p2, true)),
          side: this.#side(at),
          price: this.#price(at + AT.p0),
          size: this.#size(at + AT.p1),
        }
      case KIND.quote:
        return {
          type: 'quote',
          ...head,
          bid_price: this.#price(at + AT.p0),
          bid_size: this.#size(at + AT.p1),
          ask_price: this.#price(at + AT.p2),
          ask_size: this.#size(at + AT.p3),
        }
      case KIND.book:
        return {
          type: 'book',
          ...head,
          side: this.#side(at),
          price: this.#price(at + AT.p0),
          size: this.#size(at + AT.p1),
          action: ACTIONS[view.getUint8(at + AT.action)] ?? 'none',
        }
      case KIND.price:
        return {
          type: 'price',
          ...head,
          market: MARKETS[view.getUint8(at + AT.market)] ?? 'none',
          interval_start: head.ts_event,
          interval_minutes: view.getUint16(at + AT.interval, true),
          price: this.#price(at + AT.p0),
          energy: this.#price(at + AT.p1),
          congestion: this.#price(at + AT.p2),
          loss: this.#price(at + AT.p3),
        }
      default:
        return {
          type: 'status',
          ...head,
          status: STATUSES[view.getUint8(at + AT.action)] ?? 'none',
          from: integerNumber(view.getBigInt64(at + AT.p1, true)),
          to: integerNumber(view.getBigInt64(at + AT.p2, true)),
        }
    }
  }

  #head(at: number, index: number): RecordHead {
    const { view } = this.#frame
    const instrument = this.#names.get(view.getUint32(at + AT.instrument, true))
    const flags = view.getUint16(at + AT.flags, true)
    return {
      venue: instrument?.venue ?? null,
      symbol: instrument?.symbol ?? null,
      ts_event: timeText(view.getBigInt64(at + AT.ts_event, true)),
      ts_recv: timeText(view.getBigInt64(at + AT.ts_recv, true)),
      flags: FLAGS.filter((_, bit) => (flags & (1 << bit)) !== 0),
      ...(this.isImage ? {} : { seq: this.firstSeq + index }),
    }
  }

  #at(index: number): number {
    if (!(index >= 0 && index < this.count))
      throw new RangeError(`record ${index} of ${this.count}`)
    return this.#frame.ticksAt + index * TICK_BYTES
  }

  #side(at: number): Side {
    return SIDES[this.#frame.view.getUint8(at + AT.side)] ?? 'none'
  }

  #price(at: number): string | null {
    return priceText(this.#frame.view.getBigInt64(at, true))
  }

  #size(at: number): string | null {
    return sizeText(this.#frame.view.getBigInt64(at, true))
  }
}
