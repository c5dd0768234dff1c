// Changes to the newest segment when the journal is opened: cut, made durable, sealed.
//
// What the kernel shows of a file that a crash or a failed fsync left behind proves nothing about
// the disk: a failed fsync may leave pages that read well, count as clean, and were never written;
// the next fsync then succeeds without writing them. So bytes that no block bears witness to are
// read and written again, which makes their pages dirty, and only then fsynced. The same holds for
// the seal: a later segment makes everything depend on it.

import type { Disk } from './disk.ts'
import {
  bytesOfBlock,
  decodeBlockHeader,
  encodeBlockHeader,
  HeaderBuffer,
  newBlockHeader,
  type SegmentHeader,
} from './headers.ts'
import { sealedAs } from './sealed-segment.ts'
import { ioError, type SegmentInfo } from './segment-files.ts'
import { BLOCK_HEADER_BYTES } from './segment-layout.ts'
import type { SegmentScan } from './segment-scan.ts'

/** Larger than a page or a block of any file system: what is written anew begins on one. */
const REWRITE_ALIGN_BYTES = 64 * 1024
const REWRITE_BYTES = 1024 * 1024

/** An open segment that may be written. */
export interface SegmentFile {
  disk: Disk
  fd: number
  path: string
}

export interface Cut {
  offset: number
  endSeq: number
}

/** Makes the segment end at `cut`, durably and sealed. */
export function cutAndSeal(
  file: SegmentFile,
  header: SegmentHeader,
  scan: SegmentScan,
  cut: Cut,
): SegmentInfo {
  const { disk, fd, path } = file
  const { offset, endSeq } = cut
  let sizeBytes = offset
  try {
    if (disk.fileBytes(fd) > offset) cutBack(file, offset)
    writeAnew(file, scan.witnessedOffset, offset)
    if (!(scan.isSealed && offset === scan.endOffset)) {
      const seal = new HeaderBuffer(BLOCK_HEADER_BYTES)
      const block = newBlockHeader()
      block.firstSeq = endSeq
      block.durableSeq = endSeq
      block.epoch = header.epoch
      block.marksBefore = scan.markCount
      encodeBlockHeader(seal, block, scan.lastWrittenNs)
      sizeBytes += writeWhole(disk, fd, seal.bytes, offset)
      disk.sync(fd)
    }
  } catch (thrown) {
    throw ioError(`cannot recover ${path}`, thrown)
  }
  const closedMs = Number(scan.lastWrittenNs / 1_000_000n)
  return sealedAs(header, endSeq, scan.markCount, sizeBytes, closedMs)
}

/**
 * Cuts the file, block by block from its end, each cut durable before the next: were an fsync to
 * fail and the machine to crash amid one large cut, a seal or a later block could outlive what it
 * bears witness to, which would then look damaged.
 */
function cutBack({ disk, fd }: SegmentFile, to: number): void {
  for (const offset of blockOffsets(disk, fd, to).reverse()) {
    disk.truncate(fd, offset)
    disk.sync(fd)
  }
  if (disk.fileBytes(fd) > to) disk.truncate(fd, to)
}

/** Where blocks begin behind `from`, as far as they follow each other. */
function blockOffsets(disk: Disk, fd: number, from: number): number[] {
  const offsets: number[] = []
  const header = new HeaderBuffer(BLOCK_HEADER_BYTES)
  const block = newBlockHeader()
  for (let offset = from; ; offset += bytesOfBlock(block)) {
    if (disk.read(fd, header.bytes, offset) < BLOCK_HEADER_BYTES) return offsets
    if (decodeBlockHeader(header, 0, block) !== '') return offsets
    offsets.push(offset)
  }
}

/** Makes sure of a seal that is there: it may never have reached the disk. */
export function confirmSeal(file: SegmentFile, sealed: SegmentInfo): void {
  try {
    writeAnew(file, sealed.sizeBytes - BLOCK_HEADER_BYTES, sealed.sizeBytes)
  } catch (thrown) {
    throw ioError(`cannot recover ${file.path}`, thrown)
  }
}

/** Writes the file's bytes [from, to) again as they are, and what shares a page with them. */
function writeAnew({ disk, fd }: SegmentFile, from: number, to: number): void {
  const buffer = new Uint8Array(REWRITE_BYTES)
  let offset = Math.floor(from / REWRITE_ALIGN_BYTES) * REWRITE_ALIGN_BYTES
  while (offset < to) {
    const wanted = buffer.subarray(0, Math.min(buffer.length, to - offset))
    const size = disk.read(fd, wanted, offset)
    if (size === 0) throw new Error('the file became shorter meanwhile')
    offset += writeWhole(disk, fd, wanted.subarray(0, size), offset)
  }
  disk.sync(fd)
}

function writeWhole(disk: Disk, fd: number, bytes: Uint8Array, offset: number): number {
  if (disk.write(fd, bytes, offset) === bytes.length) return bytes.length
  throw Object.assign(new Error('the disk is full'), { code: 'ENOSPC' })
}
