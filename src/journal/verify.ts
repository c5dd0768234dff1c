// Reads every byte of a shard's journal and lists what is wrong: which file, where, which records.
//
// It changes nothing and may run beside the daemon: what that appends meanwhile is not looked at,
// what its retention removes meanwhile is not missed, and a half-written end of the open segment is
// reported as such, not as a fault.

import { errorText } from '../errors.ts'
import { type Disk, realDisk } from './disk.ts'
import { epochPath, readEpoch } from './epoch.ts'
import type { SegmentHeader } from './headers.ts'
import { type KnownPositions, readPositions } from './positions-file.ts'
import { sealAtEnd } from './sealed-segment.ts'
import {
  ioError,
  listSegments,
  readSegmentHeader,
  segmentFileBytes,
  segmentPath,
} from './segment-files.ts'
import { SEGMENT_HEADER_BYTES } from './segment-layout.ts'
import { FAULTS_MAX, type SegmentFault, type SegmentScan, scanSegment } from './segment-scan.ts'

export interface JournalFault {
  file: string
  offset: number
  sizeBytes: number
  what: string
  /** Records affected: fromSeq … toSeq - 1. */
  fromSeq: number
  toSeq: number
  /** They were written between these times, ns since 1970 UTC; 0n = not known. */
  afterNs: bigint
  beforeNs: bigint
}

export interface VerifyReport {
  segmentCount: number
  blockCount: number
  recordCount: number
  firstSeq: number
  nextSeq: number
  faults: JournalFault[]
  /** Faults beyond those listed. */
  faultsUnlisted: number
  /** Bytes at the end of the newest segment that are no whole block (yet). */
  tailBytes: number
  /** What the positions file says; undefined where there is none. */
  known: KnownPositions | undefined
}

/** Told after each block: bytes read so far, and in all. */
export type OnProgress = (bytesRead: number, bytesAll: number) => void

export function verifyJournal(
  directory: string,
  onProgress: OnProgress = () => {},
  disk: Disk = realDisk,
): VerifyReport {
  return new Verifier(directory, onProgress, disk).run()
}

class Verifier {
  readonly #directory: string
  readonly #onProgress: OnProgress
  readonly #disk: Disk
  readonly #report: VerifyReport = {
    segmentCount: 0,
    blockCount: 0,
    recordCount: 0,
    firstSeq: 0,
    nextSeq: 0,
    faults: [],
    faultsUnlisted: 0,
    tailBytes: 0,
    known: undefined,
  }
  #shard: number | undefined
  /** Of the oldest segment that has one. */
  #journalId = 0n
  #epoch = 0
  /** When the last whole block was written, or a segment created. */
  #seenNs = 0n
  #bytesRead = 0
  #bytesAll = 0

  constructor(directory: string, onProgress: OnProgress, disk: Disk) {
    this.#disk = disk
    this.#directory = directory
    this.#onProgress = onProgress
  }

  run(): VerifyReport {
    const report = this.#report
    // Before the segments: what it says was durable then must be in them now.
    report.known = readPositions(this.#directory, this.#disk)
    const firstSeqs = listSegments(this.#directory, this.#disk)
    for (const seq of firstSeqs)
      this.#bytesAll += segmentFileBytes(this.#directory, seq, this.#disk)
    report.firstSeq = firstSeqs[0] ?? 0
    report.nextSeq = report.firstSeq
    this.#expectStored()
    firstSeqs.forEach((firstSeq, index) => {
      this.#segment(firstSeq, firstSeqs[index + 1])
    })
    this.#expectDurable()
    this.#checkEpochFile()
    return report
  }

  /** `nextFirstSeq`: of the segment after it; undefined for the newest. */
  #segment(firstSeq: number, nextFirstSeq: number | undefined): void {
    const report = this.#report
    const path = segmentPath(this.#directory, firstSeq)
    const fd = this.#open(path, firstSeq)
    if (fd === undefined) return
    report.segmentCount++
    try {
      this.#chain(path, firstSeq)
      const header = readSegmentHeader(fd, path, this.#disk)
      if (typeof header === 'string') {
        this.#unreadable(fd, path, header, firstSeq, nextFirstSeq)
        return
      }
      const fault = this.#headerFault(header, firstSeq)
      if (fault !== '') this.#fault(path, 0, SEGMENT_HEADER_BYTES, fault, firstSeq, firstSeq)
      this.#epoch = header.epoch
      this.#endFaults(header.createdNs)
      const before = this.#bytesRead
      const onBlock = (_: number, offset: number) => {
        this.#onProgress(before + offset, this.#bytesAll)
        return true
      }
      const scan = scanSegment(fd, path, { ...header, firstSeq }, onBlock, this.#disk)
      this.#bytesRead += scan.fileBytes
      this.#seenNs = scan.lastWrittenNs
      this.#count(path, scan, nextFirstSeq)
    } finally {
      this.#disk.close(fd)
    }
  }

  #count(path: string, scan: SegmentScan, nextFirstSeq: number | undefined): void {
    const report = this.#report
    report.blockCount += scan.blockCount
    report.recordCount += scan.recordCount
    report.faultsUnlisted += scan.faultsUnlisted
    report.nextSeq = Math.max(report.nextSeq, scan.endSeq)
    const isOpen = nextFirstSeq === undefined && !scan.isSealed
    const durableSeq = report.known?.durable ?? 0
    for (const fault of scan.faults) {
      const wasDurable = fault.wasDurable || fault.fromSeq < durableSeq
      if (isOpen && !wasDurable) report.tailBytes += fault.sizeBytes
      else this.#segmentFault(path, fault, nextFirstSeq ?? scan.endSeq)
    }
    if (nextFirstSeq === undefined || scan.isSealed) return
    if (scan.faults.length === 0 || report.nextSeq < nextFirstSeq) {
      const what = 'the segment is closed and yet has no seal: it was cut short'
      this.#fault(path, scan.fileBytes, 0, what, report.nextSeq, nextFirstSeq)
      report.nextSeq = nextFirstSeq
    }
  }

  #segmentFault(path: string, fault: SegmentFault, endSeq: number): void {
    const { offset, sizeBytes, what, fromSeq } = fault
    const toSeq = fault.toSeq === -1 ? endSeq : fault.toSeq
    this.#fault(path, offset, sizeBytes, what, fromSeq, toSeq, fault)
    this.#report.nextSeq = Math.max(this.#report.nextSeq, toSeq)
  }

  #unreadable(
    fd: number,
    path: string,
    what: string,
    firstSeq: number,
    nextFirstSeq: number | undefined,
  ): void {
    const fileBytes = segmentFileBytes(this.#directory, firstSeq, this.#disk)
    this.#bytesRead += fileBytes
    // A crash in the moment of creation: no record can be in it.
    if (nextFirstSeq === undefined && fileBytes <= SEGMENT_HEADER_BYTES) {
      this.#report.tailBytes += fileBytes
      return
    }
    const toSeq =
      nextFirstSeq ?? Math.max(firstSeq, sealAtEnd(fd, path, this.#disk)?.block.firstSeq ?? 0)
    this.#fault(path, 0, fileBytes, `the segment header is unusable: ${what}`, firstSeq, toSeq)
    this.#report.nextSeq = toSeq
  }

  /** Retention removes nothing that is not stored: what is gone before was taken by another. */
  #expectStored(): void {
    const { known, firstSeq } = this.#report
    if (known === undefined || firstSeq <= known.stored) return
    const what = 'segments are gone whose records no store had read'
    this.#fault(segmentPath(this.#directory, firstSeq), 0, 0, what, known.stored, firstSeq)
  }

  /** A journal whose end was cut off is whole in itself: only the positions file knows better. */
  #expectDurable(): void {
    const { known, nextSeq, segmentCount } = this.#report
    if (known === undefined || nextSeq >= known.durable) return
    const newest = listSegments(this.#directory, this.#disk).at(-1)
    const path = newest === undefined ? this.#directory : segmentPath(this.#directory, newest)
    const what = 'the journal ends before what was durable'
    const fromSeq = segmentCount === 0 ? Math.min(known.stored, known.durable) : nextSeq
    this.#fault(
      path,
      newest === undefined ? 0 : this.#bytesOf(newest),
      0,
      what,
      fromSeq,
      known.durable,
    )
    this.#report.nextSeq = known.durable
  }

  /** A start needs it right; one that is missing is that of a journal never opened. */
  #checkEpochFile(): void {
    const path = epochPath(this.#directory)
    if (this.#disk.pathBytes(path) === 0) return
    try {
      readEpoch(this.#directory, this.#epoch, this.#disk)
    } catch (thrown) {
      const { nextSeq } = this.#report
      this.#fault(path, 0, this.#disk.pathBytes(path), errorText(thrown), nextSeq, nextSeq)
    }
  }

  #bytesOf(firstSeq: number): number {
    return segmentFileBytes(this.#directory, firstSeq, this.#disk)
  }

  /** Something whole was written at `writtenNs`: the faults before it are older. */
  #endFaults(writtenNs: bigint): void {
    const { faults } = this.#report
    for (let i = faults.length - 1; i >= 0 && faults[i]?.beforeNs === 0n; i--) {
      ;(faults[i] as JournalFault).beforeNs = writtenNs
    }
    this.#seenNs = writtenNs
  }

  /** The segment must go on where the one before it ended. */
  #chain(path: string, firstSeq: number): void {
    const { nextSeq } = this.#report
    if (firstSeq > nextSeq)
      this.#fault(path, 0, 0, 'segments are missing before it', nextSeq, firstSeq)
    if (firstSeq < nextSeq) {
      this.#fault(path, 0, 0, 'its records are in the segment before it too', firstSeq, nextSeq)
    }
    this.#report.nextSeq = firstSeq
  }

  #headerFault(header: SegmentHeader, firstSeq: number): string {
    const { shard, epoch, firstSeq: headerSeq, journalId } = header
    this.#shard ??= shard
    this.#journalId ||= journalId
    if (shard !== this.#shard) return `its header says shard ${shard}`
    if (headerSeq !== firstSeq) return `its header says first sequence ${headerSeq}`
    if (journalId !== 0n && journalId !== this.#journalId) return 'it is of another journal'
    if (epoch < this.#epoch) return `its epoch ${epoch} is before that of an older segment`
    return ''
  }

  /** undefined: the daemon's retention removed it while we were at work. */
  #open(path: string, firstSeq: number): number | undefined {
    try {
      return this.#disk.open(path, 'read')
    } catch (thrown) {
      const isGone = (thrown as NodeJS.ErrnoException).code === 'ENOENT'
      const oldest = listSegments(this.#directory, this.#disk)[0] ?? 0
      if (!isGone || oldest < firstSeq) throw ioError(`cannot open ${path}`, thrown)
      this.#report.firstSeq = oldest
      this.#report.nextSeq = oldest
      return undefined
    }
  }

  #fault(
    file: string,
    offset: number,
    sizeBytes: number,
    what: string,
    fromSeq: number,
    toSeq: number,
    times = { afterNs: this.#seenNs, beforeNs: 0n },
  ): void {
    const { faults } = this.#report
    const { afterNs, beforeNs } = times
    if (faults.length >= FAULTS_MAX) this.#report.faultsUnlisted++
    else faults.push({ file, offset, sizeBytes, what, fromSeq, toSeq, afterNs, beforeNs })
  }
}
