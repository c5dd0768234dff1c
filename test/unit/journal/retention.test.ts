import { unlinkSync } from 'node:fs'
import t from 'tap'
import { removableCount, removeOldest } from '../../../src/journal/retention.ts'
import { listSegments, type SegmentInfo, segmentPath } from '../../../src/journal/segment-files.ts'
import { SharedSeq } from '../../../src/ring/shared-seq.ts'
import { emptyShard, readAll, TestWriter } from './journal-fixture.ts'

/** Five closed segments of 100 records and 1000 bytes, closed at 0, 1000, … ms. */
const segments: SegmentInfo[] = [0, 1, 2, 3, 4].map((i) => ({
  firstSeq: i * 100,
  endSeq: (i + 1) * 100,
  epoch: 1,
  journalId: 1n,
  startId: 1n,
  markCount: 0,
  sizeBytes: 1000,
  closedMs: i * 1000,
}))

const keepAll = {
  storedSeq: 1000,
  durableSeq: 1000,
  retainMs: 1e9,
  retainBytes: 1e9,
  nowMs: 10_000,
  openBytes: 500,
}

t.test('what is neither old nor too much stays', async (t) => {
  t.equal(removableCount(segments, keepAll), 0)
  t.equal(removableCount([], keepAll), 0)
})

t.test('segments older than retain_ms go', async (t) => {
  t.equal(removableCount(segments, { ...keepAll, retainMs: 8999 }), 2)
  t.equal(removableCount(segments, { ...keepAll, retainMs: 9000 }), 1)
})

t.test('the oldest go until all together are within retain_bytes', async (t) => {
  t.equal(removableCount(segments, { ...keepAll, retainBytes: 5500 }), 0)
  t.equal(removableCount(segments, { ...keepAll, retainBytes: 5499 }), 1)
  t.equal(removableCount(segments, { ...keepAll, retainBytes: 2600 }), 3)
})

t.test('what the stores have not read stays, whatever the budget', async (t) => {
  const rules = { ...keepAll, retainMs: 0, retainBytes: 0 }
  t.equal(removableCount(segments, { ...rules, storedSeq: 0 }), 0)
  t.equal(removableCount(segments, { ...rules, storedSeq: 99 }), 0)
  t.equal(removableCount(segments, { ...rules, storedSeq: 100 }), 1)
  t.equal(removableCount(segments, { ...rules, storedSeq: 299 }), 2)
})

t.test('the newest closed segment always stays: it says which sequence comes next', async (t) => {
  t.equal(removableCount(segments, { ...keepAll, retainMs: 0, retainBytes: 0 }), 4)
})

t.test('a segment that a restart may cut off holds nobody’s place', async (t) => {
  const rules = { ...keepAll, retainMs: 0, retainBytes: 0 }
  t.equal(removableCount(segments, { ...rules, durableSeq: 500 }), 4)
  t.equal(removableCount(segments, { ...rules, durableSeq: 499 }), 3)
  t.equal(removableCount(segments, { ...rules, durableSeq: 200 }), 1)
  t.equal(removableCount(segments, { ...rules, durableSeq: 100 }), 0)
})

t.test('removal moves the oldest position and leaves the rest readable', async (t) => {
  const directory = emptyShard(t)
  const { writer, sealed, append } = new TestWriter({ directory, segmentBytes: 65_536 })
  while (sealed.length < 3) append(100)
  writer.close()
  const oldest = new SharedSeq(new SharedArrayBuffer(SharedSeq.bytes(1)), 0)
  const [first, second] = sealed
  removeOldest(directory, first!, oldest)
  t.equal(oldest.load(), second!.firstSeq)
  t.equal(listSegments(directory)[0], second!.firstSeq)
  t.equal(readAll(directory, oldest.load(), writer.nextSeq).wrong, 0)
  unlinkSync(segmentPath(directory, second!.firstSeq))
  t.throws(() => removeOldest(directory, second!, oldest), { code: 'JOURNAL_IO' })
})
