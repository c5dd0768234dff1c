// Makes a state directory with a large journal, as a killed daemon leaves it, to time a start on.
//
//   node scripts/make-journal.ts DIR [--gb 10] [--real]
//
// Segments of 128 MiB; the newest is open and nearly full: the most that a start has to read. With
// --real every byte of all is written; otherwise the older segments have their header, their seal
// and a hole between (a start reads no more of them), and only the last two are real.

import { closeSync, ftruncateSync, mkdirSync, openSync, writeFileSync, writeSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { SystemClock } from '../src/clock.ts'
import {
  blockBytes,
  encodeBlockHeader,
  encodeSegmentHeader,
  HeaderBuffer,
  newBlockHeader,
} from '../src/journal/headers.ts'
import { openJournal } from '../src/journal/recovery.ts'
import { segmentPath, shardDirectory } from '../src/journal/segment-files.ts'
import { BLOCK_HEADER_BYTES, SEGMENT_HEADER_BYTES } from '../src/journal/segment-layout.ts'
import { JournalWriter } from '../src/journal/writer.ts'
import { JOURNAL_BLOCK_TICKS_MAX, MIB } from '../src/limits.ts'
import { TickBatch } from '../src/tick/batch.ts'
import { writeInteger, writeSplit } from '../src/tick/fixed-point.ts'
import { KIND, SIDE, TICK_WORDS, WORD } from '../src/tick/layout.ts'
import { commandLine, refuse } from './command-line.ts'

const SEGMENT_BYTES = 128 * MIB
const SYNC_EVERY_BLOCKS = 16
const START_S = 1_700_000_000

const USAGE = 'node scripts/make-journal.ts DIR [--gb 10] [--real]\n'
const { values, positionals } = commandLine(
  USAGE,
  {
    gb: { type: 'string', default: '10' },
    real: { type: 'boolean', default: false },
  },
  { allowPositionals: true },
)
const state = positionals[0] ?? refuse('which directory?', USAGE)

const blocksPerSegment = Math.floor(
  (SEGMENT_BYTES - SEGMENT_HEADER_BYTES - BLOCK_HEADER_BYTES) / blockBytes(JOURNAL_BLOCK_TICKS_MAX),
)
const ticksPerSegment = blocksPerSegment * JOURNAL_BLOCK_TICKS_MAX
const segmentCount = Math.ceil((Number(values.gb) * 1e9) / SEGMENT_BYTES)
const directory = shardDirectory(state, 0)
mkdirSync(directory, { recursive: true })
const { epoch, identity } = openJournal(directory, 0)
const name = { id: 1, venue: 'test', symbol: 'BTC-USD', venue_symbol: 'BTCUSD' }
writeFileSync(join(dirname(dirname(directory)), 'instruments.jsonl'), `${JSON.stringify(name)}\n`)

const hollow = values.real ? 0 : Math.max(0, segmentCount - 2)
for (let index = 0; index < hollow; index++) makeHollow(index * ticksPerSegment)
makeReal(hollow * ticksPerSegment, segmentCount * ticksPerSegment - JOURNAL_BLOCK_TICKS_MAX)

/** A closed segment with nothing between its ends. */
function makeHollow(firstSeq: number): void {
  const fd = openSync(segmentPath(directory, firstSeq), 'wx')
  const nowNs = BigInt(START_S) * 1_000_000_000n
  const header = { shard: 0, epoch, firstSeq, createdNs: nowNs, ...identity }
  writeSync(fd, encodeSegmentHeader(header), 0, SEGMENT_HEADER_BYTES, 0)
  const sealOffset = SEGMENT_HEADER_BYTES + blocksPerSegment * blockBytes(JOURNAL_BLOCK_TICKS_MAX)
  const endSeq = firstSeq + ticksPerSegment
  const seal = new HeaderBuffer(BLOCK_HEADER_BYTES)
  const block = { ...newBlockHeader(), firstSeq: endSeq, durableSeq: endSeq, epoch }
  encodeBlockHeader(seal, block, nowNs)
  ftruncateSync(fd, sealOffset)
  writeSync(fd, seal.bytes, 0, BLOCK_HEADER_BYTES, sealOffset)
  closeSync(fd)
}

/** Trades, in full blocks, up to the kill. */
function makeReal(firstSeq: number, endSeq: number): void {
  const writer = new JournalWriter({
    directory,
    shard: 0,
    epoch,
    identity,
    nextSeq: firstSeq,
    segmentBytes: SEGMENT_BYTES,
    clock: new SystemClock(),
    onSealed: () => {},
  })
  const batch = new TickBatch(JOURNAL_BLOCK_TICKS_MAX)
  for (let block = 0; writer.nextSeq < endSeq; block++) {
    for (let i = 0; i < JOURNAL_BLOCK_TICKS_MAX; i++) putTrade(batch, i, writer.nextSeq + i)
    writer.append(batch.bytes, 0, JOURNAL_BLOCK_TICKS_MAX)
    if (block % SYNC_EVERY_BLOCKS === 0) writer.sync()
  }
  writer.sync()
  writer.abandon()
}

function putTrade(batch: TickBatch, index: number, seq: number): void {
  batch.clear(index)
  batch.setInstrument(index, 1)
  batch.setKindSide(index, KIND.trade, SIDE.buy)
  const at = index * TICK_WORDS
  const second = START_S + Math.floor(seq / 1e6)
  writeSplit(batch.words, at + WORD.ts_event, false, second, (seq % 1e6) * 1000)
  writeSplit(batch.words, at + WORD.ts_recv, false, second, (seq % 1e6) * 1000)
  writeInteger(batch.words, at + WORD.p0, 1e9 + seq)
  writeInteger(batch.words, at + WORD.p1, 1e8)
  writeInteger(batch.words, at + WORD.p2, seq)
}

const bytes = segmentCount * SEGMENT_BYTES
process.stdout.write(`${segmentCount} segments, ${(bytes / 1e9).toFixed(1)} GB, in ${directory}\n`)
