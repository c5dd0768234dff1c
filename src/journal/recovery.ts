// Opens what a shard's journal was left as, and makes it a journal again: every segment sealed,
// sequences without a break, everything in it durable.
//
// Only a newest segment without a seal is read through (a crash left it so): the others were sealed
// when they were closed, so header and seal tell whether they are whole; `journal verify` reads
// every byte. A tail that a crash cut short was never acknowledged and is cut off. A damaged block
// in the midst of the newest segment stays, and is told (`damage`): its records are lost, and those
// who read pass over them. Anything else that is wrong is an error that says what is affected, and
// nothing is changed then: nothing acknowledged is dropped in silence.

import { TickdError } from '../errors.ts'
import type { Damage } from './damage.ts'
import { type Disk, realDisk } from './disk.ts'
import { type EpochFile, readEpoch, writeEpoch } from './epoch.ts'
import { type JournalIdentity, newId } from './identity.ts'
import { readPositions } from './positions-file.ts'
import {
  chainFault,
  checkedHeader,
  openSegmentFile,
  readSeal,
  readSealedSegment,
} from './sealed-segment.ts'
import {
  corrupt,
  ioError,
  listSegments,
  readSegmentHeader,
  type SegmentInfo,
  segmentPath,
} from './segment-files.ts'
import { SEGMENT_HEADER_BYTES } from './segment-layout.ts'
import { type Cut, confirmSeal, cutAndSeal } from './segment-mend.ts'
import { type SegmentFault, type SegmentScan, scanSegment } from './segment-scan.ts'

export interface Recovered {
  /** Sequence that the next record will have. */
  nextSeq: number
  /** Oldest sequence in the journal; nextSeq when it is empty. */
  oldestSeq: number
  /** Highest epoch of any segment; 0 when there are none. */
  lastEpoch: number
  /** All sealed, ascending. */
  segments: SegmentInfo[]
  /** Bytes that were cut off the newest segment. */
  truncatedBytes: number
  /** Records of the newest segment that were durable, and are damaged. */
  damage: Damage[]
}

export type Opened = Pick<Recovered, 'nextSeq' | 'oldestSeq' | 'truncatedBytes' | 'damage'> & {
  epoch: number
  identity: JournalIdentity
  /** Where the journal began: no sequence below was ever its own. */
  originSeq: number
  /** All sealed, ascending. */
  segments: readonly SegmentInfo[]
}

/** Where a journal begins that is new: beyond what an earlier one may have used. */
export interface Origin {
  firstSeq: number
  epoch: number
}

const BEGINNING: Origin = { firstSeq: 0, epoch: 1 }

/**
 * Recovers a shard's journal (an empty one is made where there is none, beginning at `origin`) and
 * opens a new epoch in it, durably. Main calls it once for each shard before any thread starts.
 * Throws JOURNAL_CORRUPT, JOURNAL_IO or STATE_DIR_UNUSABLE.
 */
export function openJournal(
  directory: string,
  shard: number,
  disk: Disk = realDisk,
  origin: Origin = BEGINNING,
): Opened {
  try {
    disk.makeDirectory(directory)
  } catch (thrown) {
    throw new TickdError('STATE_DIR_UNUSABLE', `cannot create ${directory}`, { cause: thrown })
  }
  const recovered = recoverJournal(directory, shard, undefined, disk)
  const { truncatedBytes, segments, damage } = recovered
  const before = readEpoch(directory, recovered.lastEpoch, disk)
  const file: EpochFile = {
    epoch: before === undefined ? origin.epoch : before.epoch + 1,
    journalId: before?.journalId || segments.at(-1)?.journalId || newId(),
    firstSeq: before?.firstSeq ?? origin.firstSeq,
  }
  writeEpoch(directory, file, disk)
  const isEmpty = segments.length === 0
  return {
    nextSeq: isEmpty ? file.firstSeq : recovered.nextSeq,
    oldestSeq: isEmpty ? file.firstSeq : recovered.oldestSeq,
    truncatedBytes,
    damage,
    epoch: file.epoch,
    originSeq: file.firstSeq,
    segments,
    identity: { journalId: file.journalId, startId: newId() },
  }
}

/** Where an agent that failed within a running daemon goes on. */
export interface Resume {
  /** Next sequence after those known to be durable. */
  endSeq: number
  /** Epoch of this start: only its records may be cut. */
  epoch: number
}

/**
 * Makes the journal whole. With `resume` it is made to end there: records from `endSeq` on were
 * appended in this epoch and never known to be durable, and are cut off.
 */
export function recoverJournal(
  directory: string,
  shard: number,
  resume?: Resume,
  disk: Disk = realDisk,
): Recovered {
  const firstSeqs = listSegments(directory, disk)
  const durableSeq = readPositions(directory, disk)?.durable ?? 0
  const place = { directory, shard, disk, durableSeq }
  const damage: Damage[] = []
  let truncatedBytes = 0
  let newest: SegmentInfo | undefined
  while (newest === undefined && firstSeqs.length > 0) {
    const firstSeq = firstSeqs.at(-1) as number
    const outcome = recoverNewest(place, firstSeq, resume)
    damage.push(...outcome.damage)
    truncatedBytes += outcome.truncatedBytes
    newest = outcome.segment
    if (newest === undefined) firstSeqs.pop()
  }
  const older = firstSeqs.slice(0, -1)
  const segments = older.map((seq) => readSealedSegment(directory, shard, seq, disk))
  if (newest !== undefined) segments.push(newest)
  for (let i = 1; i < segments.length; i++) {
    const fault = chainFault(segments[i - 1] as SegmentInfo, segments[i] as SegmentInfo)
    if (fault !== '') throw corrupt(`${directory}: ${fault}; restore them from a copy`)
  }
  // Without a segment, what is in force is where the journal began.
  const nextSeq = newest?.endSeq ?? readEpoch(directory, 0, disk)?.firstSeq ?? 0
  const wantedSeq = Math.max(durableSeq, resume?.endSeq ?? 0)
  if (nextSeq < wantedSeq) throw lost(directory, nextSeq, wantedSeq)
  const oldestSeq = segments[0]?.firstSeq ?? nextSeq
  return { nextSeq, oldestSeq, lastEpoch: newest?.epoch ?? 0, segments, truncatedBytes, damage }
}

interface Outcome {
  /** undefined: it held no record that counts, and was removed. */
  segment: SegmentInfo | undefined
  truncatedBytes: number
  damage: Damage[]
}

interface Place {
  directory: string
  shard: number
  disk: Disk
  /** Records below it are known to have been durable. */
  durableSeq: number
}

function recoverNewest(place: Place, firstSeq: number, resume: Resume | undefined): Outcome {
  const { directory, shard, disk } = place
  const endSeq = resume?.endSeq ?? Number.POSITIVE_INFINITY
  const path = segmentPath(directory, firstSeq)
  const fd = openSegmentFile(path, 'update', disk)
  try {
    const size = disk.fileBytes(fd)
    const isTornCreation =
      size <= SEGMENT_HEADER_BYTES && typeof readSegmentHeader(fd, path, disk) === 'string'
    if (isTornCreation && firstSeq < place.durableSeq) throw lost(path, firstSeq, place.durableSeq)
    if (isTornCreation) return remove(place, path, size)
    const header = checkedHeader(fd, path, shard, firstSeq, disk)
    const sealed = readSeal(fd, path, header, disk)
    const file = { disk, fd, path }
    if (sealed !== undefined && sealed.endSeq <= endSeq) {
      confirmSeal(file, sealed)
      return { segment: sealed, truncatedBytes: 0, damage: [] }
    }
    if (resume !== undefined && header.epoch !== resume.epoch) {
      throw corrupt(
        `${path}: it has records beyond ${endSeq} of epoch ${header.epoch}, and this is epoch ` +
          `${resume.epoch}: another daemon writes this journal`,
      )
    }
    if (firstSeq >= endSeq) return remove(place, path, size)
    const scan = scanSegment(fd, path, header, (blockEnd) => blockEnd < endSeq, disk)
    const durableSeq = Math.max(resume?.endSeq ?? 0, place.durableSeq)
    const { cut, damage } = tail(path, scan, durableSeq, endSeq)
    if (cut.endSeq === firstSeq) return remove(place, path, size - SEGMENT_HEADER_BYTES)
    const segment = cutAndSeal(file, header, scan, cut)
    return { segment, truncatedBytes: size - cut.offset, damage }
  } finally {
    disk.close(fd)
  }
}

/**
 * Where the good part ends, at `endSeqMax` at the latest, and the damage within. Throws when too
 * little of it is left.
 */
function tail(
  path: string,
  scan: SegmentScan,
  durableSeq: number,
  endSeqMax: number,
): { cut: Cut; damage: Damage[] } {
  const { faults, faultsUnlisted, endOffset, endSeq } = scan
  const torn = faults.find(({ wasDurable, fromSeq }) => !wasDurable && fromSeq >= durableSeq)
  let cut: Cut | undefined =
    torn === undefined
      ? { offset: endOffset, endSeq }
      : { offset: torn.offset, endSeq: torn.fromSeq }
  // The scan did not stop behind the block that ends there, for that one is damaged.
  if (cut.endSeq > endSeqMax) cut = faults.map(behind).find((end) => end.endSeq === endSeqMax)
  if (cut === undefined || cut.endSeq < durableSeq || faultsUnlisted > 0) {
    throw lost(path, cut?.endSeq ?? scan.endSeq, durableSeq)
  }
  const kept = faults.filter((fault) => fault.offset < cut.offset)
  const damage = kept.map(({ offset, what, fromSeq, toSeq }) => {
    return { file: path, offset, what, fromSeq, toSeq }
  })
  return { cut, damage }
}

function behind({ offset, sizeBytes, toSeq }: SegmentFault): Cut {
  return { offset: offset + sizeBytes, endSeq: toSeq }
}

function remove({ disk, directory }: Place, path: string, truncatedBytes: number): Outcome {
  try {
    disk.unlink(path)
    disk.syncDirectory(directory)
  } catch (thrown) {
    throw ioError(`cannot remove ${path}`, thrown)
  }
  return { segment: undefined, truncatedBytes, damage: [] }
}

function lost(where: string, endSeq: number, expectedSeq: number): TickdError {
  return corrupt(
    `${where}: records ${endSeq} to ${expectedSeq - 1} were durable and are gone; restore the ` +
      "files from a copy ('tickd journal verify' has the extent), or accept the loss: remove " +
      'positions.json beside them',
  )
}
