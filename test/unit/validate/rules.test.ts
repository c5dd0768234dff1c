// Acceptance rule by rule: what is refused, for which reason, what is flagged, what passes as is.

import t from 'tap'
import { type Config, configSchema } from '../../../src/config/schema.ts'
import { QUARANTINE_REASONS } from '../../../src/ledger/reasons.ts'
import { TickBatch } from '../../../src/tick/batch.ts'
import {
  ACTION,
  FLAG,
  KIND,
  type KindName,
  SIDE,
  TICK_BYTES,
  TICK_WORDS,
  WORD,
} from '../../../src/tick/layout.ts'
import { Validator } from '../../../src/validate/rules.ts'

const NULL = -(2n ** 63n)
const RECV_NS = 1_700_000_000_000_000_000n
const MS = 1_000_000n
const PRICE = 1_000_000_000n
const SIZE = 100_000_000n
const INSTRUMENTS = 3

interface Tick {
  kind?: KindName | number
  instrument?: number
  event?: bigint
  flags?: number
  action?: number
  p?: [bigint, bigint, bigint, bigint]
}

let nextId = 1n
/** A good tick of the kind, but for what is given. */
function fill(batch: TickBatch, tick: Tick): void {
  const index = batch.count++
  const { kind = 'trade' } = tick
  const good: Record<KindName, [bigint, bigint, bigint, bigint]> = {
    trade: [5n * PRICE, 2n * SIZE, nextId++, NULL],
    quote: [5n * PRICE, SIZE, 6n * PRICE, SIZE],
    book: [5n * PRICE, SIZE, 9n, NULL],
    price: [5n * PRICE, 4n * PRICE, PRICE, NULL],
    status: [1n, NULL, NULL, NULL],
  }
  batch.clear(index)
  batch.setKindSide(index, typeof kind === 'number' ? kind : KIND[kind], SIDE.buy)
  batch.setInstrument(index, tick.instrument ?? 1)
  batch.setSource(index, 7)
  batch.setFlags(index, tick.flags ?? 0)
  batch.setAction(index, tick.action ?? (kind === 'book' ? ACTION.set : 0))
  const i64 = new BigInt64Array(batch.bytes.buffer, index * TICK_BYTES, TICK_BYTES / 8)
  i64[WORD.ts_event / 2] = tick.event ?? RECV_NS
  i64[WORD.ts_recv / 2] = RECV_NS
  i64.set(tick.p ?? good[typeof kind === 'number' ? 'trade' : kind], WORD.p0 / 2)
}

function createRig(config: Partial<Config['validate']> = {}) {
  const validator = new Validator({
    config: { ...configSchema.parse({}).validate, ...config },
    instruments: { count: INSTRUMENTS },
  })
  const refused: { reason: string; index: number; bytes: Uint8Array }[] = []
  validator.onQuarantine = (reason, batch, index) => {
    const at = index * TICK_BYTES
    const name = QUARANTINE_REASONS[reason] ?? 'none'
    refused.push({ reason: name, index, bytes: batch.bytes.slice(at, at + TICK_BYTES) })
  }
  const run = (...ticks: Tick[]): TickBatch => {
    refused.length = 0
    const batch = new TickBatch(ticks.length)
    for (const tick of ticks) fill(batch, tick)
    validator.validate(batch)
    return batch
  }
  /** The reason of refusal of one tick, or 'accepted'. */
  const judge = (tick: Tick): string => {
    run(tick)
    return refused[0]?.reason ?? 'accepted'
  }
  /** The flags of one tick that is accepted. */
  const flagsOf = (tick: Tick): number => run(tick).flags(0)
  return { validator, refused, run, judge, flagsOf }
}

const trade = (price: bigint, size: bigint): Tick => ({ p: [price, size, nextId++, NULL] })
const quote = (bid: bigint, bidSize: bigint, ask: bigint, askSize: bigint): Tick => ({
  kind: 'quote',
  p: [bid, bidSize, ask, askSize],
})
const book = (price: bigint, size: bigint, action: number): Tick => ({
  kind: 'book',
  action,
  p: [price, size, 1n, NULL],
})

t.test('a good tick of each kind is accepted, not a byte changed', async (t) => {
  const { run } = createRig()
  for (const kind of ['trade', 'quote', 'book', 'price', 'status'] as const) {
    const before = new TickBatch(1)
    fill(before, { kind })
    nextId--
    t.same(run({ kind }).bytes, before.bytes, kind)
  }
})

t.test('each rule refuses what it is for, and only that', async (t) => {
  const { judge } = createRig({ price_max: 1000.5 })
  const limit = 1_000_500_000_000n
  const cases: [Tick, string][] = [
    [{ kind: 0 }, 'unknown_kind'],
    [{ kind: 6 }, 'unknown_kind'],
    [{ kind: 255 }, 'unknown_kind'],
    [{ instrument: 0 }, 'unknown_instrument'],
    [{ instrument: INSTRUMENTS + 1 }, 'unknown_instrument'],
    [{ instrument: 2 ** 32 - 1 }, 'unknown_instrument'],
    [{ instrument: INSTRUMENTS }, 'accepted'],
    [trade(NULL, SIZE), 'null_price'],
    [trade(limit, SIZE), 'accepted'],
    [trade(limit + 1n, SIZE), 'price_out_of_range'],
    [trade(-limit, SIZE), 'accepted'],
    [trade(-limit - 1n, SIZE), 'price_out_of_range'],
    [trade(0n, SIZE), 'accepted'],
    [trade(PRICE, 1n), 'accepted'],
    [trade(PRICE, 0n), 'zero_trade_size'],
    [trade(PRICE, NULL), 'zero_trade_size'],
    [trade(PRICE, -1n), 'negative_size'],
    [quote(5n, 0n, 5n, 0n), 'accepted'],
    [quote(6n, 0n, 5n, 0n), 'crossed_quote'],
    [quote(-5n, 1n, -6n, 1n), 'crossed_quote'],
    [quote(NULL, NULL, 5n, 1n), 'accepted'],
    [quote(5n, 1n, NULL, NULL), 'accepted'],
    [quote(NULL, NULL, NULL, NULL), 'accepted'],
    [quote(limit + 1n, 1n, NULL, NULL), 'price_out_of_range'],
    [quote(NULL, NULL, -limit - 1n, 1n), 'price_out_of_range'],
    [quote(5n, -1n, 6n, 1n), 'negative_size'],
    [quote(5n, 1n, 6n, -1n), 'negative_size'],
    [book(5n, 0n, ACTION.set), 'accepted'],
    [book(5n, NULL, ACTION.delete), 'accepted'],
    [book(5n, -1n, ACTION.set), 'negative_size'],
    [book(NULL, 1n, ACTION.set), 'null_price'],
    [book(NULL, NULL, ACTION.delete), 'null_price'],
    [book(NULL, NULL, ACTION.clear), 'accepted'],
    [book(limit + 1n, 1n, ACTION.set), 'price_out_of_range'],
    [{ kind: 'price', p: [-limit, NULL, NULL, NULL] }, 'accepted'],
    [{ kind: 'price', p: [NULL, 1n, 1n, 1n] }, 'null_price'],
    [{ kind: 'price', p: [1n, 1n, 1n, limit + 1n] }, 'price_out_of_range'],
    [{ kind: 'status', p: [NULL, NULL, NULL, NULL] }, 'accepted'],
  ]
  for (const [tick, wanted] of cases) t.equal(judge(tick), wanted, JSON.stringify(tick, text))
})

t.test(
  'the widest configured price is the widest that a record can hold, less a cent',
  async (t) => {
    const { judge } = createRig()
    t.equal(judge(trade(9_223_372_036n * PRICE, SIZE)), 'accepted')
    t.equal(judge(trade(-9_223_372_036n * PRICE, SIZE)), 'accepted')
    t.equal(judge(trade(9_223_372_036n * PRICE + 1n, SIZE)), 'price_out_of_range')
  },
)

t.test('event times beyond the bound ahead of receipt are refused, unless replayed', async (t) => {
  const { judge } = createRig({ future_ms: 60_000 })
  const bound = RECV_NS + 60_000n * MS
  t.equal(judge({ event: bound }), 'accepted')
  t.equal(judge({ event: bound + 1n }), 'future_time')
  t.equal(judge({ event: 2n ** 63n - 1n }), 'future_time')
  t.equal(judge({ event: bound + 1n, flags: FLAG.REPLAYED }), 'accepted')
  t.equal(judge({ kind: 'status', event: bound + 1n }), 'future_time')
  t.equal(judge({ kind: 'price', event: bound + 86_400_000n * MS }), 'accepted', 'day-ahead')
})

t.test('an old event is flagged late, to the nanosecond', async (t) => {
  const { flagsOf } = createRig({ late_ms: 10_000 })
  const bound = RECV_NS - 10_000n * MS
  t.equal(flagsOf({ event: bound }), 0)
  t.equal(flagsOf({ event: bound - 1n, instrument: 2 }), FLAG.LATE)
  t.equal(flagsOf({ kind: 'price', event: RECV_NS - 86_400_000n * MS }), 0, 'an interval')
})

t.test('an absent or absurd event time becomes the receive time, and says so', async (t) => {
  const { run, flagsOf } = createRig({ future_ms: 0 })
  for (const event of [NULL, 0n, -1n, 631_152_000_000_000_000n - 1n]) {
    const batch = run({ event })
    t.equal(batch.flags(0), FLAG.BAD_TIME)
    t.equal(new BigInt64Array(batch.bytes.buffer)[WORD.ts_event / 2], RECV_NS, `${event}`)
  }
  t.equal(flagsOf({ event: 631_152_000_000_000_000n, instrument: 2 }) & FLAG.BAD_TIME, 0)
})

t.test('order is that of the previous record of the same instrument and kind', async (t) => {
  const { flagsOf } = createRig()
  t.equal(flagsOf({ event: RECV_NS - 5n }), 0)
  t.equal(flagsOf({ event: RECV_NS - 6n }), FLAG.OUT_OF_ORDER)
  t.equal(flagsOf({ event: RECV_NS - 6n }), 0, 'after the previous one, it is in order')
  t.equal(flagsOf({ event: RECV_NS - 9n, instrument: 2 }), 0, 'another instrument')
  t.equal(flagsOf({ event: RECV_NS - 9n, kind: 'quote' }), 0, 'another kind')
  t.equal(flagsOf({ event: NULL }), FLAG.BAD_TIME, 'has no place in the order')
  t.equal(flagsOf({ event: RECV_NS - 6n }), 0)
  t.equal(flagsOf({ kind: 'price', event: RECV_NS }), 0)
  t.equal(flagsOf({ kind: 'price', event: RECV_NS - 1n }), 0, 'markets of prices interleave')
})

t.test('what is refused leaves no trace in order or repeats', async (t) => {
  const { judge, flagsOf } = createRig()
  t.equal(judge({ event: RECV_NS, p: [PRICE, 0n, 5000n, NULL] }), 'zero_trade_size')
  t.equal(flagsOf({ event: RECV_NS - 5n, p: [PRICE, SIZE, 5000n, NULL] }), 0)
})

t.test('exact repeats of a trade are dropped and counted; other values are suspect', async (t) => {
  const { run, validator } = createRig()
  const first: Tick = { p: [PRICE, SIZE, 100n, NULL] }
  const batch = run(first, first, { p: [PRICE + 1n, SIZE, 100n, NULL] }, first)
  t.equal(batch.count, 2)
  t.equal(validator.duplicateCount, 2)
  t.equal(validator.quarantinedCount, 0)
  t.same([batch.flags(0), batch.flags(1)], [0, FLAG.DUPLICATE_SUSPECT])
  t.equal(run(first).count, 0, 'across batches')
  t.equal(run({ ...first, instrument: 2 }).count, 1, 'ids are an instrument’s own')
  t.equal(run({ ...first, flags: FLAG.CORRECTED }).count, 1, 'a correction bears the old id')
  t.equal(run({ p: [PRICE, SIZE, NULL, NULL] }, { p: [PRICE, SIZE, NULL, NULL] }).count, 2)
  t.equal(run({ kind: 'quote' }, { kind: 'quote' }).count, 2, 'only trades have ids')
})

t.test('accepted ticks close up in order; the refused are seen whole before they go', async (t) => {
  const { run, refused, validator } = createRig()
  const ticks: Tick[] = []
  for (let i = 0; i < 100; i++) {
    const id = BigInt(10_000 + i)
    ticks.push({ p: [PRICE, i % 3 === 0 ? -BigInt(i) - 1n : SIZE, id, NULL] })
  }
  const batch = run(...ticks)
  t.equal(batch.count, 66)
  t.equal(validator.quarantinedCount, 34)
  t.equal(validator.quarantined[QUARANTINE_REASONS.indexOf('negative_size')], 34)
  const i64 = new BigInt64Array(batch.bytes.buffer)
  const ids = Array.from({ length: batch.count }, (_, i) => i64[i * 8 + WORD.p2 / 2])
  t.same(
    ids,
    ticks.flatMap(({ p }) => ((p?.[1] ?? 0n) < 0n ? [] : [p?.[2]])),
  )
  t.equal(refused.length, 34)
  for (const { index, bytes } of refused) {
    const raw = new BigInt64Array(bytes.buffer)
    if (raw[WORD.p2 / 2] !== BigInt(10_000 + index)) t.fail(`tick ${index} was overwritten`)
    if (raw[WORD.p1 / 2] !== -BigInt(index) - 1n) t.fail(`size of tick ${index}`)
  }
})

t.test('counts are of the last call, and an empty batch is fine', async (t) => {
  const { run, validator } = createRig()
  run({ kind: 0 })
  t.equal(validator.quarantinedCount, 1)
  const empty = run()
  t.equal(empty.count, 0)
  t.equal(validator.quarantinedCount, 0)
  t.equal(
    validator.quarantined.reduce((a, b) => a + b),
    0,
  )
  t.equal(TICK_WORDS, 16)
})

function text(_key: string, value: unknown): unknown {
  return typeof value === 'bigint' ? String(value) : value
}

t.test(
  'what a store refused before is no repeat of itself, and is judged all the same',
  async (t) => {
    const { validator } = createRig()
    const batch = new TickBatch(4)
    const again = (admitsRepeats: boolean, price: bigint) => {
      batch.count = 0
      fill(batch, { p: [price, SIZE, 4242n, NULL] })
      validator.validate(batch, admitsRepeats)
      return [batch.count, validator.duplicateCount, validator.quarantinedCount]
    }
    t.same(again(false, PRICE), [1, 0, 0])
    t.same(again(false, PRICE), [0, 1, 0], 'a repeat')
    t.same(again(true, PRICE), [1, 0, 0], 'admitted')
    t.same(again(true, NULL), [0, 0, 1], 'but not without a price')
  },
)
