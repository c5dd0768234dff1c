import t from 'tap'
import { SimulatedClock } from '../../../src/clock.ts'
import { FRAME_FORMAT } from '../../../src/ring/frame-format.ts'
import { SyntheticSource } from '../../../src/source/synthetic.ts'
import { TickBatch } from '../../../src/tick/batch.ts'
import { readNumber } from '../../../src/tick/fixed-point.ts'
import { InstrumentTable } from '../../../src/tick/instruments.ts'
import { KIND, TICK_BYTES, TICK_WORDS, WORD } from '../../../src/tick/layout.ts'
import { SourceBench } from '../../support/source-bench.ts'

const CAPACITY = 64

function setUp(
  rate: number,
  options: { ringBytes?: number; startMs?: number; seed?: number } = {},
) {
  const clock = new SimulatedClock(options.startMs ?? 1_700_000_000_000)
  const bench = new SourceBench({ clock, ringBytes: options.ringBytes ?? 8 * 1024 * 1024 })
  const instruments = new InstrumentTable(InstrumentTable.create(CAPACITY), CAPACITY)
  const config = {
    name: 'synthetic',
    venue: 'synthetic',
    rate,
    seed: options.seed ?? 1,
    symbols: ['BTC-USD', 'ETH-USD', 'PJM.WEST'],
  }
  const source = new SyntheticSource({ config, source: 3, sink: bench.sink, instruments, clock })
  source.start()
  return { clock, bench, source, instruments }
}

/** All ticks of the waiting frames, in one batch. */
function takeTicks(bench: SourceBench): TickBatch {
  const frames = bench.take()
  const bytes = Buffer.concat(frames.map((frame) => frame.bytes))
  const batch = new TickBatch(Math.max(1, bytes.length / TICK_BYTES))
  batch.bytes.set(bytes)
  batch.count = bytes.length / TICK_BYTES
  return batch
}

t.test('it registers its instruments and makes as many ticks as the clock owes', async (t) => {
  const { clock, bench, source, instruments } = setUp(1000)
  t.equal(instruments.count, 3)
  t.ok(instruments.idOf('synthetic', 'BTC-USD') > 0)
  t.equal(source.doWork(), 0, 'nothing is owed at the start')
  let total = 0
  for (let i = 0; i < 100; i++) {
    clock.advance(10)
    source.doWork()
    total += takeTicks(bench).count
  }
  t.equal(total, 1000)
  t.equal(bench.counters.get('bytes'), 1000 * TICK_BYTES)
})

t.test('few ticks are gathered for some milliseconds: the thread sleeps in between', async (t) => {
  const { clock, bench, source } = setUp(100_000)
  let worked = 0
  for (let i = 0; i < 800; i++) {
    clock.advance(0.125)
    if (source.doWork() > 0) worked++
  }
  t.equal(worked, 20, 'every 5 ms')
  t.equal(takeTicks(bench).count, 10_000)
})

t.test('a rate below one per duty cycle is kept on average', async (t) => {
  const { clock, bench, source } = setUp(3)
  for (let i = 0; i < 1000; i++) {
    clock.advance(10)
    source.doWork()
  }
  t.equal(takeTicks(bench).count, 30)
})

t.test('a million a second goes out in chunks within 10 ms cycles', async (t) => {
  const { clock, bench, source } = setUp(1_000_000)
  let total = 0
  for (let i = 0; i < 100; i++) {
    clock.advance(10)
    source.doWork()
    const frames = bench.take()
    for (const { format, bytes } of frames) {
      t.equal(format, FRAME_FORMAT.packed)
      t.equal(bytes.length % TICK_BYTES, 0)
      total += bytes.length / TICK_BYTES
    }
  }
  t.equal(total, 1_000_000)
})

t.test('the same seed gives the same prices, whenever it starts', async (t) => {
  const prices = [1_700_000_000_000, 1_800_000_000_000].map((startMs) => {
    const { clock, bench, source } = setUp(500, { startMs, seed: 77 })
    clock.advance(1000)
    source.doWork()
    const batch = takeTicks(bench)
    return Array.from({ length: batch.count }, (_, i) =>
      readNumber(batch.words, i * TICK_WORDS + WORD.p0),
    )
  })
  t.equal(prices[0]?.length, 500)
  t.same(prices[0], prices[1])
})

t.test('a restart repeats no trade id, even at the highest rate', async (t) => {
  const first = setUp(1_000_000)
  const ids: number[] = []
  for (let i = 0; i < 20; i++) {
    first.clock.advance(10)
    first.source.doWork()
    const batch = takeTicks(first.bench)
    for (let k = 0; k < batch.count; k++) {
      if (batch.kind(k) === KIND.trade) ids.push(readNumber(batch.words, k * TICK_WORDS + WORD.p2))
    }
  }
  const second = setUp(1000, { startMs: 1_700_000_000_000 + 200 })
  second.clock.advance(100)
  second.source.doWork()
  const batch = takeTicks(second.bench)
  const index = Array.from({ length: batch.count }, (_, i) => i).find(
    (i) => batch.kind(i) === KIND.trade,
  )
  const firstAgain = readNumber(batch.words, (index as number) * TICK_WORDS + WORD.p2)
  t.ok(firstAgain > ids.reduce((a, b) => Math.max(a, b)), 'ids of the next run are larger')
  t.ok(Number.isSafeInteger(firstAgain))
})

t.test(
  'a full ring holds it back: nothing is lost or made twice, and one stall is counted',
  async (t) => {
    const small = setUp(10_000, { ringBytes: 256 * 1024 })
    const wide = setUp(10_000)
    const got: Buffer[] = []
    for (let i = 0; i < 90; i++) {
      small.clock.advance(10)
      wide.clock.advance(10)
      small.source.doWork()
      wide.source.doWork()
    }
    t.equal(small.bench.counters.get('stalls'), 1)
    t.equal(small.bench.counters.get('frames_dropped'), 0)
    const ids = (bench: SourceBench) => {
      got.length = 0
      const batch = takeTicks(bench)
      return Array.from({ length: batch.count }, (_, i) =>
        readNumber(batch.words, i * TICK_WORDS + WORD.p0),
      )
    }
    const held: number[] = []
    for (let round = 0; round < 10; round++) {
      held.push(...ids(small.bench))
      small.source.doWork()
    }
    held.push(...ids(small.bench))
    const all = ids(wide.bench)
    t.ok(held.length > 4000, `${held.length} ticks came through`)
    t.same(held, all.slice(0, held.length), 'the same ticks, in order')
  },
)

t.test('after a long stall it makes up one second at most', async (t) => {
  const { clock, bench, source } = setUp(1000)
  clock.advance(3_600_000)
  source.doWork()
  t.equal(takeTicks(bench).count, 1000)
})

t.test('after stop nothing new is made and what waits still goes out', async (t) => {
  const { clock, bench, source } = setUp(100_000, { ringBytes: 256 * 1024 })
  clock.advance(1000)
  source.doWork()
  source.stop()
  t.notOk(source.drained(), 'a chunk waits for room')
  bench.take()
  clock.advance(1000)
  source.doWork()
  t.ok(source.drained())
  t.equal(bench.take().length, 1, 'the chunk that waited, and no more')
})
