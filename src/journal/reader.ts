// Reads the journal of a shard in sequence, as it grows: what every store is fed from.
//
// It never hands out, nor trusts, a byte beyond the durable position: what lies behind it may be
// half written, and may be cut off and written anew when the journal agent restarts. So each read
// of the file notes the durable position from before the read, and only blocks below it are used.
// Checksums are verified once a block, before any of its records is handed out.
//
// Not for live tails beyond durability (serve reads the ring), nor for damaged journals (verify).

import { closeSync, openSync, readSync } from 'node:fs'
import { assert } from '../errors.ts'
import { MIB } from '../limits.ts'
import type { TickBatch } from '../tick/batch.ts'
import { TICK_BYTES } from '../tick/layout.ts'
import {
  blockBytes,
  decodeBlockHeader,
  HeaderBuffer,
  newBlockHeader,
  ticksAreWhole,
} from './headers.ts'
import { corrupt, ioError, listSegments, readSegmentHeader, segmentPath } from './segment-files.ts'
import { BLOCK_BYTES_MAX, BLOCK_HEADER_BYTES, SEGMENT_HEADER_BYTES } from './segment-layout.ts'

/** One read of the file: several of the largest blocks, and small enough to stay in L2 cache. */
const BUFFER_BYTES = 1 * MIB
assert(BUFFER_BYTES >= BLOCK_BYTES_MAX, 'the buffer holds a block')

export interface JournalReaderOptions {
  /** Of the shard. */
  directory: string
  /** First record wanted. */
  fromSeq: number
  /** Next sequence after the durable ones; it only grows. */
  durable: () => number
}

export class JournalReader {
  /** Sequence of the next record to be read. */
  seq: number
  /** Epoch of the records last read. */
  epoch = 0
  readonly #directory: string
  readonly #durable: () => number
  readonly #buffer = new HeaderBuffer(BUFFER_BYTES)
  readonly #block = newBlockHeader()
  #fd: number | undefined
  #path = ''
  #segmentEpoch = 0
  /** File offset of buffer.bytes[0], and how many bytes of the file follow it there. */
  #bufferOffset = 0
  #bufferSize = 0
  /** Durable position before the buffer was read: blocks below it are final. */
  #bufferDurable = 0
  /** File offset of the block that holds `seq`, or of the one that will. */
  #blockOffset = 0
  /** End of the block at #blockOffset once its ticks were verified; 0 before. */
  #blockEndSeq = 0

  /** Throws JOURNAL_CORRUPT when `fromSeq` lies beyond the journal's end. */
  constructor(options: JournalReaderOptions) {
    this.#directory = options.directory
    this.#durable = options.durable
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
    while (out.count < out.capacity && this.#openBlock()) {
      if (out.count > 0 && this.#segmentEpoch !== this.epoch) break
      this.epoch = this.#segmentEpoch
      this.#copy(out)
    }
    return out.count
  }

  close(): void {
    if (this.#fd !== undefined) closeSync(this.#fd)
    this.#fd = undefined
  }

  /** Copies what fits of the open block. */
  #copy(out: TickBatch): void {
    const block = this.#block
    const end = Math.min(this.#blockEndSeq, this.#bufferDurable)
    const count = Math.min(end - this.seq, out.capacity - out.count)
    const ticks = this.#blockOffset - this.#bufferOffset + BLOCK_HEADER_BYTES
    const start = ticks + (this.seq - block.firstSeq) * TICK_BYTES
    const bytes = this.#buffer.bytes.subarray(start, start + count * TICK_BYTES)
    out.bytes.set(bytes, out.count * TICK_BYTES)
    out.count += count
    this.seq += count
    if (this.seq === block.firstSeq + block.tickCount) {
      this.#blockOffset += blockBytes(block.tickCount)
      this.#blockEndSeq = 0
    }
  }

  /** Makes the verified block that holds `seq` current. False when `seq` is not durable yet. */
  #openBlock(): boolean {
    if (this.seq >= this.#bufferDurable) {
      if (this.seq >= this.#durable()) return false
      // What lies in the buffer behind the old durable position may have changed since.
      this.#bufferSize = 0
      this.#blockEndSeq = 0
    }
    if (this.#blockEndSeq > 0) return true
    if (this.#fd === undefined) this.#openSegment(this.#segmentOf(this.seq))
    for (;;) {
      this.#load()
      const { tickCount, firstSeq } = this.#block
      if (tickCount === 0) this.#openSegment(firstSeq)
      else if (firstSeq + tickCount > this.seq) break
      else this.#blockOffset += blockBytes(tickCount)
    }
    this.#verify()
    return true
  }

  /** Decodes the header at #blockOffset, with the whole block in the buffer if it holds `seq`. */
  #load(): void {
    let at = this.#blockOffset - this.#bufferOffset
    let refilled = false
    if (at + BLOCK_HEADER_BYTES > this.#bufferSize) {
      this.#fill()
      refilled = true
      at = 0
    }
    const block = this.#block
    let fault = ''
    if (at + BLOCK_HEADER_BYTES > this.#bufferSize) fault = 'the file ends before it'
    else fault = decodeBlockHeader(this.#buffer, at, block)
    if (fault !== '') this.#fail(fault, this.seq, this.#bufferDurable)
    // A seal that names its own segment would have us open it for ever.
    const isLoop = block.tickCount === 0 && this.#blockOffset === SEGMENT_HEADER_BYTES
    if (block.epoch !== this.#segmentEpoch || block.firstSeq > this.seq || isLoop) {
      this.#fail('it belongs elsewhere', this.seq, this.#bufferDurable)
    }
    const isWanted = block.firstSeq + block.tickCount > this.seq
    if (isWanted && at + blockBytes(block.tickCount) > this.#bufferSize && !refilled) this.#fill()
  }

  #verify(): void {
    const block = this.#block
    const at = this.#blockOffset - this.#bufferOffset
    const end = block.firstSeq + block.tickCount
    if (at + blockBytes(block.tickCount) > this.#bufferSize) {
      this.#fail('the file ends within it', block.firstSeq, end)
    }
    if (!ticksAreWhole(this.#buffer.bytes, at, block)) {
      this.#fail('the checksum of its records is wrong', block.firstSeq, end)
    }
    this.#blockEndSeq = end
  }

  /** Reads from #blockOffset on. */
  #fill(): void {
    this.#bufferDurable = this.#durable()
    this.#bufferOffset = this.#blockOffset
    try {
      this.#bufferSize = readSync(
        this.#fd as number,
        this.#buffer.bytes,
        0,
        BUFFER_BYTES,
        this.#bufferOffset,
      )
    } catch (thrown) {
      throw ioError(`cannot read ${this.#path}`, thrown)
    }
  }

  /** First sequence of the segment that holds `seq`. */
  #segmentOf(seq: number): number {
    const segments = listSegments(this.#directory)
    const first = segments.findLast((firstSeq) => firstSeq <= seq)
    if (first !== undefined) return first
    throw this.#missing(seq, segments[0] ?? this.#durable())
  }

  #openSegment(firstSeq: number): void {
    this.close()
    this.#path = segmentPath(this.#directory, firstSeq)
    this.#blockOffset = SEGMENT_HEADER_BYTES
    this.#bufferSize = 0
    try {
      this.#fd = openSync(this.#path, 'r')
    } catch (thrown) {
      if ((thrown as NodeJS.ErrnoException).code !== 'ENOENT') {
        throw ioError(`cannot open ${this.#path}`, thrown)
      }
      const next = listSegments(this.#directory).find((seq) => seq > firstSeq)
      throw this.#missing(this.seq, next ?? this.#durable())
    }
    const header = readSegmentHeader(this.#fd)
    if (typeof header === 'string') {
      throw corrupt(`${this.#path}: the segment header is unusable: ${header}`)
    }
    if (header.firstSeq !== firstSeq) {
      throw corrupt(`${this.#path}: its header says that it begins at ${header.firstSeq}`)
    }
    this.#segmentEpoch = header.epoch
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
