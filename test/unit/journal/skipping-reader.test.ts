import { truncateSync, unlinkSync } from 'node:fs'
import t from 'tap'
import type { Damage } from '../../../src/journal/damage.ts'
import { segmentPath } from '../../../src/journal/segment-files.ts'
import { SkippingReader } from '../../../src/journal/skipping-reader.ts'
import { TickBatch } from '../../../src/tick/batch.ts'
import { damage } from '../../support/faulty-disk.ts'
import { emptyShard, TestWriter, wrongTick } from './journal-fixture.ts'

const HUNDRED_BYTES = 64 * 101

/** Blocks of a hundred in segments of a thousand: 0 … 3000 sealed, 3000 … 3500 open. */
function written(directory: string): void {
  const segmentBytes = 64 + 10 * HUNDRED_BYTES + 64
  const { writer, commit } = new TestWriter({ directory, segmentBytes })
  while (writer.nextSeq < 3500) commit(100)
  writer.abandon()
}

interface Reading {
  /** Ranges of sequences that were read, joined where they touch. */
  read: [from: number, to: number][]
  skipped: [from: number, to: number][]
  wrong: number
}

function readOn(directory: string, fromSeq = 0, capacity = 1000): Reading {
  const seen: Damage[] = []
  const reader = new SkippingReader({
    directory,
    shard: 0,
    fromSeq,
    durable: () => 3500,
    onSkip: (one) => seen.push(one),
  })
  const batch = new TickBatch(capacity)
  const read: [number, number][] = []
  let wrong = 0
  try {
    while (reader.read(batch) > 0) {
      const from = reader.seq - batch.count
      if (wrongTick(batch, from) !== -1) wrong++
      const last = read.at(-1)
      if (last !== undefined && last[1] === from) last[1] = reader.seq
      else read.push([from, reader.seq])
    }
  } finally {
    reader.close()
  }
  return { read, skipped: seen.map(({ fromSeq: from, toSeq }) => [from, toSeq]), wrong }
}

t.test('a journal that is whole is read as it is', async (t) => {
  const directory = emptyShard(t)
  written(directory)
  t.same(readOn(directory), { read: [[0, 3500]], skipped: [], wrong: 0 })
})

t.test('damaged blocks are passed over, exactly and told, each once', async (t) => {
  for (const capacity of [30, 100, 1000, 5000]) {
    const directory = emptyShard(t)
    written(directory)
    // A tick, a header, the first block, the last before a seal, and one of the open segment.
    damage(segmentPath(directory, 0), 'flip', 64 + 3 * HUNDRED_BYTES + 1000)
    damage(segmentPath(directory, 1000), 'flip', 64 + 5 * HUNDRED_BYTES + 8)
    damage(segmentPath(directory, 2000), 'flip', 64 + 70)
    damage(segmentPath(directory, 2000), 'flip', 64 + 9 * HUNDRED_BYTES + 70)
    damage(segmentPath(directory, 3000), 'flip', 64 + 2 * HUNDRED_BYTES)
    t.same(readOn(directory, 0, capacity), {
      read: [
        [0, 300],
        [400, 1500],
        [1600, 2000],
        [2100, 2900],
        [3000, 3200],
        [3300, 3500],
      ],
      skipped: [
        [300, 400],
        [1500, 1600],
        [2000, 2100],
        [2900, 3000],
        [3200, 3300],
      ],
      wrong: 0,
    })
  }
})

t.test('a reader that begins within damage loses the rest of it only', async (t) => {
  const directory = emptyShard(t)
  written(directory)
  damage(segmentPath(directory, 1000), 'flip', 64 + 5 * HUNDRED_BYTES + 800)
  t.same(readOn(directory, 1550), { read: [[1600, 3500]], skipped: [[1550, 1600]], wrong: 0 })
})

t.test('a closed segment that was cut short costs what was cut off', async (t) => {
  for (const cut of [64 + 4 * HUNDRED_BYTES, 64 + 4 * HUNDRED_BYTES + 20]) {
    const directory = emptyShard(t)
    written(directory)
    damage(segmentPath(directory, 1000), 'cut', cut)
    const { read, skipped } = readOn(directory)
    t.same(read, [
      [0, 1400],
      [2000, 3500],
    ])
    t.same([skipped[0]?.[0], skipped.at(-1)?.[1]], [1400, 2000])
  }
})

t.test('damage at the end of what is durable ends there', async (t) => {
  const directory = emptyShard(t)
  written(directory)
  damage(segmentPath(directory, 3000), 'cut', 64 + 4 * HUNDRED_BYTES + 640)
  t.same(readOn(directory), { read: [[0, 3400]], skipped: [[3400, 3500]], wrong: 0 })
})

t.test('a segment that is missing, or has no usable header, is thrown, not skipped', async (t) => {
  const missing = emptyShard(t)
  written(missing)
  unlinkSync(segmentPath(missing, 1000))
  t.throws(() => readOn(missing), { code: 'JOURNAL_CORRUPT', message: 'are missing' })
  const headless = emptyShard(t)
  written(headless)
  damage(segmentPath(headless, 1000), 'flip', 12)
  t.throws(() => readOn(headless), { code: 'JOURNAL_CORRUPT', message: 'header is unusable' })
  const empty = emptyShard(t)
  written(empty)
  truncateSync(segmentPath(empty, 2000), 0)
  t.throws(() => readOn(empty), { code: 'JOURNAL_CORRUPT' })
})
