// Tick ring on one thread: gating, lapping, sequences over 2^32, restarts, half-done publications.

import t, { type Test } from 'tap'
import { TICK_RING_CONSUMERS_MAX } from '../../../src/limits.ts'
import {
  TickRingConsumer,
  TickRingLapper,
  TickRingObserver,
  TickRingProducer,
} from '../../../src/ring/tick-ring.ts'
import {
  createTickRing,
  cursorWord,
  TICK_RING_DATA_OFFSET,
  TICK_RING_WORD,
  tickRingBytes,
} from '../../../src/ring/tick-ring-layout.ts'
import { TickBatch } from '../../../src/tick/batch.ts'
import { TICK_BYTES, TICK_WORDS } from '../../../src/tick/layout.ts'

const CAPACITY = 16
const FIRST_SEQS = [0, 2 ** 31 - 5, 2 ** 31, 2 ** 32 - 5, 2 ** 32, 2 ** 40 + 2 ** 32 - 7]

/** Publishes `count` ticks whose every word is their sequence (mod 2^32). */
function publish(producer: TickRingProducer, count: number): number {
  const batch = new TickBatch(count + 1)
  for (let i = 0; i < count; i++) {
    const index = i + 1
    batch.words.fill(producer.seq + i, index * TICK_WORDS, (index + 1) * TICK_WORDS)
  }
  return producer.publish(batch, 1, count)
}

/** True when ticks [0, count) of a batch are the sequences from `seq` on, whole. */
function isRun(words: Int32Array, seq: number, count: number): boolean {
  for (let i = 0; i < count * TICK_WORDS; i++) {
    if (words[i] !== ((seq + Math.floor(i / TICK_WORDS)) | 0)) return false
  }
  return true
}

/** Reads all that is available of a gating consumer, checked; returns how many. */
function consume(t: Test, consumer: TickRingConsumer): number {
  let total = 0
  while (consumer.available() > 0) {
    const run = consumer.run()
    const words = new Int32Array(run * TICK_WORDS)
    const start = consumer.offset()
    const bytes = consumer.bytes.subarray(start, start + run * TICK_BYTES)
    new Uint8Array(words.buffer).set(bytes)
    if (!isRun(words, consumer.seq, run)) t.fail(`records from ${consumer.seq}`)
    consumer.advance(run)
    total += run
  }
  return total
}

t.test('every shared word is alone on its lines, the data behind all of them', async (t) => {
  const words = [TICK_RING_WORD.claimed, TICK_RING_WORD.published]
  for (let slot = 0; slot < TICK_RING_CONSUMERS_MAX; slot++) words.push(cursorWord(slot))
  t.equal(new Set(words.map((word) => Math.floor((word * 4) / 128))).size, words.length)
  t.ok(Math.max(...words) * 4 + 128 <= TICK_RING_DATA_OFFSET)
  t.equal(TICK_RING_DATA_OFFSET % TICK_BYTES, 0)
  t.throws(() => cursorWord(TICK_RING_CONSUMERS_MAX), /cursor slot/)
  t.throws(() => tickRingBytes(100), /power of two/)
})

t.test('the producer is held back by its slowest gating consumer, all or none', async (t) => {
  for (const firstSeq of FIRST_SEQS) {
    const memory = createTickRing(CAPACITY, firstSeq)
    const producer = new TickRingProducer(memory, firstSeq, [0, 2])
    const quick = new TickRingConsumer(memory, 0, firstSeq)
    const slow = new TickRingConsumer(memory, 2, firstSeq)
    t.equal(publish(producer, 10), firstSeq)
    t.equal(consume(t, quick), 10)
    t.equal(publish(producer, 7), -1, 'not even a part of it')
    t.equal(quick.available(), 0)
    t.equal(producer.available(), 6)
    t.equal(publish(producer, 6), firstSeq + 10)
    t.equal(publish(producer, 1), -1)
    slow.advance(3)
    t.equal(publish(producer, 4), -1)
    t.equal(publish(producer, 3), firstSeq + 16)
    t.equal(producer.seq, firstSeq + 19)
    t.equal(consume(t, quick), 9)
    t.equal(slow.seq, firstSeq + 3)
    t.equal(consume(t, slow), 16)
    t.equal(slow.seq, firstSeq + 19)
    t.equal(publish(producer, CAPACITY), firstSeq + 19, 'an empty ring takes its capacity')
  }
})

t.test('a cursor that nobody gates on holds nothing back', async (t) => {
  const memory = createTickRing(CAPACITY, 0)
  const producer = new TickRingProducer(memory, 0, [])
  for (let i = 0; i < 10; i++) t.equal(publish(producer, CAPACITY), i * CAPACITY)
})

t.test('misuse is a bug, and is said', async (t) => {
  const memory = createTickRing(CAPACITY, 0)
  const producer = new TickRingProducer(memory, 0, [0])
  const consumer = new TickRingConsumer(memory, 0, 0)
  t.throws(() => publish(producer, CAPACITY + 1), /fits in the ring/)
  t.throws(() => publish(producer, 0), /fits in the ring/)
  t.throws(() => consumer.advance(1), /over published records/)
  t.throws(() => consumer.advance(-1), /over published records/)
})

t.test('records cross the end of the buffer and 2^32 whole', async (t) => {
  for (const firstSeq of FIRST_SEQS) {
    const memory = createTickRing(CAPACITY, firstSeq)
    const producer = new TickRingProducer(memory, firstSeq, [1])
    const consumer = new TickRingConsumer(memory, 1, firstSeq)
    let total = 0
    for (let i = 0; i < 200; i++) {
      const count = 1 + (i % CAPACITY)
      if (publish(producer, count) === -1) t.fail('room after all was read')
      total += count
      consume(t, consumer)
    }
    t.equal(consumer.seq, firstSeq + total)
    t.equal(producer.seq, firstSeq + total)
  }
})

t.test('both ends start anew at the sequence where they stopped', async (t) => {
  for (const firstSeq of FIRST_SEQS) {
    const memory = createTickRing(CAPACITY, firstSeq)
    let seq = firstSeq
    for (let i = 0; i < 40; i++) {
      const producer = new TickRingProducer(memory, firstSeq, [0])
      t.equal(producer.seq, seq)
      publish(producer, 5)
      seq += 5
      const consumer = new TickRingConsumer(memory, 0, firstSeq)
      t.equal(consumer.seq, seq - 5)
      t.equal(consume(t, consumer), 5)
    }
  }
})

t.test('a lapping reader follows, and starts at the next record', async (t) => {
  for (const firstSeq of FIRST_SEQS) {
    const memory = createTickRing(CAPACITY, firstSeq)
    const producer = new TickRingProducer(memory, firstSeq, [])
    publish(producer, 9)
    const lapper = new TickRingLapper(memory, firstSeq)
    t.equal(lapper.seq, firstSeq + 9)
    const out = new TickBatch(4)
    t.equal(lapper.read(out), firstSeq + 9)
    t.equal(out.count, 0)
    publish(producer, CAPACITY)
    t.equal(lapper.lag(), CAPACITY)
    for (let i = 0; i < 4; i++) {
      t.equal(lapper.read(out), firstSeq + 9 + 4 * i, 'a ring full to the brim is not overrun')
      t.equal(out.count, 4)
      t.ok(isRun(out.words, firstSeq + 9 + 4 * i, 4))
    }
    t.equal(lapper.lostCount, 0)
  }
})

t.test(
  'an overrun reader loses an exact number of records, and says so by its sequence',
  async (t) => {
    for (const firstSeq of FIRST_SEQS) {
      for (const ahead of [1, 2, CAPACITY, 5 * CAPACITY + 3]) {
        const memory = createTickRing(CAPACITY, firstSeq)
        const producer = new TickRingProducer(memory, firstSeq, [])
        const lapper = new TickRingLapper(memory, firstSeq)
        for (let i = 0; i < CAPACITY + ahead; i++) publish(producer, 1)
        const out = new TickBatch(CAPACITY)
        const seq = lapper.read(out)
        t.equal(seq - firstSeq, lapper.lostCount)
        t.equal(lapper.lostCount, ahead + CAPACITY / 2, 'restarts half a ring behind')
        t.equal(out.count, CAPACITY / 2)
        t.ok(isRun(out.words, seq, out.count))
        t.equal(lapper.seq, producer.seq)
      }
    }
  },
)

t.test(
  'publications of more than half a ring do not take a reader beyond what is published',
  async (t) => {
    const memory = createTickRing(CAPACITY, 0)
    const producer = new TickRingProducer(memory, 0, [])
    const lapper = new TickRingLapper(memory, 0)
    for (let i = 0; i < 5; i++) publish(producer, CAPACITY)
    // A publication under way: claimed, not yet published.
    new Int32Array(memory)[TICK_RING_WORD.claimed] = 6 * CAPACITY
    const out = new TickBatch(CAPACITY)
    const seq = lapper.read(out)
    t.equal(seq, 5 * CAPACITY)
    t.equal(out.count, 0)
    t.equal(lapper.lostCount, seq)
    t.equal(lapper.lag(), 0)
  },
)

t.test('a claim that was never published stays a warning to lapping readers', async (t) => {
  const memory = createTickRing(CAPACITY, 0)
  const words = new Int32Array(memory)
  const lapper = new TickRingLapper(memory, 0)
  const first = new TickRingProducer(memory, 0, [])
  publish(first, CAPACITY)
  // It ended after it had claimed six slots, and perhaps written over them.
  words[TICK_RING_WORD.claimed] = CAPACITY + 6
  const second = new TickRingProducer(memory, 0, [])
  t.equal(second.seq, CAPACITY, 'goes on at what was published')
  publish(second, 2)
  t.equal(words[TICK_RING_WORD.claimed], CAPACITY + 6, 'not lowered to what it needs')
  const out = new TickBatch(CAPACITY)
  const seq = lapper.read(out)
  t.ok(seq >= 6, 'slots that may be spoilt are not read')
  t.equal(lapper.lostCount, seq)
  t.ok(isRun(out.words, seq, out.count))
  publish(second, 5)
  t.equal(words[TICK_RING_WORD.claimed], CAPACITY + 7)
})

/** Calls `during` once, when the next copy out of or into shared memory is about to be made. */
function interrupt(during: () => void): void {
  const original = Buffer.prototype.copy
  Buffer.prototype.copy = function (this: Buffer, ...args: Parameters<Buffer['copy']>) {
    Buffer.prototype.copy = original
    during()
    return original.apply(this, args)
  }
}

t.test(
  'slots are claimed before their first byte is written, and published after the last',
  async (t) => {
    const memory = createTickRing(CAPACITY, 0)
    const words = new Int32Array(memory)
    const producer = new TickRingProducer(memory, 0, [])
    publish(producer, CAPACITY)
    const batch = new TickBatch(4)
    batch.words.fill(-1)
    const seen: number[] = []
    interrupt(() => {
      seen.push(words[TICK_RING_WORD.claimed] ?? -1, words[TICK_RING_WORD.published] ?? -1)
      seen.push(words[TICK_RING_DATA_OFFSET / 4] ?? -1)
    })
    producer.publish(batch, 0, 4)
    t.same(seen, [CAPACITY + 4, CAPACITY, 0])
    t.equal(words[TICK_RING_WORD.published], CAPACITY + 4)
  },
)

t.test('a read that is overrun while it copies gives only what is whole', async (t) => {
  for (const firstSeq of FIRST_SEQS) {
    const memory = createTickRing(CAPACITY, firstSeq)
    const producer = new TickRingProducer(memory, firstSeq, [])
    const lapper = new TickRingLapper(memory, firstSeq)
    publish(producer, CAPACITY)
    const out = new TickBatch(CAPACITY)
    interrupt(() => publish(producer, 3))
    const seq = lapper.read(out)
    t.equal(seq, firstSeq + 3 + CAPACITY / 2)
    t.equal(lapper.lostCount, 3 + CAPACITY / 2)
    t.equal(out.count, CAPACITY / 2)
    t.ok(isRun(out.words, seq, out.count))
    t.equal(lapper.lag(), 0)
  }
})

t.test(
  'ends made anew find their sequence by any that is near, whatever came before',
  async (t) => {
    for (const firstSeq of [...FIRST_SEQS, 2 ** 34 + 11]) {
      const memory = createTickRing(CAPACITY, firstSeq)
      const producer = new TickRingProducer(memory, firstSeq, [0])
      publish(producer, 10)
      new TickRingConsumer(memory, 0, firstSeq).advance(4)
      for (const nearSeq of [firstSeq, firstSeq + 4, firstSeq + 10, firstSeq + CAPACITY]) {
        t.equal(new TickRingProducer(memory, nearSeq, [0]).seq, firstSeq + 10)
        t.equal(new TickRingConsumer(memory, 0, nearSeq).seq, firstSeq + 4)
        t.equal(new TickRingLapper(memory, nearSeq).seq, firstSeq + 10)
        t.equal(new TickRingObserver(memory, nearSeq).publishedSeq(), firstSeq + 10)
      }
    }
  },
)
