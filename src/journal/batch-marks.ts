// The marks of pushed batches in a journal at rest, of which the table of ids is made at start.
//
// Reads headers and marks, not ticks; the newest segments first, until there are enough marks or
// enough was read. Marks come out oldest first. Not for a journal that is being written.

import { assert } from '../errors.ts'
import { JOURNAL_BLOCK_MARKS_MAX } from '../limits.ts'
import { type BatchMark, MARK_BYTES, MARK_WORDS, newMark, readMark } from '../ring/batch-mark.ts'
import { type Disk, realDisk } from './disk.ts'
import {
  blockBytes,
  bytesOfBlock,
  decodeBlockHeader,
  HeaderBuffer,
  marksAreWhole,
  newBlockHeader,
} from './headers.ts'
import { ioError, type SegmentInfo, segmentPath } from './segment-files.ts'
import { BLOCK_ALIGN_BYTES, BLOCK_HEADER_BYTES, SEGMENT_HEADER_BYTES } from './segment-layout.ts'

export interface MarkScan {
  directory: string
  /** Of the journal, all sealed, ascending. */
  segments: readonly SegmentInfo[]
  /** The newest so many are wanted. */
  marksMax: number
  /** Segments are looked through, from the newest on, up to so many bytes of files. */
  bytesMax: number
  disk?: Disk | undefined
}

/**
 * Gives the newest marks to `onMark`, oldest first; the object is used again. Returns how many.
 * Marks of damaged blocks are passed over, as their records are.
 */
export function readMarks(scan: MarkScan, onMark: (mark: BatchMark) => void): number {
  const found: Int32Array[] = []
  let count = 0
  let leftBytes = scan.bytesMax
  for (const segment of [...scan.segments].reverse()) {
    if (count >= scan.marksMax || leftBytes < 0) break
    leftBytes -= segment.sizeBytes
    if (segment.markCount === 0) continue
    const marks = marksOf(scan, segment, scan.marksMax - count)
    count += marks.length / MARK_WORDS
    found.push(marks)
  }
  const mark = newMark()
  for (const marks of found.reverse()) {
    for (let index = 0; index < marks.length / MARK_WORDS; index++) {
      readMark(marks, index, mark)
      onMark(mark)
    }
  }
  return count
}

/** The last `max` marks of a segment. */
function marksOf(scan: MarkScan, segment: SegmentInfo, max: number): Int32Array {
  const { directory, disk = realDisk } = scan
  const path = segmentPath(directory, segment.firstSeq)
  const ring = new Uint8Array(Math.min(max, segment.markCount) * MARK_BYTES)
  let count = 0
  const fd = disk.open(path, 'read')
  try {
    const header = new HeaderBuffer(BLOCK_HEADER_BYTES)
    const marks = new Uint8Array(JOURNAL_BLOCK_MARKS_MAX * MARK_BYTES)
    const block = newBlockHeader()
    const end = segment.sizeBytes - BLOCK_HEADER_BYTES
    // From a damaged header on, the next good one is looked for.
    let nextBytes = 0
    for (let offset = SEGMENT_HEADER_BYTES; offset < end; offset += nextBytes) {
      if (readAt(disk, fd, path, header.bytes, offset) < BLOCK_HEADER_BYTES) break
      if (decodeBlockHeader(header, 0, block) !== '' || block.epoch !== segment.epoch) {
        nextBytes = BLOCK_ALIGN_BYTES
        continue
      }
      nextBytes = bytesOfBlock(block)
      if (block.markCount === 0) continue
      const part = marks.subarray(0, block.markCount * MARK_BYTES)
      const size = readAt(disk, fd, path, part, offset + blockBytes(block.tickCount))
      if (size < part.length || !marksAreWhole(part, block)) continue
      for (let index = 0; index < block.markCount; index++) {
        const at = (count++ % (ring.length / MARK_BYTES)) * MARK_BYTES
        ring.set(part.subarray(index * MARK_BYTES, (index + 1) * MARK_BYTES), at)
      }
    }
  } finally {
    disk.close(fd)
  }
  return inOrder(ring, count)
}

/** The ring's marks, of which `count` were put in, oldest first. */
function inOrder(ring: Uint8Array, count: number): Int32Array {
  const size = Math.min(count * MARK_BYTES, ring.length)
  const oldest = count * MARK_BYTES > ring.length ? (count * MARK_BYTES) % ring.length : 0
  const bytes = new Uint8Array(size)
  bytes.set(ring.subarray(oldest, size))
  bytes.set(ring.subarray(0, oldest), size - oldest)
  assert(size % MARK_BYTES === 0, 'marks are whole')
  return new Int32Array(bytes.buffer)
}

function readAt(disk: Disk, fd: number, path: string, into: Uint8Array, offset: number): number {
  try {
    return disk.read(fd, into, offset)
  } catch (thrown) {
    throw ioError(`cannot read ${path}`, thrown)
  }
}
