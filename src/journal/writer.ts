// Appends blocks of ticks to the newest segment of a shard, and makes them durable.
//
// One writev a block: the header from a small buffer, the ticks from where they lie (the ring's
// shared memory, in two pieces where it wraps around), so nothing is copied on our side. A segment
// is opened by the first append that needs one, and sealed when it is full: a segment gets its
// first block only after its predecessor is sealed and durable.
//
// Failures: where the disk is full, what was written of the block is cut off and the error can be
// retried; the writer is then as it was before the call. Anything else, above all a failed fsync
// (after which the kernel may drop the unwritten pages and report success the next time), breaks
// the writer for good: a new one starts from what is known to be durable, in a new segment. Then
// `canRetry` says that the disk refused (full, read-only), so that a new one may do better later.

import type { Clock } from '../clock.ts'
import { assert, TickdError } from '../errors.ts'
import { JOURNAL_BLOCK_MARKS_MAX } from '../limits.ts'
import { crc32 } from '../native/checksum.ts'
import { MARK_BYTES } from '../ring/batch-mark.ts'
import { TICK_BYTES } from '../tick/layout.ts'
import { type Disk, isRefusal, realDisk } from './disk.ts'
import {
  blockBytes,
  encodeBlockHeader,
  encodeSegmentHeader,
  HeaderBuffer,
  newBlockHeader,
} from './headers.ts'
import { type JournalIdentity, UNKNOWN_IDENTITY } from './identity.ts'
import { ioError, type SegmentInfo, segmentPath } from './segment-files.ts'
import { BLOCK_HEADER_BYTES, BLOCK_TICKS_MAX, SEGMENT_HEADER_BYTES } from './segment-layout.ts'

const NOTHING = new Uint8Array(0)

export interface JournalWriterOptions {
  /** Of the shard; it exists and was recovered. */
  directory: string
  shard: number
  epoch: number
  /** Of the journal and of this start; not known (0) where a tool writes. */
  identity?: JournalIdentity
  /** Sequence of the first record to be appended: where recovery ended. */
  nextSeq: number
  /** A segment is sealed when the next block would bring it above this. */
  segmentBytes: number
  clock: Clock
  /** Called when a segment was sealed. */
  onSealed: (segment: SegmentInfo) => void
  /** The file systems of this machine if not given. */
  disk?: Disk | undefined
}

export class JournalWriter {
  /** Sequence of the next record to be appended. */
  nextSeq: number
  /** Records below it are fsynced. append() moves it too, when it rolls to a new segment. */
  durableSeq: number
  /** Bytes appended since the last fsync. */
  unsyncedBytes = 0
  readonly #options: JournalWriterOptions
  readonly #disk: Disk
  readonly #header = new HeaderBuffer(BLOCK_HEADER_BYTES)
  readonly #block = newBlockHeader()
  #fd: number | undefined
  #path = ''
  #segmentFirstSeq = 0
  /** Bytes of the open segment, all of them whole blocks. */
  #sizeBytes = 0
  /** Marks in the open segment. */
  #markCount = 0
  #broken: TickdError | undefined

  constructor(options: JournalWriterOptions) {
    assert(options.epoch > 0, 'an epoch was opened')
    this.#options = options
    this.#disk = options.disk ?? realDisk
    this.nextSeq = options.nextSeq
    this.durableSeq = options.nextSeq
  }

  /** Nothing more can be done with it: a new one must be made. */
  get isBroken(): boolean {
    return this.#broken !== undefined
  }

  /** Bytes of the open segment; 0 when there is none. */
  get openBytes(): number {
    return this.#fd === undefined ? 0 : this.#sizeBytes
  }

  /**
   * Appends `count` ticks from `offset` of `bytes` as one block. Not durable before `sync()`.
   * Throws JOURNAL_IO; unless it is broken then, nothing was appended and the same call may
   * succeed later.
   */
  append(bytes: Uint8Array, offset: number, count: number): void {
    const ticks = bytes.subarray(offset, offset + count * TICK_BYTES)
    assert(ticks.length === count * TICK_BYTES, 'the ticks lie within the memory')
    this.appendBlock(ticks, NOTHING, NOTHING)
  }

  /** As above: ticks in one piece or two, and the marks of the batches that lie within them. */
  appendBlock(first: Uint8Array, second: Uint8Array, marks: Uint8Array): void {
    const count = (first.length + second.length) / TICK_BYTES
    const markCount = marks.length / MARK_BYTES
    assert(count > 0 && count <= BLOCK_TICKS_MAX, 'a block has 1 … the limit of ticks')
    assert(markCount <= JOURNAL_BLOCK_MARKS_MAX, 'a block has at most the limit of marks')
    this.#assertWhole()
    const sizeBytes = blockBytes(count, markCount)
    const isFull = this.#sizeBytes + sizeBytes + BLOCK_HEADER_BYTES > this.#options.segmentBytes
    if (this.#fd !== undefined && isFull && this.#hasBlocks()) this.#seal()
    if (this.#fd === undefined) this.#openSegment()
    this.#describe(first, second, marks)
    this.#write([this.#header.bytes, first, second, marks], sizeBytes)
    this.#markCount += markCount
    this.nextSeq += count
    this.unsyncedBytes += sizeBytes
  }

  /** Makes all that was appended durable. Throws JOURNAL_IO, after which the writer is broken. */
  sync(): void {
    this.#assertWhole()
    if (this.durableSeq === this.nextSeq) return
    this.#fdatasync()
    this.durableSeq = this.nextSeq
    this.unsyncedBytes = 0
  }

  /** Syncs, seals and closes. */
  close(): void {
    this.#assertWhole()
    if (this.#fd === undefined) return
    this.sync()
    if (this.#hasBlocks()) this.#seal()
    else this.abandon()
  }

  /** Closes the file as it is, for recovery to deal with. Never throws. */
  abandon(): void {
    const fd = this.#fd
    this.#fd = undefined
    this.#broken ??= new TickdError('JOURNAL_IO', `${this.#path}: the writer was abandoned`)
    if (fd === undefined) return
    try {
      this.#disk.close(fd)
    } catch {
      // Nothing depends on the outcome: what counts was fsynced, or will be cut off.
    }
  }

  #hasBlocks(): boolean {
    return this.#sizeBytes > SEGMENT_HEADER_BYTES
  }

  /** Makes the header of a block; of a seal when there is no tick. */
  #describe(first: Uint8Array, second: Uint8Array, marks: Uint8Array): void {
    const { clock, epoch } = this.#options
    const block = this.#block
    block.tickCount = (first.length + second.length) / TICK_BYTES
    block.firstSeq = this.nextSeq
    block.epoch = epoch
    block.durableSeq = this.durableSeq
    block.markCount = marks.length / MARK_BYTES
    block.marksBefore = this.#markCount
    block.marksCrc = crc32(marks)
    block.ticksCrc = crc32(second, 0, second.length, crc32(first))
    encodeBlockHeader(this.#header, block, nowNs(clock))
  }

  /** Writes one block at the end of the open segment. */
  #write(pieces: readonly Uint8Array[], sizeBytes: number): void {
    let written = 0
    try {
      written = this.#disk.writeAll(this.#fd as number, pieces, this.#sizeBytes)
    } catch (thrown) {
      throw this.#undo(`cannot append to ${this.#path}`, thrown)
    }
    if (written < sizeBytes) {
      throw this.#undo(`cannot append to ${this.#path}`, diskFull(written, sizeBytes))
    }
    this.#sizeBytes += sizeBytes
  }

  /** Cuts a partial block off. The error to be thrown. */
  #undo(what: string, thrown: unknown): TickdError {
    try {
      this.#disk.truncate(this.#fd as number, this.#sizeBytes)
    } catch (second) {
      return this.#break(`${what}, nor cut a partial block off`, second)
    }
    return isRefusal(thrown) ? ioError(what, thrown) : this.#break(what, thrown)
  }

  #fdatasync(): void {
    try {
      this.#disk.syncData(this.#fd as number)
    } catch (thrown) {
      throw this.#break(`cannot fsync ${this.#path}`, thrown)
    }
  }

  /** Syncs the segment, then seals and closes it. The seal says that all before it was durable. */
  #seal(): void {
    this.sync()
    this.#describe(NOTHING, NOTHING, NOTHING)
    this.#write([this.#header.bytes], BLOCK_HEADER_BYTES)
    this.#fdatasync()
    const { clock, epoch, identity = UNKNOWN_IDENTITY, onSealed } = this.#options
    const fd = this.#fd as number
    this.#fd = undefined
    this.#disk.close(fd)
    clock.read()
    onSealed({
      firstSeq: this.#segmentFirstSeq,
      endSeq: this.nextSeq,
      epoch,
      ...identity,
      markCount: this.#markCount,
      sizeBytes: this.#sizeBytes,
      closedMs: clock.sec * 1000,
    })
  }

  /** Creates the next segment; its header and its name are durable before it gets a block. */
  #openSegment(): void {
    const { directory, shard, epoch, clock, identity = UNKNOWN_IDENTITY } = this.#options
    this.#path = segmentPath(directory, this.nextSeq)
    const createdNs = nowNs(clock)
    const header = { shard, epoch, firstSeq: this.nextSeq, createdNs, ...identity }
    const bytes = encodeSegmentHeader(header)
    let isCreated = false
    try {
      this.#fd = this.#disk.open(this.#path, 'create')
      isCreated = true
      const written = this.#disk.write(this.#fd, bytes, 0)
      if (written < bytes.length) throw diskFull(written, bytes.length)
      this.#disk.sync(this.#fd)
      this.#disk.syncDirectory(directory)
    } catch (thrown) {
      const isUndone = isRefusal(thrown) && (!isCreated || this.#discardSegment())
      if (isUndone) throw ioError(`cannot create ${this.#path}`, thrown)
      throw this.#break(`cannot create ${this.#path}`, thrown)
    }
    this.#segmentFirstSeq = this.nextSeq
    this.#sizeBytes = SEGMENT_HEADER_BYTES
    this.#markCount = 0
  }

  /** Removes a segment whose creation failed. False when that fails too. */
  #discardSegment(): boolean {
    const fd = this.#fd as number
    this.#fd = undefined
    try {
      this.#disk.close(fd)
      this.#disk.unlink(this.#path)
      return true
    } catch {
      return false
    }
  }

  #break(what: string, thrown: unknown): TickdError {
    this.#broken = ioError(what, thrown)
    return this.#broken
  }

  #assertWhole(): void {
    if (this.#broken !== undefined) throw this.#broken
  }
}

/** A short write: the next one would be told ENOSPC. */
function diskFull(writtenBytes: number, sizeBytes: number): Error {
  const text = `the disk is full: only ${writtenBytes} of ${sizeBytes} bytes went in`
  return Object.assign(new Error(text), { code: 'ENOSPC' })
}

/** Wall time in ns since 1970 UTC. BigInt: once a block, never once a tick. */
function nowNs(clock: Clock): bigint {
  clock.read()
  return BigInt(clock.sec) * 1_000_000_000n + BigInt(clock.nsec)
}
