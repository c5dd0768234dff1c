// A closed segment as its header and its seal describe it, without reading what lies between.

import { type Disk, type OpenMode, realDisk } from './disk.ts'
import {
  type BlockHeader,
  blockWrittenNs,
  decodeBlockHeader,
  HeaderBuffer,
  newBlockHeader,
  type SegmentHeader,
} from './headers.ts'
import {
  corrupt,
  ioError,
  readSegmentHeader,
  type SegmentInfo,
  segmentName,
  segmentPath,
} from './segment-files.ts'
import { BLOCK_HEADER_BYTES, SEGMENT_HEADER_BYTES } from './segment-layout.ts'
import { scanSegment } from './segment-scan.ts'

const NS_PER_MS = 1_000_000n

/** Reads a segment that is not the newest. Throws JOURNAL_CORRUPT when it is not whole. */
export function readSealedSegment(
  directory: string,
  shard: number,
  firstSeq: number,
  disk: Disk,
): SegmentInfo {
  const path = segmentPath(directory, firstSeq)
  const fd = openSegmentFile(path, 'read', disk)
  try {
    const header = checkedHeader(fd, path, shard, firstSeq, disk)
    const sealed = readSeal(fd, path, header, disk)
    if (sealed !== undefined) return sealed
    const { endSeq, fileBytes } = scanSegment(fd, path, header, () => true, disk)
    throw corrupt(
      `${path}: the segment is closed and yet has no seal: it was cut short to ${fileBytes} ` +
        `bytes, and its whole records end before ${endSeq}; restore the file from a copy, or ` +
        'move it and all older ones away once they are stored',
    )
  } finally {
    disk.close(fd)
  }
}

export function openSegmentFile(path: string, mode: OpenMode, disk: Disk): number {
  try {
    return disk.open(path, mode)
  } catch (thrown) {
    throw ioError(`cannot open ${path}`, thrown)
  }
}

/** The segment's header; throws JOURNAL_CORRUPT when it is not that of this file. */
export function checkedHeader(
  fd: number,
  path: string,
  shard: number,
  firstSeq: number,
  disk: Disk,
): SegmentHeader {
  const header = readSegmentHeader(fd, path, disk)
  const fault =
    typeof header === 'string'
      ? header
      : header.shard !== shard
        ? `it says shard ${header.shard}, in the directory of shard ${shard}`
        : header.firstSeq !== firstSeq
          ? `it says first sequence ${header.firstSeq}, against the file's name`
          : ''
  if (typeof header !== 'string' && fault === '') return header
  throw corrupt(`${path}: the segment header is unusable: ${fault}; restore the file from a copy`)
}

/** What the seal of an open segment says; undefined when the file does not end in one. */
export function readSeal(
  fd: number,
  path: string,
  header: SegmentHeader,
  disk: Disk = realDisk,
): SegmentInfo | undefined {
  const seal = sealAtEnd(fd, path, disk)
  if (seal === undefined) return undefined
  const { block, writtenNs, sizeBytes } = seal
  if (block.epoch !== header.epoch || block.firstSeq <= header.firstSeq) return undefined
  const closedMs = Number(writtenNs / NS_PER_MS)
  return sealedAs(header, block.firstSeq, block.marksBefore, sizeBytes, closedMs)
}

/** The seal that a file ends in, whatever segment it is of. */
export function sealAtEnd(
  fd: number,
  path: string,
  disk: Disk,
): { block: BlockHeader; writtenNs: bigint; sizeBytes: number } | undefined {
  const sizeBytes = disk.fileBytes(fd)
  const offset = sizeBytes - BLOCK_HEADER_BYTES
  if (offset <= SEGMENT_HEADER_BYTES) return undefined
  const buffer = new HeaderBuffer(BLOCK_HEADER_BYTES)
  try {
    disk.read(fd, buffer.bytes, offset)
  } catch (thrown) {
    throw ioError(`cannot read ${path}`, thrown)
  }
  const block = newBlockHeader()
  if (decodeBlockHeader(buffer, 0, block) !== '' || block.tickCount !== 0) return undefined
  return { block, writtenNs: blockWrittenNs(buffer, 0), sizeBytes }
}

/** The description of a segment that was sealed. */
export function sealedAs(
  { firstSeq, epoch, journalId, startId }: SegmentHeader,
  endSeq: number,
  markCount: number,
  sizeBytes: number,
  closedMs: number,
): SegmentInfo {
  return { firstSeq, endSeq, epoch, journalId, startId, markCount, sizeBytes, closedMs }
}

/** What is wrong between two neighbours, '' for nothing: sequences go on, epochs do not go back. */
export function chainFault(before: SegmentInfo, after: SegmentInfo): string {
  const names = `between ${segmentName(before.firstSeq)} and ${segmentName(after.firstSeq)}`
  if (before.endSeq < after.firstSeq) {
    return `records ${before.endSeq} to ${after.firstSeq - 1} are missing ${names}`
  }
  if (before.endSeq > after.firstSeq) {
    return `records ${after.firstSeq} to ${before.endSeq - 1} are there twice ${names}`
  }
  const isForeign = before.journalId !== 0n && after.journalId !== 0n
  if (isForeign && before.journalId !== after.journalId) return `another journal begins ${names}`
  return before.epoch > after.epoch
    ? `the epoch goes back from ${before.epoch} to ${after.epoch} ${names}`
    : ''
}
