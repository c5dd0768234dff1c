// Reads one segment from end to end and says what is in it, and what is wrong with it, where.
//
// It changes nothing and never throws for what it finds: recovery decides by its report where to
// cut, `journal verify` prints it. After a fault it goes on: a broken tick leaves its block's
// header good, so only that block is lost; after a broken header it looks for the next good one.

import { type Disk, realDisk } from './disk.ts'
import { FileWindow } from './file-window.ts'
import type { SegmentHeader } from './headers.ts'
import {
  type BlockHeader,
  blockWrittenNs,
  bodyIsWhole,
  bytesOfBlock,
  decodeBlockHeader,
  newBlockHeader,
} from './headers.ts'
import {
  BLOCK_ALIGN_BYTES,
  BLOCK_BYTES_MAX,
  BLOCK_HEADER_BYTES,
  SEGMENT_HEADER_BYTES,
} from './segment-layout.ts'

const WINDOW_BYTES = BLOCK_BYTES_MAX
/** Faults kept of one segment; the rest are counted. */
export const FAULTS_MAX = 1000

export interface SegmentFault {
  /** Where in the file, and how many bytes are unusable. */
  offset: number
  sizeBytes: number
  what: string
  /** Records affected: fromSeq … toSeq - 1. Beyond the last good block toSeq is unknown: -1. */
  fromSeq: number
  toSeq: number
  /**
   * A later block bears witness that these records were fsynced before it was written: damage.
   * False at the end of a segment: a write that a crash (or the moment) cut short.
   */
  wasDurable: boolean
  /** When the whole blocks around it were written, ns since 1970 UTC; 0n = there is none after. */
  afterNs: bigint
  beforeNs: bigint
}

export interface SegmentScan {
  /** Whole blocks with ticks. */
  blockCount: number
  recordCount: number
  /** Of batches that pushers gave an id. */
  markCount: number
  /** The sequence after the last whole block. */
  endSeq: number
  /** File offset after the last whole block (or seal). */
  endOffset: number
  /**
   * Bytes before it were fsynced before the block at it was written, as that block says; 0 when
   * none says so. Whole blocks behind it may be in the memory of the kernel only.
   */
  witnessedOffset: number
  isSealed: boolean
  lastWrittenNs: bigint
  fileBytes: number
  faults: SegmentFault[]
  /** Faults beyond FAULTS_MAX. */
  faultsUnlisted: number
}

/** Told after each whole block; `false` stops the scan behind it. */
export type OnBlock = (endSeq: number, endOffset: number, startOffset: number) => boolean

/** Scans the segment `fd`, whose header was read. */
export function scanSegment(
  fd: number,
  path: string,
  header: SegmentHeader,
  onBlock: OnBlock = () => true,
  disk: Disk = realDisk,
): SegmentScan {
  const scanner = new Scanner(fd, path, header, disk)
  while (scanner.next()) {
    const { endSeq, endOffset } = scanner.scan
    if (!onBlock(endSeq, endOffset, scanner.startOffset)) return scanner.scan
  }
  return scanner.finish()
}

class Scanner {
  readonly scan: SegmentScan
  /** File offset of the last whole block. */
  startOffset = 0
  readonly #window: FileWindow
  readonly #block: BlockHeader = newBlockHeader()
  readonly #epoch: number
  #offset = SEGMENT_HEADER_BYTES
  /** Sequence that the block at #offset should begin with. */
  #seq: number

  constructor(fd: number, path: string, header: SegmentHeader, disk: Disk) {
    this.#window = new FileWindow(WINDOW_BYTES, disk)
    this.#window.attach(fd, path)
    this.#epoch = header.epoch
    this.#seq = header.firstSeq
    this.scan = {
      blockCount: 0,
      recordCount: 0,
      markCount: 0,
      endSeq: header.firstSeq,
      endOffset: SEGMENT_HEADER_BYTES,
      witnessedOffset: 0,
      isSealed: false,
      lastWrittenNs: header.createdNs,
      fileBytes: this.#window.fileBytes(),
      faults: [],
      faultsUnlisted: 0,
    }
  }

  /** Goes over one whole block and the faults before it. False: the segment ends here. */
  next(): boolean {
    const { scan } = this
    while (!scan.isSealed && this.#offset < scan.fileBytes) {
      const fault = this.#decode(this.#offset)
      if (fault !== '') {
        this.#skip(fault)
        continue
      }
      if (this.#take()) return true
    }
    return false
  }

  finish(): SegmentScan {
    const { scan } = this
    if (scan.isSealed && scan.endOffset < scan.fileBytes) {
      this.#offset = scan.fileBytes
      this.#fault('bytes follow the seal', scan.endOffset, scan.endSeq)
    }
    return scan
  }

  /** Goes on at the next good header. */
  #skip(fault: string): void {
    const from = this.#offset
    this.#offset = this.#nextHeader(from + BLOCK_ALIGN_BYTES)
    const isFound = this.#offset < this.scan.fileBytes
    this.#fault(fault, from, isFound ? this.#block.firstSeq : -1)
    if (isFound) this.#seq = this.#block.firstSeq
  }

  /** The block at #offset has a good header. True when its ticks are good as well. */
  #take(): boolean {
    const { scan } = this
    const { tickCount, firstSeq } = this.#block
    const start = this.#offset
    const end = start + bytesOfBlock(this.#block)
    // Records may be missing before it, with no bytes of theirs to show.
    if (firstSeq > this.#seq) this.#fault('blocks are missing before it', start, firstSeq)
    this.#bearWitness()
    this.#seq = firstSeq + tickCount
    this.#offset = Math.min(end, scan.fileBytes)
    const isThere = this.#window.bring(start, end - start)
    if (!isThere || !bodyIsWhole(this.#bytes(), this.#window.index(start), this.#block)) {
      const what = isThere ? 'the checksum of its records is wrong' : 'the file ends within it'
      this.#fault(what, start, this.#seq, firstSeq)
      return false
    }
    scan.isSealed = tickCount === 0
    scan.blockCount += tickCount === 0 ? 0 : 1
    scan.recordCount += tickCount
    scan.markCount += this.#block.markCount
    scan.endSeq = this.#seq
    scan.endOffset = end
    this.startOffset = start
    if (this.#block.durableSeq === firstSeq) scan.witnessedOffset = start
    scan.lastWrittenNs = blockWrittenNs(this.#window.buffer, this.#window.index(start))
    this.#endFaults(scan.lastWrittenNs)
    return true
  }

  /** '' when a header of this segment, not before the expected sequence, is at `offset`. */
  #decode(offset: number): string {
    if (!this.#window.bring(offset, BLOCK_HEADER_BYTES)) return 'the file ends within its header'
    const fault = decodeBlockHeader(this.#window.buffer, this.#window.index(offset), this.#block)
    if (fault !== '') return fault
    if (this.#block.epoch !== this.#epoch) return 'its epoch is not that of the segment'
    if (this.#block.firstSeq < this.#seq) return 'its records were there before'
    return ''
  }

  /** File offset of the next good header from `offset` on; the file's size when there is none. */
  #nextHeader(offset: number): number {
    let at = offset
    while (at < this.scan.fileBytes && this.#decode(at) !== '') at += BLOCK_ALIGN_BYTES
    return Math.min(at, this.scan.fileBytes)
  }

  /** The current block tells which of the earlier faults hit records that had been fsynced. */
  #bearWitness(): void {
    const { faults } = this.scan
    for (let i = faults.length - 1; i >= 0; i--) {
      const fault = faults[i] as SegmentFault
      if (fault.wasDurable) break
      fault.wasDurable = this.#block.durableSeq > fault.fromSeq
    }
  }

  /** A whole block was written at `writtenNs`: the faults before it are older. */
  #endFaults(writtenNs: bigint): void {
    const { faults } = this.scan
    for (let i = faults.length - 1; i >= 0 && faults[i]?.beforeNs === 0n; i--) {
      ;(faults[i] as SegmentFault).beforeNs = writtenNs
    }
  }

  /** Notes a fault that reaches from `offset` to #offset. */
  #fault(what: string, offset: number, toSeq: number, fromSeq = this.#seq): void {
    const { scan } = this
    if (scan.faults.length >= FAULTS_MAX) {
      scan.faultsUnlisted++
      return
    }
    const sizeBytes = this.#offset - offset
    const times = { afterNs: scan.lastWrittenNs, beforeNs: 0n }
    scan.faults.push({ offset, sizeBytes, what, fromSeq, toSeq, wasDurable: false, ...times })
  }

  #bytes(): Uint8Array {
    return this.#window.buffer.bytes
  }
}
