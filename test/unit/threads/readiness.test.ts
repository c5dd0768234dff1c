// What /readyz says for each state of the shared memory.

import t, { type Test } from 'tap'
import { SystemClock } from '../../../src/clock.ts'
import { loadConfig } from '../../../src/config/load.ts'
import { SEQ_MAX } from '../../../src/limits.ts'
import { POSITION } from '../../../src/pipeline.ts'
import { Breaker } from '../../../src/storage/breaker.ts'
import { Lifecycle, STATE } from '../../../src/threads/lifecycle.ts'
import { openShard } from '../../../src/threads/open-shard.ts'
import { planThreads } from '../../../src/threads/plan.ts'
import { readiness } from '../../../src/threads/readiness.ts'
import { createSharedMemory, Shared } from '../../../src/threads/shared-memory.ts'

function rig(t: Test, off = { postgres: false, redis: false }, set: string[] = []) {
  const { config } = loadConfig({ set })
  const threads = planThreads(config, 2, off)
  const memory = createSharedMemory(config, threads, [openShard(t.testdir(), 0, config.journal)])
  const shared = new Shared(memory)
  for (const { slot } of threads.flatMap(({ agents }) => agents)) {
    new Lifecycle(memory.lifecycle, slot).state = STATE.running
  }
  shared.counters('postgres', '0').set('connected', 1)
  shared.counters('redis').set('connected', 1)
  shared.position(0, POSITION.postgres).store(off.postgres ? SEQ_MAX : 0)
  const breaker = (name: string) =>
    new Breaker({ name, clock: new SystemClock(), board: shared.breaker(name) })
  return { shared, memory, threads, breaker, report: () => readiness(shared, threads) }
}

t.test('all runs and all are connected: ready', (t) => {
  const { report } = rig(t)
  t.match(report(), {
    ready: true,
    status: 'ready',
    dependencies: { 'postgres-0': { ready: true, lag: 0 }, redis: { ready: true } },
  })
  t.notOk('history' in report().dependencies, 'nobody has asked for history yet')
  t.end()
})

t.test('a store that is away is shown with its breaker, and leaves it ready: degraded', (t) => {
  const { shared, breaker, report } = rig(t)
  const redis = breaker('redis')
  shared.counters('redis').set('connected', 0)
  const waitMs = redis.failed('Redis at h:6379 does not answer', true)
  t.ok(waitMs > 0)
  const { ready, status, dependencies } = report()
  t.same([ready, status], [true, 'degraded'])
  t.match(dependencies.redis, {
    ready: false,
    detail: 'not connected',
    state: 'open',
    since: /^20.*Z$/,
    next_probe: /^20.*Z$/,
    failures_in_row: 1,
    last_error: 'Redis at h:6379 does not answer',
    last_error_at: /^20.*Z$/,
  })
  t.match(dependencies['postgres-0'], { ready: true, state: 'closed' }, 'the others are as before')
  t.end()
})

t.test('connected, but not yet trusted again, is degraded too', (t) => {
  const { breaker, report } = rig(t)
  breaker('postgres-0').failed('refused', true)
  t.match(report(), { status: 'degraded', dependencies: { 'postgres-0': { ready: false } } })
  t.end()
})

t.test('queries of history that fail are shown once there was one', (t) => {
  const { breaker, report } = rig(t)
  const history = breaker('history')
  t.match(report(), { status: 'ready', dependencies: { history: { ready: true } } })
  history.failed('too many connections', true)
  t.match(report(), { status: 'degraded', dependencies: { history: { state: 'open' } } })
  t.end()
})

t.test('stores that are off are no dependency', (t) => {
  const { report } = rig(t, { postgres: true, redis: true })
  const { status, dependencies } = report()
  t.equal(status, 'ready')
  t.same(dependencies.redis, { ready: true, detail: 'off' })
  t.same(dependencies['postgres-0'], { ready: true, detail: 'off' })
  t.end()
})

t.test('an agent that does not run, or a full disk, makes it unready', (t) => {
  const { memory, threads, shared, report } = rig(t)
  shared.counters('journal', '0').set('holding', 1)
  t.match(report(), { ready: false, status: 'unready' })
  shared.counters('journal', '0').set('holding', 0)
  t.equal(report().status, 'ready')
  const [first] = threads.flatMap(({ agents }) => agents)
  new Lifecycle(memory.lifecycle, first?.slot ?? 0).state = STATE.starting
  t.match(report(), { ready: false, dependencies: { agents: { detail: /is starting/ } } })
  t.end()
})

t.test('each thread that serves is an agent, and reads history by a breaker of its own', (t) => {
  const set = ['serve.threads=2']
  const { memory, threads, breaker, report } = rig(t, { postgres: false, redis: false }, set)
  breaker('history-1').failed('too many connections', true)
  const { status, dependencies } = report()
  t.equal(status, 'degraded')
  t.match(dependencies['history-1'], { ready: false, state: 'open' })
  t.notOk('history' in dependencies, 'nobody has asked the other one')
  const agent = threads.flatMap(({ agents }) => agents).find((each) => each.roleName === 'serve-1')
  new Lifecycle(memory.lifecycle, agent?.slot ?? 0).state = STATE.starting
  t.match(report(), { ready: false, dependencies: { agents: { detail: 'serve-1 is starting' } } })
  t.end()
})
