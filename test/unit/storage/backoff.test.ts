import t from 'tap'
import { SimulatedClock } from '../../../src/clock.ts'
import { STORE_RETRY_MS_MAX, STORE_RETRY_MS_MIN } from '../../../src/limits.ts'
import { Backoff } from '../../../src/storage/backoff.ts'

t.test('the first attempt need not wait', (t) => {
  t.ok(new Backoff(new SimulatedClock()).isOver())
  t.end()
})

t.test('waits double up to the cap, and a success begins anew', (t) => {
  const backoff = new Backoff(new SimulatedClock(), () => 1)
  const waits = Array.from({ length: 12 }, () => backoff.next())
  t.equal(waits[0], STORE_RETRY_MS_MIN)
  t.equal(waits[1], 2 * STORE_RETRY_MS_MIN)
  t.equal(waits.at(-1), STORE_RETRY_MS_MAX)
  backoff.reset()
  t.ok(backoff.isOver())
  t.equal(backoff.next(), STORE_RETRY_MS_MIN)
  t.end()
})

t.test('jitter takes away at most half', (t) => {
  t.equal(new Backoff(new SimulatedClock(), () => 0).next(), STORE_RETRY_MS_MIN / 2)
  t.end()
})

t.test('a wait is over when its time has passed on the clock, not before', (t) => {
  const clock = new SimulatedClock()
  const backoff = new Backoff(clock, () => 1)
  backoff.next()
  clock.advance(STORE_RETRY_MS_MIN - 1)
  t.notOk(backoff.isOver())
  clock.advance(1)
  t.ok(backoff.isOver())
  t.end()
})
