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
  /** The epochs of which records are kept, ascending; without this one if it has none yet. */
  epochStarts(): readonly EpochStart[]
  /** `onSkip` is told when records were damaged and are passed over. */
  open(fromSeq: number, onSkip: () => void): JournalCursor
}
