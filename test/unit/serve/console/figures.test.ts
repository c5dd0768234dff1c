// What the console computes: candles, and figures from the text of /metrics.

import fc from 'fast-check'
import t from 'tap'
import { Candles } from '../../../../src/serve/console/candles.ts'
import { Metrics } from '../../../../src/serve/console/metrics.ts'

const seed = Number(process.env.TICKD_SEED ?? Date.now() % 2 ** 31)
t.comment(`TICKD_SEED=${seed}`)

t.test('a candle has the first, highest, lowest and last price, and the volume', async (t) => {
  const candles = new Candles(1000, 10)
  for (const [timeMs, price] of [
    [5000, 10],
    [5100, 12],
    [5500, 9],
    [5999.9, 11],
    [6000, 20],
  ] as const) {
    candles.add(timeMs, price, 2)
  }
  t.same(candles.list, [
    { atMs: 5000, open: 10, high: 12, low: 9, close: 11, volume: 8 },
    { atMs: 6000, open: 20, high: 20, low: 20, close: 20, volume: 2 },
  ])
})

t.test('a late trade goes into the candle of its own time', async (t) => {
  const candles = new Candles(1000, 10)
  candles.add(3000, 1, 1)
  candles.add(5000, 2, 1)
  candles.add(4000, 3, 1)
  candles.add(3500, 4, 1)
  t.match(candles.list, [
    { atMs: 3000, high: 4, close: 4 },
    { atMs: 4000, open: 3 },
    { atMs: 5000, open: 2, volume: 1 },
  ])
})

t.test('what is no number draws nothing; a missing size has no volume', async (t) => {
  const candles = new Candles(1000, 10)
  candles.add(Number.NaN, 1, 1)
  candles.add(1, Number.NaN, 1)
  t.same(candles.list, [])
  candles.add(1, 5, Number.NaN)
  t.match(candles.list, [{ open: 5, volume: 0 }])
})

t.test('whatever comes: ascending, bounded, consistent', async () => {
  const trade = fc.tuple(fc.nat(60_000), fc.double({ min: -1e6, max: 1e6, noNaN: true }))
  fc.assert(
    fc.property(fc.array(trade, { maxLength: 200 }), (trades) => {
      const candles = new Candles(1000, 20)
      for (const [timeMs, price] of trades) candles.add(timeMs, price, 1)
      const { list } = candles
      return (
        list.length <= 20 &&
        list.every(({ atMs }, i) => i === 0 || atMs > (list[i - 1]?.atMs ?? 0)) &&
        list.every(({ open, high, low, close }) => {
          return high >= Math.max(open, close) && low <= Math.min(open, close)
        })
      )
    }),
    { seed },
  )
})

const TEXT = `# HELP tickd_x_total Things
# TYPE tickd_x_total counter
tickd_x_total{source="a"} 3
tickd_x_total{source="b c"} 4
tickd_y_rejected_total 1
tickd_y_accepted_total 2e3
tickd_frame_ring_fill_bytes{shard="0",producer="a"} 10
tickd_frame_ring_capacity_bytes{shard="0",producer="a"} 100
tickd_tick_ring_lag_records{shard="0",consumer="journal"} 30
tickd_tick_ring_capacity_records{shard="0",consumer="journal"} 40
`

t.test('metrics are summed over their labels', async (t) => {
  const metrics = new Metrics(TEXT)
  t.equal(metrics.sum('tickd_x_total'), 7)
  t.equal(metrics.sum('tickd_none_total'), undefined)
  t.equal(metrics.sumOf('tickd_y_'), 2001)
  t.equal(metrics.sumOf('tickd_z_'), undefined)
})

t.test('the fullest ring is the one that is fullest of its own capacity', async (t) => {
  t.equal(new Metrics(TEXT).ringFill(), 0.75)
  t.equal(new Metrics('').ringFill(), undefined)
})
