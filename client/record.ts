// The records of the feed in their normalised form: the same fields in every sub-protocol.
//
// Decimals are exact text without exponent, times RFC 3339 with nine digits, an absent value null:
// a price that took the way through a binary float would not be the venue's any more. Where a
// number is wanted, for a chart, say so: `Number(trade.price)`, or `batch.price(i)`.

/** What every record has. `seq` is its number in the stream; an image's records have none. */
export interface RecordHead {
  readonly venue: string | null
  readonly symbol: string | null
  readonly ts_event: string | null
  readonly ts_recv: string | null
  readonly flags: readonly string[]
  readonly seq?: number
}

export type Side = 'none' | 'buy' | 'sell'

export interface Trade extends RecordHead {
  readonly type: 'trade'
  readonly id: string | null
  readonly side: Side
  readonly price: string | null
  readonly size: string | null
}

export interface Quote extends RecordHead {
  readonly type: 'quote'
  readonly bid_price: string | null
  readonly bid_size: string | null
  readonly ask_price: string | null
  readonly ask_size: string | null
}

export interface BookLevel extends RecordHead {
  readonly type: 'book'
  readonly side: Side
  readonly price: string | null
  readonly size: string | null
  readonly action: 'none' | 'set' | 'delete' | 'clear'
}

export interface Price extends RecordHead {
  readonly type: 'price'
  readonly market: string
  readonly interval_start: string | null
  readonly interval_minutes: number
  readonly price: string | null
  readonly energy: string | null
  readonly congestion: string | null
  readonly loss: string | null
}

export interface Status extends RecordHead {
  readonly type: 'status'
  readonly status: string
  readonly from: number | null
  readonly to: number | null
}

export type FeedRecord = Trade | Quote | BookLevel | Price | Status

/** An instrument as the server announces it. */
export interface Instrument {
  readonly id: number
  readonly venue: string
  readonly symbol: string
}

/** Consecutive records of one stream, as one frame brought them. */
export interface Batch {
  readonly stream: number
  readonly epoch: number
  /** Sequence of record 0. Of an image: the sequence behind it. */
  readonly firstSeq: number
  readonly count: number
  /** An image of the newest values: its records have no sequences. */
  readonly isImage: boolean
  /** Records that were asked for again: from before the live ones. */
  readonly isReplay: boolean
  /** Record `index`, made when asked for. */
  record(index: number): FeedRecord
  /** The first price of record `index` (trade, level, bid) as a number; NaN when absent. */
  price(index: number): number
  /** Milliseconds since 1970 at which the venue says it happened; NaN when absent. */
  timeMs(index: number): number
  /** Milliseconds since 1970 at which the daemon received it; NaN when absent. */
  receivedMs(index: number): number
  /** The batch without its first records. */
  skip(count: number): Batch
}

/** Every record of a batch. */
export function* recordsOf(batch: Batch): Generator<FeedRecord> {
  for (let i = 0; i < batch.count; i++) yield batch.record(i)
}
