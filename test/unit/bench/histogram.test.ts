import t from 'tap'
import { Histogram } from '../../../bench/histogram.ts'

t.test('an empty histogram has no percentiles', async (t) => {
  t.same(new Histogram().summary(), { count: 0, p50Us: 0, p99Us: 0, p999Us: 0, maxUs: 0 })
})

t.test('percentiles of any scale are within one percent of the sorted values', async (t) => {
  for (const scale of [0.5, 7, 100, 12_345, 900_000]) {
    const histogram = new Histogram()
    const values: number[] = []
    for (let i = 0; i < 10_000; i++) {
      const us = ((i * 7919) % 10_007) * (scale / 1000) + scale
      values.push(us)
      histogram.record(us)
    }
    values.sort((a, b) => a - b)
    for (const percent of [0.01, 10, 50, 90, 99, 99.9, 100]) {
      const exact = values[Math.ceil((values.length * percent) / 100) - 1] as number
      const found = histogram.percentile(percent)
      t.ok(
        Math.abs(found - exact) <= exact * 0.016 + 0.125,
        `p${percent} of scale ${scale} is ${exact}, found ${found}`,
      )
    }
    t.equal(histogram.count, values.length)
  }
})

t.test('the maximum is kept, and nothing is beyond the range', async (t) => {
  const histogram = new Histogram()
  histogram.record(3.5)
  histogram.record(-1)
  t.equal(histogram.summary().maxUs, 3.5)
  t.equal(histogram.percentile(50), 0, 'below zero is zero')
  histogram.record(1e12)
  t.ok(histogram.summary().maxUs >= 268e6)
  t.equal(histogram.percentile(100), histogram.summary().maxUs)
})

t.test('a value may be counted many times, and a reset forgets all', async (t) => {
  const histogram = new Histogram()
  histogram.record(10, 99)
  histogram.record(5000)
  t.equal(histogram.percentile(99), 10)
  t.ok(histogram.percentile(99.9) > 4900)
  histogram.reset()
  t.equal(histogram.count, 0)
  t.equal(histogram.percentile(99.9), 0)
})
