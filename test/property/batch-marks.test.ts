import { statSync, truncateSync } from 'node:fs'
import t from 'tap'
import { SimulatedClock } from '../../src/clock.ts'
import { readMarks } from '../../src/journal/batch-marks.ts'
import { MarkQueue } from '../../src/journal/mark-queue.ts'
import { openJournal, recoverJournal } from '../../src/journal/recovery.ts'
import { listSegments, segmentPath } from '../../src/journal/segment-files.ts'
import { JournalWriter } from '../../src/journal/writer.ts'
import { type BatchMark, newMark, writeMark } from '../../src/ring/batch-mark.ts'
import { TickRingConsumer, TickRingProducer } from '../../src/ring/tick-ring.ts'
import { createTickRing } from '../../src/ring/tick-ring-layout.ts'
import { TickBatch } from '../../src/tick/batch.ts'
import { TICK_BYTES } from '../../src/tick/layout.ts'
import { emptyShard, putTicks } from '../unit/journal/journal-fixture.ts'

const seed = Number(process.env.TICKD_SEED ?? Date.now() % 2 ** 31)
t.comment(`TICKD_SEED=${seed}`)

function randomOf(from: number): (below: number) => number {
  let state = from >>> 0 || 1
  return (below) => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    return (state >>> 0) % below
  }
}

/** Decode's end of a mark ring: announces, and voids what it announced and never published. */
class Marker {
  readonly #producer: TickRingProducer
  readonly #slot = new TickBatch(1)

  constructor(memory: SharedArrayBuffer) {
    this.#producer = new TickRingProducer(memory, 0, [0])
  }

  announce(firstSeq: number, accepted: number): BatchMark {
    const mark = Object.assign(newMark(), { firstSeq, accepted, part: firstSeq })
    writeMark(this.#slot.words, 0, mark)
    if (this.#producer.publish(this.#slot, 0, 1) === -1) throw new Error('the mark ring is full')
    return mark
  }
}

/** Cuts bytes off the newest segment, as a loss of power does. */
function tear(directory: string, bytes: number): void {
  const path = segmentPath(directory, listSegments(directory).at(-1) ?? 0)
  truncateSync(path, Math.max(64, statSync(path).size - bytes))
}

t.test(
  'a marked batch and its mark are in one block, whatever is cut off by a crash',
  async (t) => {
    const random = randomOf(seed)
    for (let round = 0; round < 30; round++) {
      const directory = emptyShard(t)
      const { nextSeq, epoch, identity } = openJournal(directory, 0)
      const memory = createTickRing(8192, 0)
      const marker = new Marker(memory)
      const queue = new MarkQueue(new TickRingConsumer(memory, 0, 0))
      const clock = new SimulatedClock()
      const segmentBytes = 64 * 1024 * (1 + random(8))
      const options = { directory, shard: 0, epoch, identity, nextSeq, segmentBytes, clock }
      const writer = new JournalWriter({ ...options, onSealed: () => {} })
      const wanted: BatchMark[] = []
      let published = 0
      let synced = 0
      for (let step = 0; step < 60; step++) {
        const count = 1 + random(random(4) === 0 ? 6000 : 50)
        // A third are of no batch; some marks are of a decode that ended before it published.
        if (random(8) === 0) {
          marker.announce(published, 1 + random(9000))
          marker.announce(published, 0)
        }
        if (random(3) > 0) wanted.push(marker.announce(published, count))
        published += count
        while (writer.nextSeq < published && random(5) > 0) {
          const { nextSeq: from } = writer
          const end = queue.cut(from, Math.min(published, from + 1 + random(4096)))
          const bytes = new Uint8Array((end - from) * TICK_BYTES)
          putTicks(bytes, 0, from, end - from)
          const half = random(end - from + 1) * TICK_BYTES
          writer.appendBlock(bytes.subarray(0, half), bytes.subarray(half), queue.blockMarks())
          queue.take()
        }
        if (random(4) === 0 && writer.nextSeq > 0) {
          writer.sync()
          synced = writer.durableSeq
          queue.release(synced)
        }
      }
      writer.abandon()
      const isTorn = random(2) === 0
      if (isTorn) tear(directory, random(400_000))
      const { nextSeq: end, segments } = recoverJournal(directory, 0)
      t.ok(isTorn || end >= synced)
      const scan = { directory, segments, marksMax: 1e6, bytesMax: 1e9 }
      const found: number[] = []
      readMarks(scan, (mark) => {
        found.push(mark.firstSeq)
        if (mark.firstSeq + mark.accepted > end) t.fail('a mark without all of its records')
      })
      const there = wanted.filter(({ firstSeq }) => firstSeq < end)
      t.same(
        found,
        there.map(({ firstSeq }) => firstSeq),
        'each batch with records has its mark, and no other',
      )
      const last: number[] = []
      readMarks({ ...scan, marksMax: 3 }, (mark) => last.push(mark.firstSeq))
      t.same(last, found.slice(-3), 'the newest are found alone')
    }
  },
)
