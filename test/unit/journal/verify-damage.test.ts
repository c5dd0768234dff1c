// Each kind of damage, done to a real journal: what verify says of it, what a start does, and what
// a store can still read.
//
// The journal: blocks of 100 in segments of 1000; 0 … 3999 closed, 4000 … 4299 open as a kill
// leaves it, all of it durable; a store has read 0 … 1549.

import {
  appendFileSync,
  copyFileSync,
  cpSync,
  readdirSync,
  readFileSync,
  renameSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { crc32 } from 'node:zlib'
import t from 'tap'
import { recoverJournal } from '../../../src/journal/recovery.ts'
import { listSegments, segmentPath } from '../../../src/journal/segment-files.ts'
import { SkippingReader } from '../../../src/journal/skipping-reader.ts'
import { verifyJournal } from '../../../src/journal/verify.ts'
import { TickBatch } from '../../../src/tick/batch.ts'
import { damage } from '../../support/faulty-disk.ts'
import { AgentRig } from './agent-fixture.ts'
import { emptyShard, wrongTick } from './journal-fixture.ts'

const HEADER = 64
const BLOCK = 64 * 101
const SEGMENT = HEADER + 10 * BLOCK + 64
const END = 4300
const STORED = 1550

function build(directory: string): void {
  const settings = { sync_interval_ms: 0, block_ticks: 100, segment_bytes: SEGMENT }
  const rig = new AgentRig(directory, settings)
  rig.storedSeq = STORED
  for (let n = 0; n < END / 100; n++) {
    rig.publish(100)
    rig.agent.doWork()
    rig.clock.advance(100)
  }
  // Not drained: as a kill leaves it, but for the positions, which are noted now and then.
  rig.agent.onClose()
}

const whole = emptyShard(t)
build(whole)

interface Kind {
  what: string
  inflict: (segment: (firstSeq: number) => string, directory: string) => void
  /** Of each fault: records, how many of them no store has, and what is said. */
  faults: [from: number, to: number, notStored: number, says: string][]
  /** Next sequence after recovery, or what it says in refusing. */
  start: number | string
  /** Records that a store would still get, from the beginning; -1: it is told to stop. */
  readable: number
}

const KINDS: Kind[] = [
  { what: 'nothing', inflict: () => {}, faults: [], start: END, readable: END },
  {
    what: 'a bit of a tick',
    inflict: (segment) => damage(segment(1000), 'flip', HEADER + 5 * BLOCK + 64 + 1000, 3),
    faults: [[1500, 1600, 50, 'checksum of its records']],
    start: END,
    readable: END - 100,
  },
  {
    what: 'a bit of the checksum of ticks',
    inflict: (segment) => damage(segment(1000), 'flip', HEADER + 6 * BLOCK + 56, 7),
    faults: [[1600, 1700, 100, 'header checksum']],
    start: END,
    readable: END - 100,
  },
  {
    what: 'a bit of the checksum of a block header',
    inflict: (segment) => damage(segment(0), 'flip', HEADER + 60),
    faults: [[0, 100, 0, 'header checksum']],
    start: END,
    readable: END - 100,
  },
  {
    what: 'a bit of the sequence of a block',
    inflict: (segment) => damage(segment(2000), 'flip', HEADER + 9 * BLOCK + 9),
    faults: [[2900, 3000, 100, 'header checksum']],
    start: END,
    readable: END - 100,
  },
  {
    what: 'a bit of a seal',
    inflict: (segment) => damage(segment(2000), 'flip', HEADER + 10 * BLOCK + 20),
    faults: [[3000, 3000, 0, 'header checksum']],
    start: 'no seal',
    readable: END,
  },
  {
    what: 'a bit of a segment header',
    inflict: (segment) => damage(segment(1000), 'flip', 33),
    faults: [[1000, 2000, 450, 'segment header is unusable']],
    start: 'segment header is unusable',
    readable: -1,
  },
  {
    what: 'a page of zeros',
    inflict: (segment) => {
      const bytes = readFileSync(segment(3000))
      writeFileSync(segment(3000), bytes.fill(0, 4096, 2 * 4096))
    },
    faults: [
      [3000, 3100, 100, 'checksum of its records'],
      [3100, 3200, 100, 'no magic'],
    ],
    start: END,
    readable: END - 200,
  },
  {
    what: 'a closed segment cut within a block',
    inflict: (segment) => damage(segment(2000), 'cut', HEADER + 4 * BLOCK + 100),
    faults: [
      [2400, 2500, 100, 'ends within it'],
      [2500, 3000, 500, 'cut short'],
    ],
    start: 'cut short',
    readable: END - 600,
  },
  {
    what: 'a closed segment cut between blocks',
    inflict: (segment) => damage(segment(2000), 'cut', HEADER + 4 * BLOCK),
    faults: [[2400, 3000, 600, 'cut short']],
    start: 'cut short',
    readable: END - 600,
  },
  {
    what: 'a closed segment cut to nothing',
    inflict: (segment) => damage(segment(2000), 'cut', 0),
    faults: [[2000, 3000, 1000, 'segment header is unusable']],
    start: 'segment header is unusable',
    readable: -1,
  },
  {
    what: 'the newest segment cut between blocks',
    inflict: (segment) => damage(segment(4000), 'cut', HEADER + 2 * BLOCK),
    faults: [[4200, 4300, 100, 'ends before what was durable']],
    start: 'records 4200 to 4299 were durable and are gone',
    readable: END - 100,
  },
  {
    what: 'the newest segment cut within a block',
    inflict: (segment) => damage(segment(4000), 'cut', HEADER + 2 * BLOCK + 640),
    faults: [[4200, 4300, 100, 'the file ends within it']],
    start: 'records 4200 to 4299 were durable and are gone',
    readable: END - 100,
  },
  {
    what: 'a bit in the midst of the newest segment',
    inflict: (segment) => damage(segment(4000), 'flip', HEADER + BLOCK + 300),
    faults: [[4100, 4200, 100, 'checksum of its records']],
    start: END,
    readable: END - 100,
  },
  {
    what: 'a segment missing in the middle',
    inflict: (segment) => unlinkSync(segment(1000)),
    faults: [[1000, 2000, 450, 'segments are missing before it']],
    start: 'records 1000 to 1999 are missing',
    readable: -1,
  },
  {
    what: 'the newest segment missing',
    inflict: (segment) => unlinkSync(segment(4000)),
    faults: [[4000, 4300, 300, 'ends before what was durable']],
    start: 'records 4000 to 4299 were durable and are gone',
    readable: -1,
  },
  {
    what: 'the oldest segments missing, one of them not stored',
    inflict: (segment) => {
      unlinkSync(segment(0))
      unlinkSync(segment(1000))
    },
    faults: [[1550, 2000, 450, 'no store had read']],
    start: END,
    readable: -1,
  },
  {
    what: 'all segments missing',
    inflict: (segment) => {
      for (const seq of [0, 1000, 2000, 3000, 4000]) unlinkSync(segment(seq))
    },
    faults: [[1550, 4300, 2750, 'ends before what was durable']],
    start: 'were durable and are gone',
    readable: -1,
  },
  {
    what: 'a segment that is there twice, under another name',
    inflict: (segment) => copyFileSync(segment(1000), segment(1500)),
    faults: [
      [1500, 2000, 450, 'in the segment before it too'],
      [1500, 1500, 0, 'its header says first sequence 1000'],
      [1500, 1500, 0, 'were there before'],
    ],
    start: 'says first sequence 1000',
    readable: END,
  },
  {
    what: 'a segment under another name',
    inflict: (segment) => renameSync(segment(1000), segment(1100)),
    faults: [
      [1000, 1100, 0, 'segments are missing before it'],
      [1100, 1100, 0, 'its header says first sequence 1000'],
      [1100, 1100, 0, 'were there before'],
    ],
    start: 'says first sequence 1000',
    readable: -1,
  },
  {
    what: 'a segment of another shard',
    inflict: (segment) => {
      const bytes = readFileSync(segment(2000))
      writeFileSync(
        segment(2000),
        reheaded(bytes, (view) => view.setUint32(12, 1, true)),
      )
    },
    faults: [[2000, 2000, 0, 'shard 1']],
    start: 'shard 1',
    readable: END,
  },
  {
    what: 'a segment of another journal',
    inflict: (segment) => {
      const bytes = readFileSync(segment(2000))
      writeFileSync(
        segment(2000),
        reheaded(bytes, (view) => view.setBigUint64(40, 77n, true)),
      )
    },
    faults: [[2000, 2000, 0, 'another journal']],
    start: 'another journal',
    readable: END,
  },
  {
    what: 'bytes behind a seal',
    inflict: (segment) => appendFileSync(segment(1000), Buffer.alloc(128, 7)),
    faults: [[2000, 2000, 0, 'bytes follow the seal']],
    start: 'no seal',
    readable: END,
  },
  {
    what: 'an epoch file that is damaged',
    inflict: (_, directory) => writeFileSync(join(directory, 'epoch.json'), '{"epo'),
    faults: [[4300, 4300, 0, 'epoch.json']],
    start: END,
    readable: END,
  },
  {
    what: 'an epoch file of an earlier time',
    inflict: (_, directory) => writeFileSync(join(directory, 'epoch.json'), '{"epoch":0}'),
    faults: [[4300, 4300, 0, 'epoch.json']],
    start: END,
    readable: END,
  },
]

/** Segment bytes whose header says something else, and is whole. */
function reheaded(bytes: Buffer, change: (view: DataView) => void): Buffer {
  change(new DataView(bytes.buffer, bytes.byteOffset, bytes.length))
  bytes.writeUInt32LE(crc32(bytes.subarray(0, 60)), 60)
  return bytes
}

for (const { what, inflict, faults, start, readable } of KINDS) {
  t.test(`damage: ${what}`, async (t) => {
    const directory = emptyShard(t)
    cpSync(whole, directory, { recursive: true })
    inflict((firstSeq) => segmentPath(directory, firstSeq), directory)
    const before = contents(directory)
    const report = verifyJournal(directory)
    t.same(
      report.faults.map(({ fromSeq, toSeq }) => [fromSeq, toSeq, notStored(fromSeq, toSeq)]),
      faults.map(([from, to, missing]) => [from, to, missing]),
    )
    for (const [index, [, , , says]] of faults.entries()) {
      t.match(report.faults[index]?.what, says)
    }
    t.same(contents(directory), before, 'verify changes nothing')
    t.equal(readableCount(directory), readable, 'what a store gets')
    if (typeof start === 'number') {
      t.equal(recoverJournal(directory, 0).nextSeq, start)
      return
    }
    t.throws(() => recoverJournal(directory, 0), { code: 'JOURNAL_CORRUPT', message: start })
    t.same(listSegments(directory).length, segmentsOf(before), 'a refused start removes nothing')
  })
}

t.test('verify says when the damaged records were written', async (t) => {
  const directory = emptyShard(t)
  cpSync(whole, directory, { recursive: true })
  damage(segmentPath(directory, 2000), 'flip', HEADER + 5 * BLOCK + 500)
  unlinkSync(segmentPath(directory, 3000))
  // A block each 100 ms.
  const [tick, segment] = verifyJournal(directory).faults
  const startNs = 1_700_000_000_000_000_000n
  t.equal(tick?.afterNs, startNs + 24n * 100_000_000n)
  t.equal(tick?.beforeNs, startNs + 26n * 100_000_000n)
  t.ok((segment?.afterNs ?? 0n) <= startNs + 30n * 100_000_000n)
  t.equal(segment?.beforeNs, startNs + 40n * 100_000_000n)
})

function notStored(fromSeq: number, toSeq: number): number {
  return Math.max(0, toSeq - Math.max(fromSeq, STORED))
}

function contents(directory: string): Record<string, string> {
  return Object.fromEntries(
    readdirSync(directory).map((name) => [name, readFileSync(join(directory, name), 'latin1')]),
  )
}

function segmentsOf(files: Record<string, string>): number {
  return Object.keys(files).filter((name) => name.endsWith('.seg')).length
}

function readableCount(directory: string): number {
  let count = 0
  const batch = new TickBatch(700)
  const options = { directory, shard: 0, fromSeq: 0, durable: () => END, onSkip: () => {} }
  const reader = new SkippingReader(options)
  try {
    while (reader.read(batch) > 0) {
      if (wrongTick(batch, reader.seq - batch.count) !== -1) throw new Error('a wrong record')
      count += batch.count
    }
    return count
  } catch (thrown) {
    if ((thrown as { code?: string }).code !== 'JOURNAL_CORRUPT') throw thrown
    return -1
  } finally {
    reader.close()
  }
}
