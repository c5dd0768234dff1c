// The feed's way into the journal of a shard: to send again what a subscriber missed.

import { join } from 'node:path'
import { type Disk, realDisk } from '../journal/disk.ts'
import { idText } from '../journal/identity.ts'
import { listSegments, readSegmentHeader, segmentPath } from '../journal/segment-files.ts'
import { SkippingReader } from '../journal/skipping-reader.ts'
import type { EpochStart, FeedJournal, FeedStore } from '../serve/feed/feed-journal.ts'

export interface FeedJournalOptions {
  readonly shard: number
  readonly directory: string
  readonly epoch: number
  readonly firstSeq: number
  readonly originSeq: number
  readonly journalId: bigint
  readonly oldest: () => number
  readonly durable: () => number
  /** Has the records that the journal has removed. */
  readonly store?: FeedStore | undefined
  /** The file systems of this machine if not given. */
  readonly disk?: Disk | undefined
}

/** Where the places to replay from are kept, beside the segments. */
export function checkpointsPath(directory: string): string {
  return join(directory, 'feed-checkpoints.jsonl')
}

export function openFeedJournal(options: FeedJournalOptions): FeedJournal {
  const { shard, directory, durable, oldest, disk, store } = options
  const { epoch, firstSeq, originSeq, journalId } = options
  return {
    shard,
    epoch,
    firstSeq,
    originSeq,
    id: idText(journalId),
    oldest,
    durable,
    store,
    epochStarts: () => epochStarts(directory, originSeq, disk),
    open: (fromSeq, onSkip) =>
      new SkippingReader({ directory, shard, fromSeq, durable, disk, onSkip }),
  }
}

/** From the headers of the segments; one that is being made or removed is passed over. */
function epochStarts(directory: string, originSeq: number, disk: Disk = realDisk): EpochStart[] {
  const starts: EpochStart[] = []
  for (const seq of listSegments(directory, disk)) {
    const epoch = epochOf(segmentPath(directory, seq), disk)
    const last = starts.at(-1)
    if (epoch === undefined || epoch === last?.epoch) continue
    starts.push({ epoch, seq, isFirst: last !== undefined || seq === originSeq })
  }
  return starts
}

function epochOf(path: string, disk: Disk): number | undefined {
  let fd: number
  try {
    fd = disk.open(path, 'read')
  } catch {
    return undefined
  }
  try {
    const header = readSegmentHeader(fd, path, disk)
    return typeof header === 'string' ? undefined : header.epoch
  } finally {
    disk.close(fd)
  }
}
