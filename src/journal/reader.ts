// Reads the journal of a shard in sequence, as it grows: what every store is fed from.
//
// It never hands out, nor trusts, a byte beyond the durable position: what lies behind it may be
// half written, and may be cut off and written anew when the journal agent restarts. So each read
// of the file notes the durable position from before the read, and only blocks below it are used.
// Checksums are verified once a block, before any of its records is handed out.
//
// Not for live tails beyond durability (serve reads the ring), nor for damaged journals (verify).

import type { TickBatch } from '../tick/batch.ts'
import { TICK_BYTES } from '../tick/layout.ts'
import { type Disk, realDisk } from './disk.ts'
import { FileWindow } from './file-window.ts'
import { bodyIsWhole, bytesOfBlock, decodeBlockHeader, newBlockHeader } from './headers.ts'
import { idText, type JournalIdentity, UNKNOWN_IDENTITY } from './identity.ts'
import { corrupt, ioError, listSegments, readSegmentHeader, segmentPath } from './segment-files.ts'
import { BLOCK_BYTES_MAX, BLOCK_HEADER_BYTES, SEGMENT_HEADER_BYTES } from './segment-layout.ts'

/** One read of the file: whole blocks, and small enough to stay in cache. */
const WINDOW_BYTES = BLOCK_BYTES_MAX

export interface JournalReaderOptions {
  /** Of the shard. */
  directory: string
  /** First record wanted. */
  fromSeq: number
  /** Next sequence after the durable ones; it only grows. */
  durable: () => number
  /** The file systems of this machine if not given. */
  disk?: Disk | undefined
}

export class JournalReader {
  /** Sequence of the next record to be read. */
  seq: number
  /** Epoch of the records last read. */
  epoch = 0
  /** Ids of their journal and of the start that wrote them, as text; '' = not known. */
  journal = ''
  start = ''
  readonly #directory: string
  readonly #durable: () => number
  readonly #disk: Disk
  readonly #window: FileWindow
  readonly #block = newBlockHeader()
  #fd: number | undefined
  #path = ''
  #segmentEpoch = 0
  #segmentIdentity: JournalIdentity = UNKNOWN_IDENTITY
  /** Durable position before the window was filled: blocks below it are final. */
  #windowDurable = 0
  /** File offset of the block that holds `seq`, or of the one that will. */
  #blockOffset = 0
  /** End of the block at #blockOffset once its ticks were verified; 0 before. */
  #blockEndSeq = 0

  /** Throws JOURNAL_CORRUPT when `fromSeq` lies beyond the journal's end. */
  constructor(options: JournalReaderOptions) {
    this.#directory = options.directory
    this.#durable = options.durable
    this.#disk = options.disk ?? realDisk
    this.#window = new FileWindow(WINDOW_BYTES, this.#disk)
    this.seq = options.fromSeq
    const end = options.durable()
    if (this.seq > end) {
      throw corrupt(
        `${this.#directory}: a reader is to start at sequence ${this.seq}, but the journal ends ` +
          `before ${end}: it was removed or replaced by another; bring the right one back`,
      )
    }
  }

  /**
   * Fills `out` with consecutive records from `seq` on, at most out.capacity, all of one epoch.
   * Returns out.count; 0 = nothing durable to read now. Throws JOURNAL_CORRUPT (with the range
   * that is affected) or JOURNAL_IO.
   */
  read(out: TickBatch): number {
    out.count = 0
    try {
      while (out.count < out.capacity && this.#openBlock()) {
        if (out.count > 0 && this.#segmentEpoch !== this.epoch) break
        this.epoch = this.#segmentEpoch
        this.journal = idText(this.#segmentIdentity.journalId)
        this.start = idText(this.#segmentIdentity.startId)
        this.#copy(out)
      }
    } catch (thrown) {
      // What came before the fault is good and must not be lost: the next call meets it again.
      if (out.count === 0) throw thrown
    }
    return out.count
  }

  /** Goes on at `seq`, which lies in the block at `offset` of the segment that begins so. */
  seek(seq: number, segmentSeq: number, offset: number): void {
    this.#openSegment(segmentSeq)
    this.#blockOffset = offset
    this.#blockEndSeq = 0
    this.seq = seq
  }

  /** Goes on at `seq`, which is not in the segment at hand. */
  skipTo(seq: number): void {
    this.close()
    this.#blockEndSeq = 0
    this.seq = seq
  }

  close(): void {
    if (this.#fd !== undefined) this.#disk.close(this.#fd)
    this.#fd = undefined
  }

  /** Copies what fits of the open block. */
  #copy(out: TickBatch): void {
    const { firstSeq, tickCount } = this.#block
    const end = Math.min(this.#blockEndSeq, this.#windowDurable)
    const count = Math.min(end - this.seq, out.capacity - out.count)
    const ticks = this.#window.index(this.#blockOffset) + BLOCK_HEADER_BYTES
    const start = ticks + (this.seq - firstSeq) * TICK_BYTES
    const bytes = this.#window.buffer.bytes.subarray(start, start + count * TICK_BYTES)
    out.bytes.set(bytes, out.count * TICK_BYTES)
    out.count += count
    this.seq += count
    if (this.seq === firstSeq + tickCount) {
      this.#blockOffset += bytesOfBlock(this.#block)
      this.#blockEndSeq = 0
    }
  }

  /** Makes the verified block that holds `seq` current. False when `seq` is not durable yet. */
  #openBlock(): boolean {
    if (this.seq >= this.#windowDurable) {
      const durable = this.#durable()
      if (this.seq >= durable) return false
      // What the window holds behind the old durable position may have changed since.
      this.#window.forget()
      this.#windowDurable = durable
      this.#blockEndSeq = 0
    }
    if (this.#blockEndSeq > 0) return true
    if (this.#fd === undefined) this.#openSegment(this.#segmentOf(this.seq))
    while (!this.#isBlockOfSeq()) {
      const { tickCount, firstSeq } = this.#block
      if (tickCount === 0) this.#openSegment(firstSeq)
      else this.#blockOffset += bytesOfBlock(this.#block)
    }
    this.#verify()
    return true
  }

  /** Decodes the header at #blockOffset. True when the block holds `seq`. */
  #isBlockOfSeq(): boolean {
    const block = this.#block
    const isThere = this.#window.bring(this.#blockOffset, BLOCK_HEADER_BYTES)
    if (!isThere) this.#fail('the file ends before it', this.seq, this.#windowDurable)
    const { buffer } = this.#window
    const fault = decodeBlockHeader(buffer, this.#window.index(this.#blockOffset), block)
    if (fault !== '') this.#fail(fault, this.seq, this.#windowDurable)
    // A seal that names its own segment would have us open it for ever.
    const isLoop = block.tickCount === 0 && this.#blockOffset === SEGMENT_HEADER_BYTES
    if (block.epoch !== this.#segmentEpoch || block.firstSeq > this.seq || isLoop) {
      this.#fail('it belongs elsewhere', this.seq, this.#windowDurable)
    }
    return block.firstSeq + block.tickCount > this.seq
  }

  #verify(): void {
    const block = this.#block
    const end = block.firstSeq + block.tickCount
    if (!this.#window.bring(this.#blockOffset, bytesOfBlock(block))) {
      this.#fail('the file ends within it', block.firstSeq, end)
    }
    const { bytes } = this.#window.buffer
    if (!bodyIsWhole(bytes, this.#window.index(this.#blockOffset), block)) {
      this.#fail('the checksum of its records is wrong', block.firstSeq, end)
    }
    this.#blockEndSeq = end
  }

  /** First sequence of the segment that holds `seq`. */
  #segmentOf(seq: number): number {
    const segments = listSegments(this.#directory, this.#disk)
    const first = segments.findLast((firstSeq) => firstSeq <= seq)
    if (first !== undefined) return first
    throw this.#missing(seq, segments[0] ?? this.#windowDurable)
  }

  #openSegment(firstSeq: number): void {
    this.close()
    this.#path = segmentPath(this.#directory, firstSeq)
    try {
      this.#fd = this.#disk.open(this.#path, 'read')
    } catch (thrown) {
      if ((thrown as NodeJS.ErrnoException).code !== 'ENOENT') {
        throw ioError(`cannot open ${this.#path}`, thrown)
      }
      const next = listSegments(this.#directory, this.#disk).find((seq) => seq > firstSeq)
      throw this.#missing(this.seq, next ?? this.#windowDurable)
    }
    this.#window.attach(this.#fd, this.#path)
    this.#blockOffset = SEGMENT_HEADER_BYTES
    const header = readSegmentHeader(this.#fd, this.#path, this.#disk)
    if (typeof header !== 'string' && header.firstSeq === firstSeq) {
      this.#segmentEpoch = header.epoch
      this.#segmentIdentity = header
      return
    }
    this.close()
    const fault = typeof header === 'string' ? header : `it says sequence ${header.firstSeq}`
    throw corrupt(`${this.#path}: the segment header is unusable: ${fault}`)
  }

  #missing(from: number, to: number): Error {
    return corrupt(
      `${this.#directory}: records ${from} to ${to - 1} are missing (their segments are gone)`,
    )
  }

  #fail(fault: string, fromSeq: number, toSeq: number): never {
    throw corrupt(
      `${this.#path}: the block at offset ${this.#blockOffset} is damaged: ${fault}; records ` +
        `${fromSeq} to ${toSeq - 1} are affected; run 'tickd journal verify' for the extent`,
    )
  }
}
