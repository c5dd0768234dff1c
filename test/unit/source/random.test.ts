import t from 'tap'
import { Random } from '../../../src/source/random.ts'

t.test('the same seed gives the same numbers', async (t) => {
  const a = new Random(7)
  const b = new Random(7)
  for (let i = 0; i < 1000; i++) t.equal(a.next(), b.next())
})

t.test('the numbers of a seed never change: captures and tests depend on them', async (t) => {
  const random = new Random(1)
  t.same([random.next(), random.next(), random.next()], [-555288682, -1569628818, -371089124])
})

t.test('near seeds have nothing in common', async (t) => {
  const a = new Random(1)
  const b = new Random(2)
  let same = 0
  for (let i = 0; i < 1000; i++) if (a.next() === b.next()) same++
  t.equal(same, 0)
})

t.test('below() stays within its bound and reaches all of it evenly', async (t) => {
  const random = new Random(3)
  const counts = new Array<number>(10).fill(0)
  for (let i = 0; i < 100_000; i++) {
    const value = random.below(10)
    counts[value] = (counts[value] ?? 0) + 1
  }
  t.equal(counts.length, 10)
  for (const count of counts) t.ok(count > 9500 && count < 10_500, `${count} of about 10,000`)
})

t.test('fraction() is in [0, 1)', async (t) => {
  const random = new Random(4)
  for (let i = 0; i < 10_000; i++) {
    const value = random.fraction()
    if (value < 0 || value >= 1) t.fail(`${value}`)
  }
})
