// The contract between a frame and its records. Decoders do no I/O and never throw on bad data.
//
// One decoder serves one source: it knows the venue, resolves symbols, and keeps what the venue's
// protocol needs kept (book synchronisation). It appends records to a batch and tells a tally what
// became of each message: decoded, ignored with a reason, or rejected with a reason. Nothing else
// may happen to a message; `tally.messages` counts them all.

import type { IGNORE_REASONS, REJECT_REASONS } from '../ledger/reasons.ts'
import type { FrameMeta } from '../ring/frame-ring.ts'
import type { TickBatch } from '../tick/batch.ts'

export interface Decoder {
  /**
   * Decodes the frame in bytes[start, end). Appends records to `out` (raising out.count) with
   * ts_recv, source and flags from `meta`, and accounts for every message in `tally`. The bytes are
   * only valid during the call.
   *
   * `out` may hold records of earlier frames; the caller sets out.capacity so that each frame has
   * room for BATCH_TICKS_MAX records, no more and no fewer, whatever its neighbours took.
   *
   * `behindEnd`: where it is not 0, `bytes` is a frame ring's, and frames that stay as they are for
   * as long as records are appended to `out` lie behind this one up to there. A decoder may look at
   * them, and write records behind out.count; nothing of them counts before they are decoded.
   */
  decode(
    bytes: Uint8Array,
    start: number,
    end: number,
    meta: FrameMeta,
    out: TickBatch,
    tally: DecodeTally,
    behindEnd?: number,
  ): void

  /** The book of the instrument needs a fresh image. False = it has no book of it. */
  resync?(instrument: number): boolean
}

/** Events as the venue sent them: one depth update of 40 levels is one event and 40 records. */
export const EVENT_NAMES = ['trade', 'quote', 'book', 'price', 'status', 'bar'] as const
export const EVENT = Object.freeze({ trade: 0, quote: 1, book: 2, price: 3, status: 4, bar: 5 })

/** Called for each rejected message; the bytes are only valid during the call. */
export type RejectHandler = (reason: number, bytes: Uint8Array, start: number, end: number) => void

/** Called for each gap of a book: venue ids [from, to] never came. It needs a fresh image. */
export type GapHandler = (instrument: number, from: number, to: number) => void

/** What became of the messages of one or more frames. Reset by its owner. */
export class DecodeTally {
  messages = 0
  /** Messages that became records (or, for bars, would have: they count as ignored too). */
  decoded = 0
  records = 0
  /** Gaps in the venue's ids, and how many ids are missing in them. */
  gaps = 0
  idsMissing = 0
  /** Others decoded before: books begin in the middle, and want an image to be sure. */
  isResumed = false
  /** By EVENT. */
  readonly events = new Float64Array(EVENT_NAMES.length)
  /** By index in IGNORE_REASONS. */
  readonly ignored: Float64Array
  /** By index in REJECT_REASONS. */
  readonly rejected: Float64Array
  /**
   * Where each record of the batch came from: [2i] and [2i + 1] are the first byte and the end of
   * the message that became record i. For quarantine, which keeps raw bytes.
   */
  readonly origins: Int32Array
  onReject: RejectHandler | undefined
  onGap: GapHandler | undefined

  constructor(
    ignoreReasons: typeof IGNORE_REASONS,
    rejectReasons: typeof REJECT_REASONS,
    batchCapacity: number,
  ) {
    this.ignored = new Float64Array(ignoreReasons.length)
    this.rejected = new Float64Array(rejectReasons.length)
    this.origins = new Int32Array(2 * batchCapacity)
  }

  /** A message understood and rightly not recorded. `reason`: index in IGNORE_REASONS. */
  ignore(reason: number): void {
    this.messages++
    this.ignored[reason] = (this.ignored[reason] as number) + 1
  }

  /** A message not understood. `reason`: index in REJECT_REASONS. */
  reject(reason: number, bytes: Uint8Array, start: number, end: number): void {
    this.messages++
    this.rejected[reason] = (this.rejected[reason] as number) + 1
    this.onReject?.(reason, bytes, start, end)
  }

  /** A message that became `records` records, the last ones of the batch. */
  accept(event: number, records: number): void {
    this.messages++
    this.decoded++
    this.records += records
    this.events[event] = (this.events[event] as number) + 1
  }

  reset(): void {
    this.messages = 0
    this.decoded = 0
    this.records = 0
    this.gaps = 0
    this.idsMissing = 0
    this.events.fill(0)
    this.ignored.fill(0)
    this.rejected.fill(0)
  }
}
