import {
  appendFileSync,
  readFileSync,
  renameSync,
  statSync,
  truncateSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { realDisk } from '../../../src/journal/disk.ts'
import { writePositions } from '../../../src/journal/positions-file.ts'
import { openJournal, recoverJournal } from '../../../src/journal/recovery.ts'
import { listSegments, segmentPath } from '../../../src/journal/segment-files.ts'
import { verifyJournal } from '../../../src/journal/verify.ts'
import { emptyShard, readAll, TestWriter } from './journal-fixture.ts'

const SMALL_SEGMENT_BYTES = 64 * 1024
/** Of a block of ten ticks. */
const TEN_BYTES = 64 * 11

/** A journal of three blocks of ten in one segment without a seal, each fsynced, as by a crash. */
function crashed(directory: string): string {
  const { writer, commit } = new TestWriter({ directory })
  for (let i = 0; i < 3; i++) commit(10)
  writer.abandon()
  return segmentPath(directory, 0)
}

function flipBit(path: string, offset: number): void {
  const file = readFileSync(path)
  file[offset] = (file[offset] as number) ^ 4
  writeFileSync(path, file)
}

t.test('a journal that is not there is made, empty, in its first epoch', async (t) => {
  const directory = join(emptyShard(t), '..', 'shard-1')
  t.match(openJournal(directory, 1), { nextSeq: 0, epoch: 1, oldestSeq: 0, truncatedBytes: 0 })
  t.same(listSegments(directory), [])
})

t.test(
  'each opening is an epoch of its own, whether records were written in it or not',
  async (t) => {
    const directory = emptyShard(t)
    for (const epoch of [1, 2, 3]) t.equal(openJournal(directory, 0).epoch, epoch)
    const { writer, commit } = new TestWriter({ directory, epoch: 3 })
    commit(10)
    writer.close()
    t.match(openJournal(directory, 0), { nextSeq: 10, epoch: 4, oldestSeq: 0, truncatedBytes: 0 })
    t.equal(openJournal(directory, 0).epoch, 5)
  },
)

t.test('an epoch file that cannot be right stops the start', async (t) => {
  const directory = emptyShard(t)
  openJournal(directory, 0)
  const { writer, commit } = new TestWriter({ directory, epoch: 7 })
  commit(1)
  writer.close()
  const path = join(directory, 'epoch.json')
  for (const text of ['{"epoch":6}', '{"epoch":', '{"epoch":-1}', '[]', 'null', '']) {
    writeFileSync(path, text)
    t.throws(() => openJournal(directory, 0), { code: 'JOURNAL_CORRUPT' }, text)
  }
  unlinkSync(path)
  t.throws(() => openJournal(directory, 0), { code: 'JOURNAL_CORRUPT', message: 'is missing' })
  writeFileSync(path, '{"epoch":7}')
  t.equal(openJournal(directory, 0).epoch, 8)
})

t.test('what a killed daemon had written is sealed and counts', async (t) => {
  const directory = emptyShard(t)
  const path = crashed(directory)
  const recovered = recoverJournal(directory, 0)
  t.match(recovered, { nextSeq: 30, oldestSeq: 0, lastEpoch: 1, truncatedBytes: 0 })
  t.equal(statSync(path).size, 64 + 3 * TEN_BYTES + 64)
  t.same(recovered.segments, recoverJournal(directory, 0).segments, 'and once is enough')
  t.equal(readAll(directory, 0, 30).wrong, 0)
})

t.test('a torn tail of any length is cut off to the last whole block', async (t) => {
  const directory = emptyShard(t)
  const whole = readFileSync(crashed(directory))
  const path = segmentPath(directory, 0)
  for (let size = 64; size < whole.length; size += 37) {
    writeFileSync(path, whole.subarray(0, size))
    const blocks = Math.floor((size - 64) / TEN_BYTES)
    const recovered = recoverJournal(directory, 0)
    t.equal(recovered.nextSeq, blocks * 10, `${size} bytes`)
    t.equal(recovered.truncatedBytes, size - 64 - blocks * TEN_BYTES)
    t.same(listSegments(directory), blocks === 0 ? [] : [0])
  }
})

t.test('a tail of zeroes or of garbage is a torn tail', async (t) => {
  const directory = emptyShard(t)
  for (const byte of [0, 0x5a]) {
    const path = crashed(directory)
    appendFileSync(path, Buffer.alloc(10_000, byte))
    t.match(recoverJournal(directory, 0), { nextSeq: 30, truncatedBytes: 10_000 })
    unlinkSync(path)
  }
})

t.test('blocks that reached the disk out of order, never fsynced, are a torn tail', async (t) => {
  const directory = emptyShard(t)
  const { writer, append, commit } = new TestWriter({ directory })
  commit(10)
  append(10)
  append(10)
  writer.abandon()
  const path = segmentPath(directory, 0)
  flipBit(path, 64 + TEN_BYTES + 200)
  t.match(recoverJournal(directory, 0), { nextSeq: 10, truncatedBytes: 2 * TEN_BYTES })
})

t.test('a damaged block before records that were durable stays, and is told', async (t) => {
  for (const offset of [64 + 20, 64 + 200, 64 + TEN_BYTES + 4, 64 + TEN_BYTES + 300]) {
    const directory = emptyShard(t)
    const path = crashed(directory)
    flipBit(path, offset)
    const fromSeq = offset < 64 + TEN_BYTES ? 0 : 10
    const { nextSeq, truncatedBytes, damage } = recoverJournal(directory, 0)
    t.match([nextSeq, truncatedBytes], [30, 0], 'what is behind it counts')
    t.match(damage, [{ file: path, fromSeq, toSeq: fromSeq + 10 }])
    t.equal(statSync(path).size, 64 + 3 * TEN_BYTES + 64, 'it was sealed as it is')
    t.match(verifyJournal(directory).faults, [{ fromSeq, toSeq: fromSeq + 10 }])
  }
})

t.test('a journal that ends before what is known to be durable is an error', async (t) => {
  for (const sizeBytes of [0, 64, 64 + TEN_BYTES, 64 + 3 * TEN_BYTES - 1]) {
    const directory = emptyShard(t)
    const path = crashed(directory)
    writePositions(directory, { durable: 30, stored: 10 }, realDisk)
    truncateSync(path, sizeBytes)
    t.throws(() => recoverJournal(directory, 0), {
      code: 'JOURNAL_CORRUPT',
      message: 'to 29 were durable and are gone',
    })
    t.equal(statSync(path).size, sizeBytes, 'and the file was left alone')
    unlinkSync(join(directory, 'positions.json'))
    const whole = sizeBytes < 64 + TEN_BYTES ? 0 : sizeBytes === 64 + TEN_BYTES ? 10 : 20
    t.equal(recoverJournal(directory, 0).nextSeq, whole, 'the loss was accepted')
  }
})

t.test('a positions file that is not whole says nothing', async (t) => {
  for (const text of ['', '{"durable":50', '{"durable":-1,"stored":0}', '[]', 'null', '{}']) {
    const directory = emptyShard(t)
    crashed(directory)
    writeFileSync(join(directory, 'positions.json'), text)
    t.equal(recoverJournal(directory, 0).nextSeq, 30)
  }
})

t.test('a creation that was cut short is removed', async (t) => {
  const directory = emptyShard(t)
  crashed(directory)
  recoverJournal(directory, 0)
  for (const size of [0, 10, 64]) {
    const path = segmentPath(directory, 30)
    writeFileSync(path, Buffer.alloc(size))
    t.match(recoverJournal(directory, 0), { nextSeq: 30, truncatedBytes: size })
    t.same(listSegments(directory), [0])
  }
})

t.test('a header damaged above records is an error', async (t) => {
  const directory = emptyShard(t)
  flipBit(crashed(directory), 20)
  t.throws(() => recoverJournal(directory, 0), { code: 'JOURNAL_CORRUPT', message: 'checksum' })
})

t.test('a segment of another shard, or under another name, is refused', async (t) => {
  const directory = emptyShard(t)
  const path = crashed(directory)
  t.throws(() => recoverJournal(directory, 4), { code: 'JOURNAL_CORRUPT', message: 'shard 0' })
  renameSync(path, segmentPath(directory, 7))
  t.throws(() => recoverJournal(directory, 0), { code: 'JOURNAL_CORRUPT', message: 'sequence 0' })
})

t.test('segments must follow each other', async (t) => {
  const directory = emptyShard(t)
  const { writer, sealed, append } = new TestWriter({
    directory,
    segmentBytes: SMALL_SEGMENT_BYTES,
  })
  while (sealed.length < 4) append(100)
  writer.close()
  const [, second, third] = sealed
  const path = segmentPath(directory, second!.firstSeq)
  const away = join(directory, 'away')

  renameSync(path, away)
  t.throws(() => recoverJournal(directory, 0), {
    code: 'JOURNAL_CORRUPT',
    message: `records ${second!.firstSeq} to ${third!.firstSeq - 1} are missing`,
  })
  renameSync(away, path)
  t.equal(recoverJournal(directory, 0).nextSeq, writer.nextSeq, 'with it back all is well')

  truncateSync(path, second!.sizeBytes - 64 * 101)
  t.throws(() => recoverJournal(directory, 0), { code: 'JOURNAL_CORRUPT', message: 'no seal' })
})

t.test('a restarting agent cuts back to what was durable, sealed or not', async (t) => {
  const directory = emptyShard(t)
  crashed(directory)
  t.match(recoverJournal(directory, 0, { endSeq: 20, epoch: 1 }), {
    nextSeq: 20,
    truncatedBytes: TEN_BYTES,
  })
  t.match(recoverJournal(directory, 0, { endSeq: 20, epoch: 1 }), {
    nextSeq: 20,
    truncatedBytes: 0,
  })
  t.match(recoverJournal(directory, 0, { endSeq: 10, epoch: 1 }), {
    nextSeq: 10,
    truncatedBytes: TEN_BYTES + 64,
  })
  t.same(readAll(directory, 0, 10), { count: 10, epochs: [1], wrong: 0 })
  t.match(recoverJournal(directory, 0, { endSeq: 0, epoch: 1 }), { nextSeq: 0, segments: [] })
  t.same(listSegments(directory), [])
})

t.test(
  'a restarting agent cuts back to what was durable, though the end of that is damaged',
  async (t) => {
    for (const offset of [64 + TEN_BYTES + 200, 64 + TEN_BYTES + 8]) {
      const directory = emptyShard(t)
      const path = crashed(directory)
      flipBit(path, offset)
      const { nextSeq, truncatedBytes, damage } = recoverJournal(directory, 0, {
        endSeq: 20,
        epoch: 1,
      })
      t.same({ nextSeq, truncatedBytes }, { nextSeq: 20, truncatedBytes: TEN_BYTES })
      t.match(damage, [{ file: path, fromSeq: 10, toSeq: 20 }])
      t.equal(recoverJournal(directory, 0).nextSeq, 20, 'and it stays so')
    }
  },
)

t.test('a restarting agent never cuts what another start has written', async (t) => {
  const directory = emptyShard(t)
  const path = crashed(directory)
  for (const endSeq of [0, 10]) {
    t.throws(() => recoverJournal(directory, 0, { endSeq, epoch: 2 }), {
      code: 'JOURNAL_CORRUPT',
      message: 'another daemon',
    })
  }
  t.equal(statSync(path).size, 64 + 3 * TEN_BYTES)
})

t.test('a restarting agent that misses durable records says so and cuts nothing', async (t) => {
  const directory = emptyShard(t)
  const path = crashed(directory)
  truncateSync(path, 64 + 2 * TEN_BYTES + 100)
  t.throws(() => recoverJournal(directory, 0, { endSeq: 30, epoch: 1 }), {
    code: 'JOURNAL_CORRUPT',
    message: 'records 20 to 29 were durable and are gone',
  })
  t.equal(statSync(path).size, 64 + 2 * TEN_BYTES + 100)
})
