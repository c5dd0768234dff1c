import { readdirSync, readFileSync, renameSync, statSync, unlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { JournalReader } from '../../../src/journal/reader.ts'
import { listSegments, segmentName, segmentPath } from '../../../src/journal/segment-files.ts'
import { JOURNAL_BLOCK_TICKS_MAX } from '../../../src/limits.ts'
import { TickBatch } from '../../../src/tick/batch.ts'
import { TICK_BYTES } from '../../../src/tick/layout.ts'
import { emptyShard, putTicks, readAll, TestWriter, wrongTick } from './journal-fixture.ts'

t.test('what is appended is read back, whatever the sizes of blocks and batches', async (t) => {
  const directory = emptyShard(t)
  const { writer, append } = new TestWriter({ directory, segmentBytes: 2 ** 26 })
  for (const count of [1, 4096, 2, 1000, 4096, 4096, 4096, 4096, 7]) append(count)
  writer.close()
  for (const capacity of [1, 7, 4096, 50_000]) {
    const { count, wrong, epochs } = readAll(directory, 0, writer.nextSeq, capacity)
    t.same({ count, wrong, epochs }, { count: writer.nextSeq, wrong: 0, epochs: [1] })
  }
})

t.test('records stay aligned to 64 bytes in the file', async (t) => {
  const directory = emptyShard(t)
  const { writer, append } = new TestWriter({ directory })
  append(3)
  append(2)
  writer.close()
  const file = readFileSync(segmentPath(directory, 0))
  t.equal(file.length, 64 * (1 + 1 + 3 + 1 + 2 + 1), 'segment header, two blocks, seal')
  const ticks = new Uint8Array(3 * TICK_BYTES)
  putTicks(ticks, 0, 0, 3)
  t.ok(file.subarray(128, 128 + 3 * TICK_BYTES).equals(ticks))
})

t.test('ticks are taken from shared memory, at the offset given', async (t) => {
  const directory = emptyShard(t)
  const { writer } = new TestWriter({ directory })
  const shared = new Uint8Array(new SharedArrayBuffer(100 * TICK_BYTES))
  putTicks(shared, 40, 0, 60)
  writer.append(shared, 40 * TICK_BYTES, 60)
  writer.sync()
  t.same(readAll(directory, 0, 60), { count: 60, epochs: [1], wrong: 0 })
})

t.test('a full segment is sealed and the next goes on at its end', async (t) => {
  const directory = emptyShard(t)
  const { writer, sealed, append } = new TestWriter({ directory, segmentBytes: 64 * 1024 })
  while (writer.nextSeq < 5000) append(100)
  t.equal(writer.durableSeq, sealed.at(-1)?.endSeq, 'rolling made the old segment durable')
  writer.close()
  const firstSeqs = listSegments(directory)
  t.ok(firstSeqs.length > 4)
  t.same(
    sealed.map(({ firstSeq }) => firstSeq),
    firstSeqs,
  )
  for (const { firstSeq, sizeBytes } of sealed) {
    t.equal(statSync(segmentPath(directory, firstSeq)).size, sizeBytes)
    t.ok(sizeBytes <= 64 * 1024)
  }
  for (const fromSeq of [0, 1, firstSeqs[1]! - 1, firstSeqs[1]!, firstSeqs[1]! + 1, 4999, 5000]) {
    const { count, wrong } = readAll(directory, fromSeq, 5000, 333)
    t.same({ count, wrong }, { count: 5000 - fromSeq, wrong: 0 }, `from ${fromSeq}`)
  }
})

t.test('a block larger than a segment still gets a segment of its own', async (t) => {
  const directory = emptyShard(t)
  const { writer, append } = new TestWriter({ directory, segmentBytes: 64 * 1024 })
  append(JOURNAL_BLOCK_TICKS_MAX)
  append(JOURNAL_BLOCK_TICKS_MAX)
  writer.close()
  t.same(listSegments(directory), [0, JOURNAL_BLOCK_TICKS_MAX])
  t.equal(readAll(directory, 0, writer.nextSeq).wrong, 0)
})

t.test('a batch never holds records of two epochs', async (t) => {
  const directory = emptyShard(t)
  let nextSeq = 0
  for (const epoch of [1, 2, 5]) {
    const { writer, append } = new TestWriter({ directory, nextSeq, epoch })
    append(10)
    writer.close()
    nextSeq = writer.nextSeq
  }
  const reader = new JournalReader({ directory, fromSeq: 5, durable: () => 30 })
  const batch = new TickBatch(100)
  const seen: [number, number][] = []
  while (reader.read(batch) > 0) seen.push([reader.epoch, batch.count])
  reader.close()
  t.same(seen, [
    [1, 5],
    [2, 10],
    [5, 10],
  ])
})

t.test('a reader stops at the durable position and goes on when it moves', async (t) => {
  const directory = emptyShard(t)
  const { writer, append, commit } = new TestWriter({ directory, segmentBytes: 64 * 1024 })
  const reader = new JournalReader({ directory, fromSeq: 0, durable: () => writer.durableSeq })
  const batch = new TickBatch(4096)
  t.equal(reader.read(batch), 0, 'no segment yet')
  append(10)
  t.equal(reader.read(batch), 0, 'appended is not durable')
  writer.sync()
  t.equal(reader.read(batch), 10)
  t.equal(reader.read(batch), 0)
  append(5)
  t.equal(reader.read(batch), 0)
  let seq = 10
  // Across several segments, a block at a time.
  for (let round = 0; round < 100; round++) {
    commit(50)
    t.equal(reader.read(batch), writer.nextSeq - seq)
    t.equal(wrongTick(batch, seq), -1)
    seq = reader.seq
  }
  t.equal(seq, 5015)
  reader.close()
})

t.test('a reader hands out the durable part of a block only', async (t) => {
  const directory = emptyShard(t)
  new TestWriter({ directory }).commit(100)
  let durable = 30
  const reader = new JournalReader({ directory, fromSeq: 0, durable: () => durable })
  const batch = new TickBatch(1000)
  t.equal(reader.read(batch), 30)
  durable = 100
  t.equal(reader.read(batch), 70)
  t.equal(wrongTick(batch, 30), -1)
  reader.close()
})

t.test('what lay behind the durable position is read anew once it is durable', async (t) => {
  const directory = emptyShard(t)
  const { writer, commit } = new TestWriter({ directory })
  commit(10)
  const takenBack = new Uint8Array(10 * TICK_BYTES)
  putTicks(takenBack, 0, 10, 10, 99)
  writer.append(takenBack, 0, 10)
  let durable = 10
  const reader = new JournalReader({ directory, fromSeq: 0, durable: () => durable })
  const batch = new TickBatch(100)
  t.equal(reader.read(batch), 10, 'its read of the file went beyond')
  // As after a failed agent: the tail is cut off and written again in other blocks.
  writer.abandon()
  const path = segmentPath(directory, 0)
  const before = readFileSync(path)
  const other = emptyShard(t)
  const again = new TestWriter({ directory: other })
  again.commit(10)
  again.commit(4)
  again.commit(6)
  const after = readFileSync(segmentPath(other, 0))
  t.ok(before.subarray(0, 768).equals(after.subarray(0, 768)), 'the durable part is the same')
  writeFileSync(path, after)
  durable = 20
  t.equal(reader.read(batch), 10)
  t.equal(wrongTick(batch, 10), -1)
  reader.close()
})

t.test('what retention has removed is named exactly', async (t) => {
  const directory = emptyShard(t)
  const { writer, sealed, append } = new TestWriter({ directory, segmentBytes: 64 * 1024 })
  while (writer.nextSeq < 5000) append(100)
  writer.close()
  const [first, second, third] = sealed
  unlinkSync(segmentPath(directory, 0))
  t.throws(() => readAll(directory, 17, 5000), {
    code: 'JOURNAL_CORRUPT',
    message: `records 17 to ${first!.endSeq - 1} are missing`,
  })
  renameSync(segmentPath(directory, third!.firstSeq), join(directory, 'away'))
  t.throws(() => readAll(directory, second!.firstSeq, 5000), {
    code: 'JOURNAL_CORRUPT',
    message: `records ${third!.firstSeq} to ${third!.endSeq - 1} are missing`,
  })
})

t.test('a position beyond the journal is refused: it belongs to another journal', async (t) => {
  const directory = emptyShard(t)
  t.throws(() => new JournalReader({ directory, fromSeq: 11, durable: () => 10 }), {
    code: 'JOURNAL_CORRUPT',
    message: 'start at sequence 11, but the journal ends before 10',
  })
})

t.test('a damaged block is named with its records and none of them is handed out', async (t) => {
  const directory = emptyShard(t)
  const { writer, append } = new TestWriter({ directory })
  for (let i = 0; i < 3; i++) append(10)
  writer.close()
  const path = segmentPath(directory, 0)
  const file = readFileSync(path)
  file[64 + 11 * 64 + 64 + 5 * 64] ^= 0x10
  writeFileSync(path, file)
  const reader = new JournalReader({ directory, fromSeq: 0, durable: () => 30 })
  const batch = new TickBatch(100)
  t.equal(reader.read(batch), 10, 'what comes before it is')
  for (let again = 0; again < 3; again++) {
    t.throws(() => reader.read(batch), {
      code: 'JOURNAL_CORRUPT',
      message: /offset 768 is damaged.*records 10 to 19 are affected/,
    })
    t.equal(batch.count, 0)
  }
  reader.close()
})

t.test('a segment whose header is damaged stops the reader at its first record', async (t) => {
  const directory = emptyShard(t)
  const { writer, sealed, append } = new TestWriter({ directory, segmentBytes: 65_536 })
  while (sealed.length < 2) append(100)
  writer.close()
  const path = segmentPath(directory, sealed[1]!.firstSeq)
  const file = readFileSync(path)
  file[17] ^= 1
  writeFileSync(path, file)
  const reader = new JournalReader({ directory, fromSeq: 0, durable: () => writer.nextSeq })
  const batch = new TickBatch(5000)
  t.equal(reader.read(batch), sealed[1]!.firstSeq)
  for (let again = 0; again < 3; again++) {
    t.throws(() => reader.read(batch), { code: 'JOURNAL_CORRUPT', message: 'header is unusable' })
  }
  reader.close()
})

t.test('sequences below, at and above 2^32 read alike', async (t) => {
  const directory = emptyShard(t)
  const nextSeq = 2 ** 32 - 50
  const { writer, append } = new TestWriter({ directory, nextSeq, segmentBytes: 65536 })
  for (let i = 0; i < 20; i++) append(100)
  writer.close()
  t.ok(readdirSync(directory).includes(segmentName(nextSeq)))
  const { count, wrong } = readAll(directory, nextSeq, writer.nextSeq)
  t.same({ count, wrong }, { count: 2000, wrong: 0 })
})
