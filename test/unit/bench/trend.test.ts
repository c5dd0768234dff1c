import t from 'tap'
import { trendOf } from '../../../bench/trend.ts'

t.test('a straight line is found, whatever it starts at', async (t) => {
  const seconds = [0, 10, 20, 40]
  const trend = trendOf(
    seconds,
    seconds.map((second) => 500 + 2 * second),
  )
  t.ok(Math.abs(trend.perHour - 7200) < 1e-6)
  t.ok(Math.abs(trend.growth - 80) < 1e-6)
  t.equal(trend.median, 540)
})

t.test('what goes up and down without climbing has no growth to speak of', async (t) => {
  const seconds = Array.from({ length: 101 }, (_, i) => i)
  const trend = trendOf(
    seconds,
    seconds.map((second) => 100 + (second % 2 === 0 ? 5 : -5)),
  )
  t.ok(Math.abs(trend.growth) < 1)
})

t.test('samples of one moment have no trend', async (t) => {
  t.throws(() => trendOf([3, 3], [1, 2]), /different times/)
})
