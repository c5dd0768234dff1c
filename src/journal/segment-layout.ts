// Bytes of a journal segment: a header, blocks, and (when closed) a seal. Little-endian throughout.
//
//   <state>/journal/shard-<n>/<first sequence, 15 digits>.seg
//
//   | segment header | block header | tick | tick | … | mark | … | block header | tick | … | seal |
//   0               64             128                                             64 bytes each
//
// Everything is 64 bytes or a multiple of it, so ticks stay aligned to cache lines in the file, in
// a mapping of it, and in the reader's buffer.
//
// A block is what is written whole or not at all: ticks of consecutive sequences, and the marks of
// the pushed batches among them (ring/batch-mark.ts). A marked batch lies in one block: it and its
// mark are durable together, or neither is. Blocks have at most JOURNAL_BLOCK_TICKS_MAX ticks,
// unless one marked batch alone has more (BATCH_TICKS_MAX).
// The header has three checksums: of the ticks, of the marks, and of the header (with the former in
// it). A damaged tick therefore leaves the header readable, and the exact range of what is lost can
// be told; and marks can be read without the ticks.
//
// `durable_seq` is what makes a torn tail different from damage: records below it were fsynced
// before this block was written. After a crash, a broken block is a torn tail (never acknowledged,
// cut off) unless a later block bears witness that it had been durable.
//
// The seal is a block of no ticks whose first_seq is that of the next segment. It is written when a
// segment is closed, so a closed segment that was cut short is seen without reading it through.

import { BATCH_TICKS_MAX, JOURNAL_BLOCK_MARKS_MAX, JOURNAL_BLOCK_TICKS_MAX } from '../limits.ts'
import { MARK_BYTES } from '../ring/batch-mark.ts'
import { TICK_BYTES } from '../tick/layout.ts'

/** Field name -> width in bytes, in order. */
const SEGMENT_FIELDS = [
  ['magic', 8], // SEGMENT_MAGIC
  ['version', 4], // SEGMENT_VERSION
  ['shard', 4],
  ['epoch', 8], // of every record in the segment
  ['first_seq', 8], // as in the file's name
  ['created_ns', 8], // our clock, ns since 1970 UTC
  ['journal_id', 8], // random, of the journal; 0 in version 1
  ['start_id', 8], // random, of the start of the daemon whose epoch this is; 0 in version 1
  ['reserved', 4], // zero
  ['header_crc', 4], // CRC-32 of the bytes before it
] as const

const BLOCK_FIELDS = [
  ['magic', 4], // BLOCK_MAGIC
  ['tick_count', 4], // 0 = the seal
  ['first_seq', 8],
  ['epoch', 8], // as in the segment's header
  ['durable_seq', 8], // next sequence after those known to be fsynced when this was written
  ['written_ns', 8], // our clock, ns since 1970 UTC
  ['mark_count', 4], // marks behind the ticks; 0 in version 1
  ['marks_before', 4], // marks in earlier blocks of the segment; in a seal: of the segment
  ['marks_crc', 4], // CRC-32 of the marks; 0 when there are none
  ['reserved', 4], // zero
  ['ticks_crc', 4], // CRC-32 of the ticks; 0 in a seal
  ['header_crc', 4], // CRC-32 of the bytes before it
] as const

type Fields = readonly (readonly [string, number])[]
type Offsets<F extends Fields> = Readonly<Record<F[number][0], number>>

function offsetsOf<const F extends Fields>(fields: F): Offsets<F> {
  const offsets: Record<string, number> = {}
  let offset = 0
  for (const [name, width] of fields) {
    offsets[name] = offset
    offset += width
  }
  return Object.freeze(offsets) as Offsets<F>
}

const sizeOf = (fields: Fields): number => fields.reduce((sum, [, width]) => sum + width, 0)

export const SEGMENT_OFFSET = offsetsOf(SEGMENT_FIELDS)
export const SEGMENT_HEADER_BYTES = sizeOf(SEGMENT_FIELDS)
export const BLOCK_OFFSET = offsetsOf(BLOCK_FIELDS)
export const BLOCK_HEADER_BYTES = sizeOf(BLOCK_FIELDS)

/** 'TICKDSEG' */
export const SEGMENT_MAGIC = 0x4745_5344_4b43_4954n
/** 2: marks of batches, ids of journal and start. What 1 has in their place is zero. */
export const SEGMENT_VERSION = 2
/** Oldest version that is still read, and sealed where a crash left it open; never begun. */
export const SEGMENT_VERSION_MIN = 1
/** 'TBLK' */
export const BLOCK_MAGIC = 0x4b4c_4254

/** Blocks begin at multiples of this, counted from the start of the file. */
export const BLOCK_ALIGN_BYTES = 64
export const BLOCK_TICKS_MAX = Math.max(JOURNAL_BLOCK_TICKS_MAX, BATCH_TICKS_MAX)
export const BLOCK_BYTES_MAX =
  BLOCK_HEADER_BYTES + BLOCK_TICKS_MAX * TICK_BYTES + JOURNAL_BLOCK_MARKS_MAX * MARK_BYTES

if (SEGMENT_HEADER_BYTES !== BLOCK_ALIGN_BYTES) throw new Error('a segment header is 64 bytes')
if (BLOCK_HEADER_BYTES !== BLOCK_ALIGN_BYTES) throw new Error('a block header is 64 bytes')
if (TICK_BYTES !== BLOCK_ALIGN_BYTES) throw new Error('ticks keep blocks aligned')
if (MARK_BYTES !== BLOCK_ALIGN_BYTES) throw new Error('marks keep blocks aligned')
