import t from 'tap'
import { SyntheticModel } from '../../../src/source/synthetic-model.ts'
import { isPowerSymbol } from '../../../src/source/synthetic-symbols.ts'
import { TickBatch } from '../../../src/tick/batch.ts'
import { isNull, readNumber } from '../../../src/tick/fixed-point.ts'
import { ACTION, FLAG, KIND, MARKET, SIDE, TICK_WORDS, WORD } from '../../../src/tick/layout.ts'

const SEC = 1_700_000_123
const SYMBOLS = ['BTC-USD', 'EUR-USD', 'PJM.WEST']

function model(seed: number, symbols: readonly string[] = SYMBOLS, firstId = 1000): SyntheticModel {
  const instruments = symbols.map((symbol, i) => ({ id: i + 1, symbol }))
  return new SyntheticModel({ instruments, seed, source: 9, firstId })
}

function ticks(seed: number, count: number, symbols = SYMBOLS): TickBatch {
  const batch = new TickBatch(count)
  model(seed, symbols).fill(batch, count, SEC, 456_789)
  return batch
}

function payload(batch: TickBatch, index: number, field: 'p0' | 'p1' | 'p2' | 'p3'): number {
  return readNumber(batch.words, index * TICK_WORDS + WORD[field])
}

t.test('a tick depends on the seed and its number, not on how many are made at once', async (t) => {
  const whole = ticks(5, 3000)
  const parts = new TickBatch(3000)
  const pieces = model(5)
  for (const count of [1, 7, 992, 2000]) pieces.fill(parts, count, SEC, 456_789)
  t.ok(Buffer.from(whole.bytes).equals(Buffer.from(parts.bytes)))
  t.notOk(
    Buffer.from(whole.bytes).equals(Buffer.from(ticks(6, 3000).bytes)),
    'another seed differs',
  )
})

t.test(
  'quotes are never crossed and trades print at the side that crossed the spread',
  async (t) => {
    const batch = ticks(1, 20_000)
    const counts = new Map<number, number>()
    for (let i = 0; i < batch.count; i++) {
      const kind = batch.kind(i)
      counts.set(kind, (counts.get(kind) ?? 0) + 1)
      if (kind === KIND.quote) {
        if (payload(batch, i, 'p0') >= payload(batch, i, 'p2')) t.fail(`tick ${i} is crossed`)
        if (payload(batch, i, 'p1') <= 0 || payload(batch, i, 'p3') <= 0) t.fail('size')
      }
      if (kind === KIND.trade && payload(batch, i, 'p1') <= 0) t.fail(`tick ${i} has no size`)
      if (kind === KIND.trade && batch.side(i) === SIDE.none) t.fail(`tick ${i} has no side`)
      if (
        kind === KIND.book &&
        batch.action(i) === ACTION.delete &&
        payload(batch, i, 'p1') !== 0
      ) {
        t.fail(`tick ${i} deletes a level and gives it a size`)
      }
    }
    for (const kind of [KIND.trade, KIND.quote, KIND.book]) t.ok((counts.get(kind) ?? 0) > 2000)
    t.equal(counts.get(KIND.price), 400, 'each 50th tick is a settlement price')
  },
)

t.test('trade ids are dense for each instrument', async (t) => {
  const batch = ticks(2, 20_000)
  const last = new Map<number, number>()
  for (let i = 0; i < batch.count; i++) {
    if (batch.kind(i) !== KIND.trade) continue
    const instrument = batch.instrument(i)
    const id = payload(batch, i, 'p2')
    t.equal(id, (last.get(instrument) ?? 999) + 1)
    last.set(instrument, id)
  }
  t.equal(last.size, 2)
})

t.test('settlement prices are the sum of their components, and negative at times', async (t) => {
  const batch = ticks(3, 50_000, ['PJM.WEST', 'MISO.INDIANA.HUB'])
  let negative = 0
  for (let i = 0; i < batch.count; i++) {
    t.equal(batch.kind(i), KIND.price)
    const price = payload(batch, i, 'p0')
    const sum = payload(batch, i, 'p1') + payload(batch, i, 'p2') + payload(batch, i, 'p3')
    if (price !== sum) t.fail(`tick ${i}: ${price} is not ${sum}`)
    if (price < 0) negative++
    if (Math.abs(price) > 1000e9) t.fail(`tick ${i}: ${price} is no price`)
  }
  t.ok(negative > 50, `${negative} of ${batch.count} are negative`)
  t.ok(negative < batch.count / 2)
  t.equal(batch.market(0), MARKET.real_time)
  t.equal(batch.interval(0), 5)
  const start = readNumber(batch.words, WORD.ts_event)
  t.equal(start, (SEC - (SEC % 300)) * 1e9, 'the event time is the start of the interval')
})

t.test(
  'each tick carries its times, source, instrument and flags, and clean unused fields',
  async (t) => {
    const batch = new TickBatch(2000)
    batch.words.fill(-1)
    model(4).fill(batch, 2000, SEC, 456_789)
    for (let i = 0; i < batch.count; i++) {
      const at = i * TICK_WORDS
      t.equal(readNumber(batch.words, at + WORD.ts_recv), SEC * 1e9 + 456_789)
      if (batch.source(i) !== 9) t.fail('source')
      if (batch.flags(i) !== (FLAG.SYNTHETIC | FLAG.LAST)) t.fail('flags')
      if (batch.instrument(i) < 1 || batch.instrument(i) > 3) t.fail('instrument')
      if (batch.kind(i) !== KIND.price && batch.market(i) !== 0) t.fail('market')
      if (batch.kind(i) === KIND.trade && !isNull(batch.words, at + WORD.p3)) t.fail('venue_seq')
    }
  },
)

t.test('prices stay plausible over a long walk', async (t) => {
  const batch = new TickBatch(10_000)
  const walk = model(11)
  for (let round = 0; round < 50; round++) {
    batch.count = 0
    walk.fill(batch, 10_000, SEC, 0)
    for (let i = 0; i < batch.count; i += 97) {
      if (batch.kind(i) !== KIND.quote || batch.instrument(i) !== 1) continue
      const bid = payload(batch, i, 'p0') / 1e9
      if (bid < 29_000 || bid > 121_000) t.fail(`a bid of ${bid}`)
    }
  }
})

t.test('power symbols are those of a grid operator or with a dot', async (t) => {
  for (const symbol of ['PJM.WEST', 'MISO.INDIANA.HUB', 'ERCOT-HUB', 'X.Y']) {
    t.ok(isPowerSymbol(symbol), symbol)
  }
  for (const symbol of ['BTC-USD', 'SPPX-USD', 'EUR-USD']) t.notOk(isPowerSymbol(symbol), symbol)
})
