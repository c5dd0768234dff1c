// What is in a shard's journal, from headers and seals alone: sizes, sequences, epochs, times.
//
// Only an open segment is read through, up to its last whole block. For checksums of everything see
// verify.ts. May run beside the daemon.

import { TickdError } from '../errors.ts'
import { realDisk } from './disk.ts'
import { openSegmentFile, readSeal } from './sealed-segment.ts'
import { listSegments, readSegmentHeader, segmentPath } from './segment-files.ts'
import { scanSegment } from './segment-scan.ts'

export interface EpochStat {
  epoch: number
  firstSeq: number
  nextSeq: number
}

export interface JournalStat {
  segmentCount: number
  sizeBytes: number
  recordCount: number
  firstSeq: number
  /** Sequence after the last whole record. */
  nextSeq: number
  epochs: EpochStat[]
  /** When the oldest segment was created and the newest last written; undefined when empty. */
  createdNs: bigint | undefined
  writtenNs: bigint | undefined
  /** The newest segment has its seal: the daemon was stopped in order, or is between segments. */
  isSealed: boolean
}

export function statJournal(directory: string): JournalStat {
  const stat: JournalStat = {
    segmentCount: 0,
    sizeBytes: 0,
    recordCount: 0,
    firstSeq: 0,
    nextSeq: 0,
    epochs: [],
    createdNs: undefined,
    writtenNs: undefined,
    isSealed: true,
  }
  const firstSeqs = listSegments(directory)
  firstSeqs.forEach((firstSeq, index) => {
    addSegment(stat, segmentPath(directory, firstSeq), firstSeq, index === firstSeqs.length - 1)
  })
  return stat
}

function addSegment(stat: JournalStat, path: string, firstSeq: number, isNewest: boolean): void {
  const segment = describe(path, firstSeq)
  if (segment === undefined) {
    // The oldest may be removed while we look; a newest without a header was being created.
    if (isNewest || stat.segmentCount === 0) return
    throw new TickdError(
      'JOURNAL_CORRUPT',
      `${path}: the segment has no usable header; run 'tickd journal verify' for the extent`,
    )
  }
  if (stat.segmentCount === 0) {
    stat.firstSeq = firstSeq
    stat.createdNs = segment.createdNs
  }
  stat.segmentCount++
  stat.sizeBytes += segment.sizeBytes
  stat.recordCount += segment.nextSeq - firstSeq
  stat.nextSeq = segment.nextSeq
  stat.writtenNs = segment.writtenNs
  stat.isSealed = segment.isSealed
  const last = stat.epochs.at(-1)
  if (last?.epoch === segment.epoch) last.nextSeq = segment.nextSeq
  else stat.epochs.push({ epoch: segment.epoch, firstSeq, nextSeq: segment.nextSeq })
}

interface SegmentStat {
  epoch: number
  nextSeq: number
  sizeBytes: number
  createdNs: bigint
  writtenNs: bigint
  isSealed: boolean
}

function describe(path: string, firstSeq: number): SegmentStat | undefined {
  let fd: number
  try {
    fd = openSegmentFile(path, 'read', realDisk)
  } catch {
    return undefined
  }
  try {
    const header = readSegmentHeader(fd, path)
    if (typeof header === 'string' || header.firstSeq !== firstSeq) return undefined
    const { epoch, createdNs } = header
    const sealed = readSeal(fd, path, header)
    if (sealed !== undefined) {
      const { endSeq: nextSeq, sizeBytes, closedMs } = sealed
      const writtenNs = BigInt(closedMs) * 1_000_000n
      return { epoch, nextSeq, sizeBytes, createdNs, writtenNs, isSealed: true }
    }
    const scan = scanSegment(fd, path, header)
    const { endSeq: nextSeq, fileBytes: sizeBytes, lastWrittenNs: writtenNs } = scan
    return { epoch, nextSeq, sizeBytes, createdNs, writtenNs, isSealed: false }
  } finally {
    realDisk.close(fd)
  }
}
