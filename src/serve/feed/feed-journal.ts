// What the feed needs of a shard's journal, in its own words: to send again, and to count what it
// could not see. threads/feed-journal.ts implements it over src/journal.

import type { TickBatch } from '../../tick/batch.ts'

/** Reads records in sequence. Throws TickdError where the journal cannot be read. */
export interface JournalCursor {
  /** Sequence of the next record. */
  readonly seq: number
  /** Epoch of the records last read. */
  readonly epoch: number
  /** Consecutive records of one epoch; 0 = nothing durable to read now. */
  read(out: TickBatch): number
  close(): void
}

/** A cursor that may have to wait for what it reads. */
export interface ReplayCursor extends JournalCursor {
  /** The last read returned 0, and not for want of durable records. */
  readonly isWaiting?: boolean
  /** Why it will never return anything. */
  readonly fault?: CursorFault | undefined
}

export interface CursorFault {
  readonly name: 'replay_aged_out' | 'store_unavailable'
  readonly text: string
}

/** Records that the journal no longer has, out of a store that is asked and answers later. */
export interface StoreCursor {
  /** Sequence of the next record. */
  readonly seq: number
  /** gone: it does not have them. away: it does not answer, or not in time. */
  readonly state: 'reading' | 'gone' | 'away'
  /** Why it is gone or away. */
  readonly text: string
  /** Consecutive records before `toSeq`; 0 = not here yet. */
  read(out: TickBatch, toSeq: number): number
  close(): void
}

export interface FeedStore {
  /** As many read it as may. */
  readonly isFull: boolean
  /**
   * Records before `toSeq`, which may grow. `recvMs`: about when the first was received.
   * undefined = it is full.
   */
  open(fromSeq: number, recvMs: number, toSeq: () => number): StoreCursor | undefined
}

export interface EpochStart {
  readonly epoch: number
  /** Sequence of the oldest record of the epoch that is kept. */
  readonly seq: number
  /** No record of the epoch came before it. */
  readonly isFirst: boolean
}

export interface FeedJournal {
  readonly shard: number
  /** Of this start of the daemon, and the sequence of its first record. */
  readonly epoch: number
  readonly firstSeq: number
  /** Where the journal began: no record was ever before it. */
  readonly originSeq: number
  /** Names the journal: another one may have the same epochs and sequences. */
  readonly id: string
  /** Oldest sequence that is kept, and the next one after the durable ones. */
  oldest(): number
  durable(): number
  /** Has what the journal no longer has; undefined = nothing does. */
  readonly store?: FeedStore | undefined
  /** The epochs of which records are kept, ascending; without this one if it has none yet. */
  epochStarts(): readonly EpochStart[]
  /** `onSkip` is told when records were damaged and are passed over. */
  open(fromSeq: number, onSkip: () => void): JournalCursor
}
