// Segment and block headers: numbers <-> the bytes of segment-layout.ts, with their checksums.
//
// No files here. Decoding fills a reusable object and names the first thing that is wrong; it never
// throws, for a broken header means different things to the reader, to recovery and to verify.

import { assert } from '../errors.ts'
import { JOURNAL_BLOCK_MARKS_MAX, SEQ_MAX } from '../limits.ts'
import { crc32 } from '../native/checksum.ts'
import { MARK_BYTES } from '../ring/batch-mark.ts'
import { TICK_BYTES } from '../tick/layout.ts'
import {
  BLOCK_HEADER_BYTES,
  BLOCK_MAGIC,
  BLOCK_OFFSET,
  BLOCK_TICKS_MAX,
  SEGMENT_HEADER_BYTES,
  SEGMENT_MAGIC,
  SEGMENT_OFFSET,
  SEGMENT_VERSION,
  SEGMENT_VERSION_MIN,
} from './segment-layout.ts'

export interface SegmentHeader {
  shard: number
  epoch: number
  firstSeq: number
  createdNs: bigint
  /** Random; 0n = not known (version 1). */
  journalId: bigint
  startId: bigint
}

export interface BlockHeader {
  /** 0 = the seal of a closed segment. */
  tickCount: number
  firstSeq: number
  epoch: number
  durableSeq: number
  markCount: number
  /** Marks in earlier blocks of the segment. */
  marksBefore: number
  marksCrc: number
  ticksCrc: number
}

/** Memory seen as bytes and as numbers. */
export class HeaderBuffer {
  readonly bytes: Uint8Array
  readonly view: DataView

  constructor(sizeBytes: number) {
    this.bytes = new Uint8Array(sizeBytes)
    this.view = new DataView(this.bytes.buffer)
  }
}

export const newBlockHeader = (): BlockHeader => ({
  tickCount: 0,
  firstSeq: 0,
  epoch: 0,
  durableSeq: 0,
  markCount: 0,
  marksBefore: 0,
  marksCrc: 0,
  ticksCrc: 0,
})

/** The end of a block, as an offset from its start. */
export const blockBytes = (tickCount: number, markCount = 0): number =>
  BLOCK_HEADER_BYTES + tickCount * TICK_BYTES + markCount * MARK_BYTES

/** The same, of a block whose header was read. */
export const bytesOfBlock = ({ tickCount, markCount }: BlockHeader): number =>
  blockBytes(tickCount, markCount)

const TWO_32 = 2 ** 32

/** Sequences and epochs are below 2^48 (asserted): two plain words instead of a BigInt. */
function setUint48(view: DataView, offset: number, value: number): void {
  assert(value >= 0 && value <= SEQ_MAX, 'a sequence or epoch is in 0 … 2^48 - 1')
  view.setUint32(offset, value % TWO_32, true)
  view.setUint32(offset + 4, Math.floor(value / TWO_32), true)
}

function getUint48(view: DataView, offset: number): number {
  return view.getUint32(offset, true) + view.getUint32(offset + 4, true) * TWO_32
}

export function encodeSegmentHeader(header: SegmentHeader): Uint8Array {
  const { bytes, view } = new HeaderBuffer(SEGMENT_HEADER_BYTES)
  view.setBigUint64(SEGMENT_OFFSET.magic, SEGMENT_MAGIC, true)
  view.setUint32(SEGMENT_OFFSET.version, SEGMENT_VERSION, true)
  view.setUint32(SEGMENT_OFFSET.shard, header.shard, true)
  setUint48(view, SEGMENT_OFFSET.epoch, header.epoch)
  setUint48(view, SEGMENT_OFFSET.first_seq, header.firstSeq)
  view.setBigUint64(SEGMENT_OFFSET.created_ns, header.createdNs, true)
  view.setBigUint64(SEGMENT_OFFSET.journal_id, header.journalId, true)
  view.setBigUint64(SEGMENT_OFFSET.start_id, header.startId, true)
  const crc = crc32(bytes, 0, SEGMENT_OFFSET.header_crc)
  view.setUint32(SEGMENT_OFFSET.header_crc, crc, true)
  return bytes
}

/** The header at the start of `buffer`, or what is wrong with it. */
export function decodeSegmentHeader(buffer: HeaderBuffer): SegmentHeader | string {
  const { bytes, view } = buffer
  if (view.getBigUint64(SEGMENT_OFFSET.magic, true) !== SEGMENT_MAGIC) return 'it has no magic'
  const version = view.getUint32(SEGMENT_OFFSET.version, true)
  const crc = crc32(bytes, 0, SEGMENT_OFFSET.header_crc)
  if (view.getUint32(SEGMENT_OFFSET.header_crc, true) !== crc) return 'its checksum is wrong'
  if (version < SEGMENT_VERSION_MIN || version > SEGMENT_VERSION) {
    return `its version is ${version}, not ${SEGMENT_VERSION_MIN} … ${SEGMENT_VERSION}`
  }
  return {
    shard: view.getUint32(SEGMENT_OFFSET.shard, true),
    epoch: getUint48(view, SEGMENT_OFFSET.epoch),
    firstSeq: getUint48(view, SEGMENT_OFFSET.first_seq),
    createdNs: view.getBigUint64(SEGMENT_OFFSET.created_ns, true),
    journalId: view.getBigUint64(SEGMENT_OFFSET.journal_id, true),
    startId: view.getBigUint64(SEGMENT_OFFSET.start_id, true),
  }
}

/** Writes a block header at the start of `buffer`. */
export function encodeBlockHeader(
  buffer: HeaderBuffer,
  header: BlockHeader,
  writtenNs: bigint,
): void {
  const { bytes, view } = buffer
  view.setUint32(BLOCK_OFFSET.magic, BLOCK_MAGIC, true)
  view.setUint32(BLOCK_OFFSET.tick_count, header.tickCount, true)
  setUint48(view, BLOCK_OFFSET.first_seq, header.firstSeq)
  setUint48(view, BLOCK_OFFSET.epoch, header.epoch)
  setUint48(view, BLOCK_OFFSET.durable_seq, header.durableSeq)
  view.setBigUint64(BLOCK_OFFSET.written_ns, writtenNs, true)
  view.setUint32(BLOCK_OFFSET.mark_count, header.markCount, true)
  view.setUint32(BLOCK_OFFSET.marks_before, header.marksBefore, true)
  view.setUint32(BLOCK_OFFSET.marks_crc, header.marksCrc, true)
  view.setUint32(BLOCK_OFFSET.ticks_crc, header.ticksCrc, true)
  const crc = crc32(bytes, 0, BLOCK_OFFSET.header_crc)
  view.setUint32(BLOCK_OFFSET.header_crc, crc, true)
}

/** Fills `header` from `offset` of `buffer`. Returns what is wrong with it, '' for nothing. */
export function decodeBlockHeader(
  buffer: HeaderBuffer,
  offset: number,
  header: BlockHeader,
): string {
  const { bytes, view } = buffer
  if (offset + BLOCK_HEADER_BYTES > bytes.length) return 'its header is cut short'
  if (view.getUint32(offset + BLOCK_OFFSET.magic, true) !== BLOCK_MAGIC) return 'it has no magic'
  const crc = crc32(bytes, offset, offset + BLOCK_OFFSET.header_crc)
  if (view.getUint32(offset + BLOCK_OFFSET.header_crc, true) !== crc) {
    return 'its header checksum is wrong'
  }
  header.tickCount = view.getUint32(offset + BLOCK_OFFSET.tick_count, true)
  header.firstSeq = getUint48(view, offset + BLOCK_OFFSET.first_seq)
  header.epoch = getUint48(view, offset + BLOCK_OFFSET.epoch)
  header.durableSeq = getUint48(view, offset + BLOCK_OFFSET.durable_seq)
  header.markCount = view.getUint32(offset + BLOCK_OFFSET.mark_count, true)
  header.marksBefore = view.getUint32(offset + BLOCK_OFFSET.marks_before, true)
  header.marksCrc = view.getUint32(offset + BLOCK_OFFSET.marks_crc, true)
  header.ticksCrc = view.getUint32(offset + BLOCK_OFFSET.ticks_crc, true)
  const isSane =
    header.tickCount <= BLOCK_TICKS_MAX &&
    header.markCount <= Math.min(header.tickCount, JOURNAL_BLOCK_MARKS_MAX)
  return isSane ? '' : 'its count is above the limit'
}

/** When the block at `offset` of `buffer` was written, ns since 1970 UTC. */
export function blockWrittenNs(buffer: HeaderBuffer, offset: number): bigint {
  return buffer.view.getBigUint64(offset + BLOCK_OFFSET.written_ns, true)
}

/** True when ticks and marks after the header at `offset` are whole and have its checksums. */
export function bodyIsWhole(bytes: Uint8Array, offset: number, header: BlockHeader): boolean {
  const marks = offset + blockBytes(header.tickCount)
  const end = offset + bytesOfBlock(header)
  if (end > bytes.length) return false
  if (header.tickCount === 0) return true
  if (crc32(bytes, offset + BLOCK_HEADER_BYTES, marks) !== header.ticksCrc) return false
  return header.markCount === 0 || crc32(bytes, marks, end) === header.marksCrc
}

/** True when `marks` are those of the block. */
export function marksAreWhole(marks: Uint8Array, header: BlockHeader): boolean {
  return header.markCount === 0 || crc32(marks) === header.marksCrc
}
