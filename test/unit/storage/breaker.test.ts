import t from 'tap'
import { SimulatedClock } from '../../../src/clock.ts'
import {
  BREAKER_FAILURES_MAX,
  STORE_RETRY_MS_MAX,
  STORE_RETRY_MS_MIN,
} from '../../../src/limits.ts'
import { Breaker, breakerReport } from '../../../src/storage/breaker.ts'
import { breakerBoard } from '../../support/breaker-board.ts'

function rig(random = 1) {
  const clock = new SimulatedClock(1_700_000_000_000)
  const board = breakerBoard()
  const breaker = new Breaker({ name: 'redis', clock, board, random: () => random })
  return { clock, board, breaker }
}

/** Opens it: the failures that this takes, each after an attempt. */
function open({ breaker }: Pick<ReturnType<typeof rig>, 'breaker'>): number {
  let waitMs = 0
  for (let i = 0; i < BREAKER_FAILURES_MAX; i++) {
    breaker.tryNow()
    waitMs = breaker.failed('gone')
  }
  return Math.round(waitMs)
}

t.test('closed, every attempt goes ahead, also after a failure or two', (t) => {
  const { breaker } = rig()
  t.equal(breaker.state, 'closed')
  for (let i = 1; i < BREAKER_FAILURES_MAX; i++) {
    t.ok(breaker.tryNow())
    t.equal(breaker.failed('gone'), 0)
    t.equal(breaker.state, 'closed')
  }
  breaker.succeeded()
  t.equal(breaker.failures, 0)
  t.equal(breaker.lastError, 'gone', 'what it was may still be asked')
  t.end()
})

t.test('a success between failures keeps it closed: only those in a row count', (t) => {
  const { breaker } = rig()
  for (let i = 0; i < 5 * BREAKER_FAILURES_MAX; i++) {
    breaker.failed('gone')
    breaker.succeeded()
  }
  t.equal(breaker.state, 'closed')
  t.end()
})

t.test('open, nothing goes ahead until the wait is over, and then one probe', (t) => {
  const bench = rig()
  const { breaker, clock } = bench
  t.equal(open(bench), STORE_RETRY_MS_MIN)
  t.equal(breaker.state, 'open')
  t.equal(breaker.openedAtMs, clock.monoMs())
  clock.advance(STORE_RETRY_MS_MIN - 1)
  t.notOk(breaker.tryNow())
  t.ok(breaker.retryInMs > 0 && breaker.retryInMs <= 1)
  clock.advance(1)
  t.ok(breaker.tryNow())
  t.equal(breaker.state, 'half-open')
  t.notOk(breaker.tryNow(), 'the second is not the probe')
  breaker.succeeded()
  t.equal(breaker.state, 'closed')
  t.ok(breaker.tryNow())
  t.ok(breaker.tryNow())
  t.end()
})

t.test('one failure is enough where it is said to be: a hang, a refusal', (t) => {
  const { breaker } = rig()
  t.ok(breaker.failed('no answer for 60 s', true) > 0)
  t.equal(breaker.state, 'open')
  t.end()
})

t.test('waits double from probe to probe, up to the cap', (t) => {
  const bench = rig()
  const waits = [open(bench)]
  for (let i = 0; i < 10; i++) {
    bench.clock.advance(waits.at(-1) as number)
    t.ok(bench.breaker.tryNow())
    waits.push(Math.round(bench.breaker.failed('gone')))
  }
  t.same(
    waits.slice(0, 3),
    [1, 2, 4].map((times) => times * STORE_RETRY_MS_MIN),
  )
  t.equal(waits.at(-1), STORE_RETRY_MS_MAX)
  t.end()
})

t.test('jitter takes away at most half', (t) => {
  t.equal(open(rig(0)), STORE_RETRY_MS_MIN / 2)
  t.end()
})

t.test('a dependency that takes a probe and then fails is not hammered', (t) => {
  const bench = rig()
  const { breaker, clock } = bench
  const first = open(bench)
  clock.advance(first)
  breaker.tryNow()
  breaker.succeeded()
  t.equal(open(bench), 2 * first, 'soon after: the waits go on growing')
  clock.advance(2 * first)
  breaker.tryNow()
  breaker.succeeded()
  clock.advance(STORE_RETRY_MS_MAX + 1)
  t.equal(open(bench), first, 'after a while of health they begin anew')
  t.end()
})

t.test('an attempt from before it opened, failing after, changes no wait', (t) => {
  const bench = rig()
  open(bench)
  bench.clock.advance(40)
  t.equal(Math.round(bench.breaker.failed('the echo')), STORE_RETRY_MS_MIN - 40)
  t.equal(bench.board.counters.get('opens'), 1)
  t.end()
})

t.test('what it does is counted, and reported with times', (t) => {
  const bench = rig()
  const { board, breaker, clock } = bench
  t.same(breakerReport(board), {
    state: 'closed',
    since: '2023-11-14T22:13:20.000Z',
    failures_in_row: 0,
  })
  clock.advance(1000)
  open(bench)
  t.same(breakerReport(board), {
    state: 'open',
    since: '2023-11-14T22:13:21.000Z',
    next_probe: '2023-11-14T22:13:21.100Z',
    failures_in_row: BREAKER_FAILURES_MAX,
    last_error: 'gone',
    last_error_at: '2023-11-14T22:13:21.000Z',
  })
  clock.advance(500)
  breaker.tryNow()
  t.match(breakerReport(board), { state: 'half-open', since: '2023-11-14T22:13:21.000Z' })
  t.notOk('next_probe' in breakerReport(board))
  breaker.succeeded()
  t.equal(breakerReport(board).since, '2023-11-14T22:13:21.500Z', 'one outage has one begin')
  t.match(board.counters.toJSON(), { state: 0, opens: 1, probes: 1, failures: 3 })
  t.equal(breakerReport(board).last_error, 'gone', 'the latest error stays, with its time')
  t.end()
})

t.test('made anew after a crash it is closed, whatever was counted before', (t) => {
  const bench = rig()
  open(bench)
  const { clock, board } = bench
  t.equal(new Breaker({ name: 'redis', clock, board }).state, 'closed')
  t.equal(breakerReport(board).state, 'closed')
  t.equal(board.counters.get('opens'), 1, 'counters only grow')
  t.end()
})
