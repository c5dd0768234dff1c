import t from 'tap'
import {
  blockBytes,
  decodeBlockHeader,
  decodeSegmentHeader,
  encodeBlockHeader,
  encodeSegmentHeader,
  HeaderBuffer,
  newBlockHeader,
} from '../../../src/journal/headers.ts'
import {
  BLOCK_HEADER_BYTES,
  BLOCK_MAGIC,
  BLOCK_OFFSET,
  SEGMENT_HEADER_BYTES,
  SEGMENT_OFFSET,
} from '../../../src/journal/segment-layout.ts'
import { SEQ_MAX } from '../../../src/limits.ts'

const block = {
  tickCount: 17,
  firstSeq: 2 ** 40 + 5,
  epoch: 3,
  durableSeq: 2 ** 40,
  markCount: 2,
  marksBefore: 70_000,
  marksCrc: 4_000_000_000,
  ticksCrc: 9,
}
const segment = {
  shard: 5,
  epoch: 7,
  firstSeq: SEQ_MAX,
  createdNs: 8n,
  journalId: 2n ** 64n - 1n,
  startId: 3n,
}

function encodedBlock(): HeaderBuffer {
  const buffer = new HeaderBuffer(BLOCK_HEADER_BYTES)
  encodeBlockHeader(buffer, block, 1_700_000_000_123_456_789n)
  return buffer
}

function encodedSegment(): HeaderBuffer {
  const buffer = new HeaderBuffer(SEGMENT_HEADER_BYTES)
  buffer.bytes.set(encodeSegmentHeader(segment))
  return buffer
}

t.test('the layout is that of the drawing: 64 bytes each, fields where the docs say', async (t) => {
  t.same(
    { ...SEGMENT_OFFSET },
    {
      magic: 0,
      version: 8,
      shard: 12,
      epoch: 16,
      first_seq: 24,
      created_ns: 32,
      journal_id: 40,
      start_id: 48,
      reserved: 56,
      header_crc: 60,
    },
  )
  t.same(
    { ...BLOCK_OFFSET },
    {
      magic: 0,
      tick_count: 4,
      first_seq: 8,
      epoch: 16,
      durable_seq: 24,
      written_ns: 32,
      mark_count: 40,
      marks_before: 44,
      marks_crc: 48,
      reserved: 52,
      ticks_crc: 56,
      header_crc: 60,
    },
  )
  t.equal(blockBytes(3), 4 * 64)
  t.equal(blockBytes(3, 2), 6 * 64)
  t.equal(Buffer.from(encodedSegment().bytes.subarray(0, 8)).toString('latin1'), 'TICKDSEG')
  t.equal(Buffer.from(encodedBlock().bytes.subarray(0, 4)).toString('latin1'), 'TBLK')
  t.equal(encodedBlock().view.getUint32(0, true), BLOCK_MAGIC)
})

t.test('headers come back as they went in, at the largest sequence too', async (t) => {
  t.same(decodeSegmentHeader(encodedSegment()), segment)
  const header = newBlockHeader()
  t.equal(decodeBlockHeader(encodedBlock(), 0, header), '')
  t.same(header, block)
})

t.test('no single flipped bit of a header goes unnoticed', async (t) => {
  for (let bit = 0; bit < BLOCK_HEADER_BYTES * 8; bit++) {
    const [asBlock, asSegment] = [encodedBlock(), encodedSegment()]
    for (const { bytes } of [asBlock, asSegment]) bytes[bit >> 3]! ^= 1 << (bit & 7)
    const isSeen =
      decodeBlockHeader(asBlock, 0, newBlockHeader()) !== '' &&
      typeof decodeSegmentHeader(asSegment) === 'string'
    if (!isSeen) t.fail(`bit ${bit} may flip unseen`)
  }
  t.pass('all 512 bits are covered')
})

t.test('a header that does not fit into the buffer is cut short, not read beyond', async (t) => {
  const { bytes } = encodedBlock()
  const shifted = new HeaderBuffer(BLOCK_HEADER_BYTES + 63)
  shifted.bytes.set(bytes.subarray(0, 63), BLOCK_HEADER_BYTES)
  t.match(decodeBlockHeader(shifted, BLOCK_HEADER_BYTES, newBlockHeader()), 'cut short')
})
