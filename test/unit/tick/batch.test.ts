// A batch of ticks: each accessor touches its own field of its own tick, and nothing else.

import t from 'tap'
import { TickBatch } from '../../../src/tick/batch.ts'
import { OFFSET, TICK_BYTES } from '../../../src/tick/layout.ts'

t.test('each setter changes the bytes of its field only', async (t) => {
  const cases: [string, (batch: TickBatch) => void, (batch: TickBatch) => number[], number[]][] = [
    ['kind, side', (b) => b.setKindSide(1, 0xff, 0xfe), (b) => [b.kind(1), b.side(1)], [255, 254]],
    ['action', (b) => b.setAction(1, 0xff), (b) => [b.action(1)], [255]],
    [
      'market',
      (b) => b.setMarket(1, 0xff, 0xffff),
      (b) => [b.market(1), b.interval(1)],
      [255, 65_535],
    ],
    ['instrument', (b) => b.setInstrument(1, 2 ** 32 - 1), (b) => [b.instrument(1)], [2 ** 32 - 1]],
    ['source', (b) => b.setSource(1, 65_535), (b) => [b.source(1)], [65_535]],
    ['flags', (b) => b.setFlags(1, 65_535), (b) => [b.flags(1)], [65_535]],
  ]
  const touched = new Map([
    ['kind, side', [OFFSET.kind, OFFSET.side]],
    ['action', [OFFSET.action]],
    ['market', [OFFSET.market, OFFSET.interval, OFFSET.interval + 1]],
    ['instrument', [0, 1, 2, 3].map((i) => OFFSET.instrument + i)],
    ['source', [OFFSET.source, OFFSET.source + 1]],
    ['flags', [OFFSET.flags, OFFSET.flags + 1]],
  ])
  for (const [name, set, get, wanted] of cases) {
    const batch = new TickBatch(3)
    set(batch)
    t.same(get(batch), wanted, name)
    const changed = [...batch.bytes.keys()].filter((at) => batch.bytes[at] !== 0)
    t.same(
      changed,
      touched.get(name)?.map((at) => at + TICK_BYTES),
      name,
    )
  }
})

t.test('addFlags adds', async (t) => {
  const batch = new TickBatch(1)
  batch.addFlags(0, 1)
  batch.addFlags(0, 6)
  batch.addFlags(0, 2)
  t.equal(batch.flags(0), 7)
})

t.test('clear zeroes one tick; move copies one over another', async (t) => {
  const batch = new TickBatch(4)
  for (let at = 0; at < batch.bytes.length; at++) batch.bytes[at] = 1 + Math.floor(at / TICK_BYTES)
  batch.clear(1)
  batch.move(3, 0)
  batch.move(2, 2)
  const first = [0, 1, 2, 3].map((index) => batch.bytes[index * TICK_BYTES])
  const last = [0, 1, 2, 3].map((index) => batch.bytes[(index + 1) * TICK_BYTES - 1])
  t.same(first, [4, 0, 3, 4])
  t.same(last, first)
})

t.test('a batch lies where it is told to, within the memory', async (t) => {
  const memory = new SharedArrayBuffer(4 * TICK_BYTES)
  const batch = new TickBatch(2, memory, TICK_BYTES)
  batch.setInstrument(1, 7)
  t.equal(new Int32Array(memory)[(2 * TICK_BYTES + OFFSET.instrument) / 4], 7)
  t.throws(() => new TickBatch(4, memory, TICK_BYTES), /holds the capacity/)
  t.throws(() => new TickBatch(1, memory, 4), /starts on 8 bytes/)
})
