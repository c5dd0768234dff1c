import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { counterNames } from '../../../../src/ops/counter-catalog.ts'
import { CounterSet } from '../../../../src/ops/counters.ts'
import { DUTY_LONG_MS, DutyMeter } from '../../../../src/ops/profiling/duty-meter.ts'
import { METER_MS, ThreadMeter } from '../../../../src/ops/profiling/thread-meter.ts'

t.test('a blocking thread is busy when it was not put to sleep', async (t) => {
  const counters = new CounterSet(counterNames('thread'))
  const meter = new ThreadMeter(counters, { blocking: true, nowMs: 5000 })
  meter.slept(250)
  meter.turn(5000 + METER_MS - 1)
  t.equal(counters.get('busy_seconds'), 0, 'a second is not over')
  meter.turn(5000 + METER_MS)
  t.equal(counters.get('utilization'), 0.75)
  meter.slept(METER_MS)
  meter.turn(5000 + 2 * METER_MS)
  t.equal(counters.get('utilization'), 0)
  t.equal(counters.get('busy_seconds'), 0.75)
  t.equal(counters.get('idle_seconds'), 1.25)
  t.equal(counters.get('starts'), 1)
  t.ok(counters.get('heap_used_bytes') > 1e6)
})

t.test('an event loop that waits is idle, and one that computes is not', async (t) => {
  const counters = new CounterSet(counterNames('thread'))
  const meter = new ThreadMeter(counters, { blocking: false, nowMs: performance.now() })
  await sleep(METER_MS)
  meter.turn(performance.now() + 1)
  const idle = counters.get('utilization')
  t.ok(idle < 0.5, `${idle}`)
  const untilMs = performance.now() + METER_MS + 10
  while (performance.now() < untilMs);
  meter.turn(performance.now())
  const busy = counters.get('utilization')
  t.ok(busy > 0.9, `${busy}`)
})

t.test('collections are counted, each once', async (t) => {
  const counters = new CounterSet(counterNames('thread'))
  const meter = new ThreadMeter(counters, { blocking: true, nowMs: 0 })
  let made: object[] = []
  for (let i = 0; i < 3e6; i++) {
    made.push({ i })
    if (made.length > 1e5) made = []
  }
  meter.turn(METER_MS)
  const pauses = counters.get('gc_pauses')
  t.ok(pauses > 0)
  t.ok(counters.get('gc_seconds') > 0)
  t.ok(counters.get('gc_seconds_max') <= counters.get('gc_seconds'))
  t.ok(counters.get('gc_seconds_max') >= counters.get('gc_seconds') / pauses)
  meter.turn(2 * METER_MS)
  t.ok(counters.get('gc_pauses') - pauses < pauses, 'the next second begins at none')
})

t.test('duty cycles: their number, sum, longest, and those too long', async (t) => {
  const counters = new CounterSet(counterNames('agent'))
  const meter = new DutyMeter(counters)
  for (const ms of [1, DUTY_LONG_MS, DUTY_LONG_MS + 1, 4]) meter.note(ms)
  t.equal(counters.get('duty_cycles'), 4)
  t.equal(counters.get('duty_seconds').toFixed(6), ((5 + 2 * DUTY_LONG_MS + 1) / 1000).toFixed(6))
  t.equal(counters.get('duty_seconds_max'), (DUTY_LONG_MS + 1) / 1000)
  t.equal(counters.get('duty_long'), 1)
})
