import t from 'tap'
import { BATCH, PushedBatches } from '../../../src/decode/pushed-batches.ts'
import { BatchIds } from '../../../src/ring/batch-ids.ts'
import { batchKey, batchPrefix, newMark, readMark } from '../../../src/ring/batch-mark.ts'
import type { Receipt } from '../../../src/ring/feedback.ts'
import { TickRingConsumer, TickRingProducer } from '../../../src/ring/tick-ring.ts'
import { createTickRing } from '../../../src/ring/tick-ring-layout.ts'

const CAPACITY = 64

/** What outlives a decode: the mark ring and the table. */
class Memory {
  readonly ring: SharedArrayBuffer
  readonly #ids = BatchIds.create(CAPACITY)

  constructor(marks = 16) {
    this.ring = createTickRing(marks, 0)
  }

  /** A decode that begins to live, with the tick ring at `nextSeq`. */
  life(nextSeq: number): PushedBatches {
    const marks = new TickRingProducer(this.ring, 0, [0])
    const batches = new PushedBatches({ marks, ids: new BatchIds(this.#ids, CAPACITY) })
    batches.begin(nextSeq)
    return batches
  }

  /** Marks on the ring: first sequence and count. */
  marks(): [firstSeq: number, accepted: number][] {
    const consumer = new TickRingConsumer(this.ring, 0, 0)
    const { buffer, byteOffset, length } = consumer.bytes
    const words = new Int32Array(buffer, byteOffset, length / 4)
    const mark = newMark()
    return Array.from({ length: consumer.available() }, (_, i) => {
      readMark(words, i, mark)
      return [mark.firstSeq, mark.accepted]
    })
  }
}

function look(batches: PushedBatches, id: string, text: string, part = 0): number {
  const frame = Buffer.concat([batchPrefix(batchKey('source', id), part), Buffer.from(text)])
  return batches.look(frame, 0, frame.length)
}

const receipt = (firstSeq: number, accepted: number): Receipt => ({
  token: 1,
  source: 0,
  firstSeq,
  accepted,
  duplicate: 1,
  rejected: 2,
  repeated: 0,
  isReused: false,
})

t.test('an id is fresh, then a repeat of the same bytes, or reused for others', async (t) => {
  const batches = new Memory().life(100)
  t.equal(look(batches, 'a', 'text'), BATCH.fresh)
  t.equal(look(batches, 'a', 'text'), BATCH.fresh, 'until it is announced')
  t.ok(batches.announce(receipt(100, 5)))
  t.equal(look(batches, 'a', 'text'), BATCH.repeat)
  const again = receipt(105, 0)
  batches.repeat(again)
  t.match(again, { firstSeq: 100, accepted: 0, repeated: 5, duplicate: 6, rejected: 2 })
  t.equal(look(batches, 'a', 'tex'), BATCH.reused)
  t.equal(look(batches, 'a', 'texT'), BATCH.reused)
  t.equal(look(batches, 'a', 'text', 1), BATCH.fresh, 'another part')
})

t.test('ended between mark and records, a decode leaves neither', async (t) => {
  const memory = new Memory()
  const first = memory.life(0)
  look(first, 'kept', 'one')
  first.announce(receipt(0, 3))
  look(first, 'lost', 'two')
  first.announce(receipt(3, 4))
  // The tick ring has 3 records: those of the second batch were never published.
  const second = memory.life(3)
  t.equal(look(second, 'kept', 'one'), BATCH.repeat)
  t.equal(look(second, 'lost', 'two'), BATCH.fresh)
  second.announce(receipt(3, 4))
  t.same(memory.marks(), [
    [0, 0],
    [0, 3],
    [3, 4],
    [3, 0],
    [3, 4],
  ])
  t.equal(look(memory.life(7), 'lost', 'two'), BATCH.repeat, 'published: it stays')
})

t.test('a full mark ring holds the batch back, and nothing is remembered of it', async (t) => {
  const memory = new Memory(2)
  const batches = memory.life(0)
  look(batches, 'a', 'one')
  t.ok(batches.announce(receipt(0, 1)))
  look(batches, 'b', 'two')
  t.notOk(batches.announce(receipt(1, 1)))
  t.equal(look(batches, 'b', 'two'), BATCH.fresh)
  new TickRingConsumer(memory.ring, 0, 0).advance(2)
  t.ok(batches.announce(receipt(1, 1)))
  t.equal(look(batches, 'b', 'two'), BATCH.repeat)
})
