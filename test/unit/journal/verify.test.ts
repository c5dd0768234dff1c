import { readFileSync, truncateSync, unlinkSync, writeFileSync } from 'node:fs'
import t from 'tap'
import { type SegmentInfo, segmentPath } from '../../../src/journal/segment-files.ts'
import { statJournal } from '../../../src/journal/stat.ts'
import { verifyJournal } from '../../../src/journal/verify.ts'
import { emptyShard, TestWriter } from './journal-fixture.ts'

const HUNDRED_BYTES = 64 * 101

/** Blocks of a hundred in segments of a thousand; five are sealed, the sixth is open. */
function sixSegments(directory: string): { sealed: SegmentInfo[]; nextSeq: number } {
  const segmentBytes = 64 + 10 * HUNDRED_BYTES + 64
  const { writer, sealed, commit } = new TestWriter({ directory, segmentBytes })
  while (writer.nextSeq < 5500) commit(100)
  writer.abandon()
  return { sealed, nextSeq: 5500 }
}

function overwrite(path: string, offset: number, bytes: Uint8Array): void {
  const file = readFileSync(path)
  file.set(bytes, offset)
  writeFileSync(path, file)
}

t.test('a whole journal has no faults, and its numbers are right', async (t) => {
  const directory = emptyShard(t)
  sixSegments(directory)
  t.same(verifyJournal(directory), {
    segmentCount: 6,
    blockCount: 55,
    recordCount: 5500,
    firstSeq: 0,
    nextSeq: 5500,
    faults: [],
    faultsUnlisted: 0,
    tailBytes: 0,
  })
  t.match(statJournal(directory), {
    segmentCount: 6,
    recordCount: 5500,
    firstSeq: 0,
    nextSeq: 5500,
    epochs: [{ epoch: 1, firstSeq: 0, nextSeq: 5500 }],
    isSealed: false,
  })
})

t.test('an empty journal is whole', async (t) => {
  const directory = emptyShard(t)
  t.match(verifyJournal(directory), { segmentCount: 0, faults: [], nextSeq: 0 })
  t.match(statJournal(directory), { segmentCount: 0, recordCount: 0, epochs: [] })
})

t.test('a damaged tick costs its block and no more', async (t) => {
  const directory = emptyShard(t)
  sixSegments(directory)
  const path = segmentPath(directory, 2000)
  overwrite(path, 64 + 3 * HUNDRED_BYTES + 1000, Buffer.of(0xff, 0xee))
  const report = verifyJournal(directory)
  t.match(report.faults, [
    { file: path, offset: 64 + 3 * HUNDRED_BYTES, sizeBytes: HUNDRED_BYTES, fromSeq: 2300 },
  ])
  t.equal(report.faults[0]?.toSeq, 2400)
  t.equal(report.recordCount, 5400)
})

t.test('several damages are all found, headers too, across segments', async (t) => {
  const directory = emptyShard(t)
  sixSegments(directory)
  const garbage = Buffer.alloc(16, 0xa5)
  overwrite(segmentPath(directory, 0), 64 + 0 * HUNDRED_BYTES, garbage)
  overwrite(segmentPath(directory, 1000), 64 + 4 * HUNDRED_BYTES, Buffer.alloc(7000))
  overwrite(segmentPath(directory, 3000), 64 + 9 * HUNDRED_BYTES, garbage)
  overwrite(segmentPath(directory, 5000), 64 + 1 * HUNDRED_BYTES + 80, garbage)
  const ranges = verifyJournal(directory).faults.map(({ fromSeq, toSeq }) => [fromSeq, toSeq])
  t.same(ranges, [
    [0, 100],
    [1400, 1600],
    [3900, 4000],
    [5100, 5200],
  ])
})

t.test('an unreadable segment header costs the segment', async (t) => {
  const directory = emptyShard(t)
  sixSegments(directory)
  overwrite(segmentPath(directory, 3000), 10, Buffer.of(9))
  const report = verifyJournal(directory)
  t.match(report.faults, [{ offset: 0, fromSeq: 3000, toSeq: 4000, what: 'header' }])
  t.throws(() => statJournal(directory), { code: 'JOURNAL_CORRUPT' })
})

t.test('a segment that is missing, or cut short, is reported with its records', async (t) => {
  const directory = emptyShard(t)
  const { sealed } = sixSegments(directory)
  unlinkSync(segmentPath(directory, 1000))
  truncateSync(segmentPath(directory, 3000), 64 + 4 * HUNDRED_BYTES)
  truncateSync(segmentPath(directory, 4000), 64 + 7 * HUNDRED_BYTES + 700)
  const faults = verifyJournal(directory).faults.map(({ fromSeq, toSeq, what }) => ({
    fromSeq,
    toSeq,
    what,
  }))
  t.match(faults, [
    { fromSeq: 1000, toSeq: 2000, what: 'segments are missing' },
    { fromSeq: 3400, toSeq: 4000, what: 'no seal' },
    { fromSeq: 4700, toSeq: 4800, what: 'ends within' },
    { fromSeq: 4800, toSeq: 5000, what: 'no seal' },
  ])
  t.equal(faults.length, 4)
  t.equal(sealed.length, 5)
})

t.test('a seal alone that is gone is a fault of no record', async (t) => {
  const directory = emptyShard(t)
  const { sealed } = sixSegments(directory)
  truncateSync(segmentPath(directory, 1000), sealed[1]!.sizeBytes - 64)
  const { faults, recordCount } = verifyJournal(directory)
  t.match(faults, [{ fromSeq: 2000, toSeq: 2000, what: 'no seal' }])
  t.equal(recordCount, 5500)
})

t.test('a half-written end of the open segment is no fault', async (t) => {
  const directory = emptyShard(t)
  sixSegments(directory)
  truncateSync(segmentPath(directory, 5000), 64 + 4 * HUNDRED_BYTES + 130)
  t.match(verifyJournal(directory), { faults: [], tailBytes: 130, nextSeq: 5400 })
})

t.test('progress reaches the end', async (t) => {
  const directory = emptyShard(t)
  sixSegments(directory)
  const seen: number[] = []
  let all = 0
  verifyJournal(directory, (bytesRead, bytesAll) => {
    seen.push(bytesRead)
    all = bytesAll
  })
  t.equal(seen.at(-1), all)
  t.same(
    seen,
    seen.toSorted((a, b) => a - b),
  )
})
