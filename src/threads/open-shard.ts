// A shard's journal, opened at start, and the table of pushed batches that is made from it.

import { join } from 'node:path'
import type { Config } from '../config/schema.ts'
import { readMarks } from '../journal/batch-marks.ts'
import type { Disk } from '../journal/disk.ts'
import { type Opened, type Origin, openJournal } from '../journal/recovery.ts'
import { BATCH_MARKS_SCAN_BYTES } from '../limits.ts'
import { BatchIds } from '../ring/batch-ids.ts'

/** Where a shard stands when the daemon starts. */
export interface ShardStart extends Omit<Opened, 'segments'> {
  /** Memory of the BatchIds, filled. */
  readonly batchIds: SharedArrayBuffer
  /** Batches that the journal still knew. */
  readonly batchCount: number
}

/** The directory of a shard's journal, within that of all. */
export function journalDirectory(journal: string, shard: number): string {
  return join(journal, `shard-${shard}`)
}

/** `origin`: where the journal begins if it is new; `disk`: see there. Throws as it does. */
export function openShard(
  journal: string,
  shard: number,
  config: Config['journal'],
  { origin, disk }: { origin?: Origin | undefined; disk?: Disk | undefined } = {},
): ShardStart {
  const directory = journalDirectory(journal, shard)
  const { segments, ...opened } = openJournal(directory, shard, disk, origin)
  const marksMax = config.batch_ids
  const batchIds = BatchIds.create(marksMax)
  const ids = new BatchIds(batchIds, marksMax)
  const scan = { directory, segments, marksMax, bytesMax: BATCH_MARKS_SCAN_BYTES, disk }
  const batchCount = readMarks(scan, (mark) => ids.put(mark))
  return { ...opened, batchIds, batchCount }
}
