// A shard's journal, opened at start: compared with what the database says of it, and the table of
// pushed batches made from it.

import { renameSync } from 'node:fs'
import { join } from 'node:path'
import type { Config } from '../config/schema.ts'
import { readMarks } from '../journal/batch-marks.ts'
import type { Damage } from '../journal/damage.ts'
import { type Disk, realDisk } from '../journal/disk.ts'
import { readEpoch } from '../journal/epoch.ts'
import { idText } from '../journal/identity.ts'
import { type Opened, type Origin, openJournal } from '../journal/recovery.ts'
import { listSegments } from '../journal/segment-files.ts'
import { statJournal } from '../journal/stat.ts'
import { BATCH_MARKS_SCAN_BYTES } from '../limits.ts'
import type { IncidentReport } from '../ops/incidents.ts'
import { BatchIds } from '../ring/batch-ids.ts'
import { type Answer, judgeJournal } from './judge-journal.ts'

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

/** Raises what the opening found damaged in a journal: these records are lost. */
export function tellDamage(
  shard: number,
  damage: readonly Damage[],
  raise: (report: IncidentReport) => void,
): void {
  for (const one of damage) {
    raise({
      kind: 'journal_damaged',
      severity: 'critical',
      summary: `Records ${one.fromSeq} to ${one.toSeq - 1} of shard ${shard} are damaged`,
      evidence: { shard, ...one },
    })
  }
}

/**
 * Where the shard's journal is to begin if it is new, after a look at it and at the database's
 * answer. One that was rolled back is set aside, beside its place: nothing is removed.
 */
export function journalOrigin(
  journal: string,
  shard: number,
  answer: Answer,
  nowSec: number,
  raise: (report: IncidentReport) => void,
): Origin | undefined {
  const directory = journalDirectory(journal, shard)
  const found = { shard, ...lookAt(directory) }
  const { origin, isRolledBack, incident } = judgeJournal(found, answer, nowSec)
  if (incident !== undefined) raise(incident)
  if (isRolledBack) {
    renameSync(directory, `${directory}.ended-${found.nextSeq}`)
    realDisk.syncDirectory(journal)
  }
  return origin
}

/** What is there, without changing it. */
function lookAt(directory: string): { isNew: boolean; id: string; nextSeq: number } {
  realDisk.makeDirectory(directory)
  // Once: what was written last, of a daemon that was killed, is read through for it.
  const stat = listSegments(directory).length === 0 ? undefined : statJournal(directory)
  const file = readEpoch(directory, stat?.epochs.at(-1)?.epoch ?? 0)
  const nextSeq = stat?.nextSeq ?? file?.firstSeq ?? 0
  return { isNew: file === undefined, id: idText(file?.journalId ?? 0n), nextSeq }
}
