// Random damage to a journal at rest: whatever is done to its bytes, no reader is given a record
// that was not written, every record whose own block is untouched is read unless the start is
// refused, and nothing durable is missing without being told.

import {
  appendFileSync,
  existsSync,
  readFileSync,
  truncateSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs'
import t from 'tap'
import { TickdError } from '../../src/errors.ts'
import { realDisk } from '../../src/journal/disk.ts'
import { writePositions } from '../../src/journal/positions-file.ts'
import { recoverJournal } from '../../src/journal/recovery.ts'
import { listSegments, segmentPath } from '../../src/journal/segment-files.ts'
import { SkippingReader } from '../../src/journal/skipping-reader.ts'
import { verifyJournal } from '../../src/journal/verify.ts'
import { TickBatch } from '../../src/tick/batch.ts'
import { emptyShard, TestWriter, wrongTick } from '../unit/journal/journal-fixture.ts'

const RUNS = 80
const seed = Number(process.env.TICKD_SEED ?? Math.floor(Math.random() * 2 ** 32))
t.comment(`TICKD_SEED=${seed}`)

/** Whole numbers in [0, below), from a seed. */
function randomOf(start: number): (below: number) => number {
  let state = start >>> 0
  return (below) => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * below)
  }
}

type Random = (below: number) => number

/** A block as it was written, and where. */
interface Block {
  path: string
  start: number
  bytes: Buffer
  fromSeq: number
  toSeq: number
}

interface Journal {
  directory: string
  blocks: Block[]
  durableSeq: number
}

function build(directory: string, random: Random): Journal {
  const segmentBytes = 64 * 1024 + random(64 * 1024)
  const { writer, append } = new TestWriter({ directory, segmentBytes })
  const total = 500 + random(4000)
  while (writer.nextSeq < total) {
    append(1 + random(150))
    if (random(3) === 0) writer.sync()
  }
  const { durableSeq } = writer
  if (random(2) === 0) writer.abandon()
  else writer.close()
  const blocks = listSegments(directory).flatMap((seq) => blocksOf(segmentPath(directory, seq)))
  return { directory, blocks, durableSeq }
}

function blocksOf(path: string): Block[] {
  const file = readFileSync(path)
  const blocks: Block[] = []
  let fromSeq = Number(file.readBigUInt64LE(24))
  for (let start = 64; start < file.length; ) {
    const count = file.readUInt32LE(start + 4)
    const bytes = file.subarray(start, start + 64 * (1 + count))
    if (count > 0) blocks.push({ path, start, bytes, fromSeq, toSeq: fromSeq + count })
    fromSeq += count
    start += bytes.length
  }
  return blocks
}

/** Changes bytes of one segment. The headers of segments are left alone: see verify-damage. */
function inflict(directory: string, random: Random): void {
  const firstSeqs = listSegments(directory)
  if (firstSeqs.length === 0) return
  const path = segmentPath(directory, firstSeqs[random(firstSeqs.length)] as number)
  const file = readFileSync(path)
  if (file.length === 64) return
  const at = 64 + random(file.length - 64)
  const how = random(16)
  if (how === 0) {
    unlinkSync(path)
  } else if (how < 4) {
    truncateSync(path, at)
  } else if (how < 6) {
    appendFileSync(path, Buffer.alloc(1 + random(500), random(256)))
  } else if (how < 10) {
    const end = Math.min(file.length, at + 1 + random(9000))
    writeFileSync(path, file.fill(random(256), at, end))
  } else {
    file[at] = (file[at] as number) ^ (1 << random(8))
    writeFileSync(path, file)
  }
}

/** True when the block's bytes are not what was written, or not where. */
function isTouched({ path, start, bytes }: Block): boolean {
  if (!existsSync(path)) return true
  return !readFileSync(path)
    .subarray(start, start + bytes.length)
    .equals(bytes)
}

type Range = [from: number, to: number]

function within(seq: number, ranges: readonly Range[]): boolean {
  return ranges.some(([from, to]) => seq >= from && seq < to)
}

/** Reads all that can be read; throws for a record that was never written. */
function readOn(directory: string, fromSeq: number, endSeq: number): Range[] {
  const read: Range[] = []
  const options = { directory, shard: 0, fromSeq, durable: () => endSeq, onSkip: () => {} }
  const reader = new SkippingReader(options)
  const batch = new TickBatch(333)
  try {
    while (reader.read(batch) > 0) {
      const from = reader.seq - batch.count
      if (wrongTick(batch, from) !== -1) throw new Error(`a record from ${from} on was not written`)
      read.push([from, reader.seq])
    }
  } finally {
    reader.close()
  }
  return read
}

/** What the run was: a start, or a refusal. */
function check(journal: Journal): 'started' | 'refused' {
  const { directory, durableSeq } = journal
  const durable = journal.blocks.filter(({ toSeq }) => toSeq <= durableSeq)
  const touched = durable.filter(isTouched)
  const whole = durable.filter((block) => !touched.includes(block))
  const faults = verifyJournal(directory).faults.map(
    ({ fromSeq, toSeq }): Range => [fromSeq, toSeq],
  )
  for (const { fromSeq, toSeq } of touched) {
    for (let seq = fromSeq; seq < toSeq; seq++) {
      if (!within(seq, faults)) throw new Error(`verify does not say that ${seq} is damaged`)
    }
  }
  let nextSeq: number
  let oldestSeq: number
  try {
    ;({ nextSeq, oldestSeq } = recoverJournal(directory, 0))
  } catch (thrown) {
    if (thrown instanceof TickdError && thrown.code === 'JOURNAL_CORRUPT') return 'refused'
    throw thrown
  }
  if (nextSeq < durableSeq) throw new Error(`it ends at ${nextSeq}, ${durableSeq} were durable`)
  const read = readOn(directory, oldestSeq, nextSeq)
  for (const { fromSeq } of whole) {
    if (fromSeq >= oldestSeq && !within(fromSeq, read))
      throw new Error(`${fromSeq} is whole, and nobody can read it`)
  }
  return 'started'
}

t.test('whatever is damaged is told, and nothing else is lost', async (t) => {
  const outcomes = { started: 0, refused: 0 }
  for (let run = 0; run < RUNS; run++) {
    const random = randomOf(seed + run)
    const journal = build(emptyShard(t), random)
    writePositions(journal.directory, { durable: journal.durableSeq, stored: 0 }, realDisk)
    for (let count = 1 + random(3); count > 0; count--) {
      inflict(journal.directory, random)
    }
    try {
      outcomes[check(journal)]++
    } catch (thrown) {
      t.error(thrown, `run ${run}: TICKD_SEED=${seed + run} shows it at once`)
      return
    }
  }
  t.ok(outcomes.started > RUNS / 10, `${outcomes.started} journals were opened`)
  t.ok(outcomes.refused > RUNS / 10, `${outcomes.refused} starts were refused`)
})
