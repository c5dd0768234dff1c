// Records of a shard from before what its journal has, out of the store; then out of the journal.
//
// The same record is in both: the change from one to the other is made between two records, at the
// first that the journal has by then. A journal that forgets records faster than they are read is
// left for the store again. Nothing blocks: while the store has not answered, `read` returns 0.
//
// Invariant: `read` returns records from `seq` on, without a hole, all of `epoch`. After `close` it
// goes on there with the next `read`.

import { TickdError } from '../../errors.ts'
import type { TickBatch } from '../../tick/batch.ts'
import { readSplit, type Split } from '../../tick/fixed-point.ts'
import { TICK_WORDS, WORD } from '../../tick/layout.ts'
import type {
  CursorFault,
  EpochStart,
  FeedJournal,
  FeedStore,
  JournalCursor,
  ReplayCursor,
  StoreCursor,
} from './feed-journal.ts'

export interface DeepCursorOptions {
  readonly journal: FeedJournal
  readonly store: FeedStore
  /** Ascending: the store does not know of epochs. */
  readonly epochs: readonly EpochStart[]
  readonly fromSeq: number
  /** About when the record at `fromSeq` was received. */
  readonly recvMs: number
  readonly onSkip: () => void
}

const split: Split = { negative: false, a: 0, b: 0 }

export class DeepCursor implements ReplayCursor {
  seq: number
  epoch = 0
  isWaiting = false
  fault: CursorFault | undefined
  readonly #options: DeepCursorOptions
  /** About when the next record was received. */
  #recvMs: number
  #fromJournal: JournalCursor | undefined
  #fromStore: StoreCursor | undefined

  constructor(options: DeepCursorOptions) {
    this.#options = options
    this.seq = options.fromSeq
    this.#recvMs = options.recvMs
  }

  read(out: TickBatch): number {
    this.isWaiting = false
    if (this.fault !== undefined) return 0
    const isKept = this.seq >= this.#options.journal.oldest()
    let count = isKept ? this.#readJournal(out) : this.#readStore(out)
    if (count < 0) count = this.#readStore(out)
    if (count > 0) {
      readSplit(out.words, (count - 1) * TICK_WORDS + WORD.ts_recv, split)
      this.#recvMs = split.a * 1000 + split.b / 1e6
    }
    return count
  }

  close(): void {
    this.#fromStore?.close()
    this.#fromStore = undefined
    this.#fromJournal?.close()
    this.#fromJournal = undefined
  }

  /** -1 = the journal has forgotten them meanwhile. */
  #readJournal(out: TickBatch): number {
    const { journal, onSkip } = this.#options
    this.#fromStore?.close()
    this.#fromStore = undefined
    try {
      const cursor = this.#fromJournal ?? journal.open(this.seq, onSkip)
      this.#fromJournal = cursor
      const count = cursor.read(out)
      this.seq = cursor.seq
      this.epoch = cursor.epoch
      return count
    } catch (thrown) {
      const isGone = this.seq < journal.oldest()
      if (!(thrown instanceof TickdError && isGone)) throw thrown
      this.#fromJournal?.close()
      this.#fromJournal = undefined
      return -1
    }
  }

  #readStore(out: TickBatch): number {
    const { journal, store, epochs } = this.#options
    this.#fromJournal?.close()
    this.#fromJournal = undefined
    this.#fromStore ??= store.open(this.seq, this.#recvMs, journal.oldest)
    const cursor = this.#fromStore
    const next = epochs.findIndex(({ seq }) => seq > this.seq)
    const own = epochs.at(next < 0 ? -1 : next - 1)
    const count = cursor?.read(out, epochs[next]?.seq ?? Number.POSITIVE_INFINITY) ?? 0
    this.isWaiting = count === 0
    if (cursor !== undefined && cursor.state !== 'reading') {
      const name = cursor.state === 'gone' ? 'replay_aged_out' : 'store_unavailable'
      this.fault = { name, text: cursor.text }
    }
    if (count === 0) return 0
    this.seq += count
    this.epoch = own?.epoch ?? 0
    return count
  }
}
