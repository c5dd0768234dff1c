import t from 'tap'
import { SimulatedClock } from '../../../src/clock.ts'
import { counterNames } from '../../../src/ops/counter-catalog.ts'
import { CounterSet } from '../../../src/ops/counters.ts'
import { silentLog } from '../../../src/ops/log.ts'
import { Doorbell } from '../../../src/ring/doorbell.ts'
import { type Agent, IDLE_MS_MAX } from '../../../src/threads/agent.ts'
import { COMMAND, Lifecycle, STATE } from '../../../src/threads/lifecycle.ts'
import { Runner } from '../../../src/threads/runner.ts'

/** An agent whose every call is noted, and which fails when told to. */
class ScriptedAgent implements Agent {
  readonly roleName = 'scripted'
  readonly calls: string[]
  readonly script: { throwAt?: string; work: number; drained: boolean; idleMs?: number }

  constructor(calls: string[], script: ScriptedAgent['script']) {
    this.calls = calls
    this.script = script
  }

  #call(name: string): void {
    this.calls.push(name)
    if (this.script.throwAt === name) throw new Error(`told to fail in ${name}`)
  }

  onStart(): void {
    this.#call('start')
  }

  doWork(): number {
    this.#call('work')
    return this.script.work
  }

  idleMsMax(): number {
    return this.script.idleMs ?? IDLE_MS_MAX
  }

  drain(): boolean {
    this.#call('drain')
    return this.script.drained
  }

  onClose(): void {
    this.#call('close')
  }
}

function setUp(script: ScriptedAgent['script']) {
  const calls: string[] = []
  const clock = new SimulatedClock()
  const lifecycle = new Lifecycle(new SharedArrayBuffer(Lifecycle.bytes(1)), 0)
  const counters = new CounterSet(counterNames('agent'))
  const startFailures: unknown[] = []
  const runner = new Runner({
    seats: [
      { roleName: 'scripted', make: () => new ScriptedAgent(calls, script), lifecycle, counters },
    ],
    clock,
    log: silentLog,
    bell: new Doorbell(new SharedArrayBuffer(Doorbell.bytes(1)), 0),
    blocking: true,
    onStartFailure: (_, error) => startFailures.push(error),
  })
  return { calls, clock, lifecycle, counters, runner, startFailures }
}

t.test('an agent rests until it is told to run, drains when told, and closes once', async (t) => {
  const script = { work: 1, drained: false }
  const { calls, lifecycle, runner } = setUp(script)
  runner.turn()
  t.same(calls, [], 'idle: not even started')
  lifecycle.command = COMMAND.run
  runner.turn()
  t.equal(lifecycle.state, STATE.running)
  runner.turn()
  t.same(calls, ['start', 'work'])
  lifecycle.command = COMMAND.drain
  runner.turn()
  t.equal(lifecycle.state, STATE.running, 'not drained yet')
  script.drained = true
  runner.turn()
  t.equal(lifecycle.state, STATE.drained)
  runner.turn()
  t.equal(calls.filter((call) => call === 'drain').length, 2, 'drain is not called once drained')
  lifecycle.command = COMMAND.close
  runner.turn()
  runner.turn()
  t.equal(lifecycle.state, STATE.closed)
  t.equal(calls.filter((call) => call === 'close').length, 1)
  t.ok(runner.finished)
})

t.test('that all agents run is said once, when the last of them does', async (t) => {
  const lines = new SharedArrayBuffer(Lifecycle.bytes(2))
  const lifecycles = [new Lifecycle(lines, 0), new Lifecycle(lines, 1)]
  const script: ScriptedAgent['script'] = { work: 1, drained: true }
  const clock = new SimulatedClock()
  let said = 0
  const runner = new Runner({
    seats: lifecycles.map((lifecycle, index) => ({
      roleName: `scripted-${index}`,
      make: () => new ScriptedAgent([], script),
      lifecycle,
    })),
    clock,
    log: silentLog,
    bell: new Doorbell(new SharedArrayBuffer(Doorbell.bytes(1)), 0),
    blocking: true,
    onRunning: () => said++,
    onStartFailure: () => {},
  })
  for (const [index, lifecycle] of lifecycles.entries()) {
    lifecycle.command = COMMAND.run
    runner.turn()
    t.equal(said, index)
  }
  script.throwAt = 'work'
  runner.turn()
  delete script.throwAt
  clock.advance(1000)
  runner.turn()
  t.same(
    lifecycles.map(({ state }) => state),
    [STATE.running, STATE.running],
  )
  t.equal(said, 1, 'not again after a failure')
})

t.test('an agent that throws is closed, and started anew after a back-off', async (t) => {
  const script: ScriptedAgent['script'] = { work: 1, drained: true, throwAt: 'work' }
  const { calls, clock, lifecycle, runner } = setUp(script)
  lifecycle.command = COMMAND.run
  runner.turn()
  runner.turn()
  t.same(calls, ['start', 'work', 'close'])
  t.equal(lifecycle.restarts, 1)
  runner.turn()
  t.same(calls.length, 3, 'it waits for the back-off')
  delete script.throwAt
  clock.advance(1000)
  runner.turn()
  runner.turn()
  t.same(calls.slice(3), ['start', 'work'])
  t.equal(lifecycle.state, STATE.running)
})

t.test('an agent that fails again and again is given up', async (t) => {
  const { clock, lifecycle, runner } = setUp({ work: 1, drained: true, throwAt: 'work' })
  lifecycle.command = COMMAND.run
  for (let turn = 0; turn < 20; turn++) {
    runner.turn()
    clock.advance(6000)
  }
  t.equal(lifecycle.state, STATE.failed)
  t.equal(lifecycle.restarts, 5)
  t.ok(runner.finished)
})

t.test('a failed first start is reported to the supervisor', async (t) => {
  const { lifecycle, runner, startFailures } = setUp({ work: 0, drained: true, throwAt: 'start' })
  lifecycle.command = COMMAND.run
  runner.turn()
  t.equal(startFailures.length, 1)
  t.match(startFailures[0], { message: /told to fail in start/ })
})

t.test('close on an agent that never ran ends it without starting it', async (t) => {
  const { calls, lifecycle, runner } = setUp({ work: 0, drained: true })
  lifecycle.command = COMMAND.close
  runner.turn()
  t.equal(lifecycle.state, STATE.closed)
  t.same(calls, [])
})

t.test('each duty cycle beats, and those that did work are counted', async (t) => {
  const script = { work: 1, drained: true }
  const { lifecycle, counters, runner } = setUp(script)
  lifecycle.command = COMMAND.run
  runner.turn()
  const before = lifecycle.heartbeat
  runner.turn()
  runner.turn()
  t.equal(lifecycle.heartbeat, before + 4, 'at the beginning and at the end of each')
  t.equal(counters.get('duty_cycles'), 2)
  script.work = 0
  runner.turn()
  t.equal(counters.get('duty_cycles'), 2, 'not the idle ones')
})

t.test('the supervisor waits for a state, and not longer than its deadline', async (t) => {
  const { lifecycle } = setUp({ work: 0, drained: true })
  const wait = lifecycle.waitState([STATE.running], 10_000)
  lifecycle.state = STATE.starting
  lifecycle.state = STATE.running
  t.equal(await wait, STATE.running)
  t.equal(await lifecycle.waitState([STATE.closed], 5), STATE.running)
})

t.test('the thread sleeps no longer than the most impatient agent allows', async (t) => {
  const { lifecycle, runner } = setUp({ work: 0, drained: true, idleMs: 2 })
  t.equal(runner.idleMsMax(), IDLE_MS_MAX, 'nobody is seated yet')
  lifecycle.command = COMMAND.run
  runner.turn()
  t.equal(runner.idleMsMax(), 2)
})

t.test('an agent that gets on between failures is never given up', async (t) => {
  const script: ScriptedAgent['script'] = { work: 1, drained: true }
  const { clock, lifecycle, runner } = setUp(script)
  lifecycle.command = COMMAND.run
  for (let poison = 0; poison < 20; poison++) {
    delete script.throwAt
    clock.advance(100)
    runner.turn()
    runner.turn()
    script.throwAt = 'work'
    runner.turn()
  }
  t.equal(lifecycle.restarts, 20)
  t.not(lifecycle.state, STATE.failed)
})

t.test('a thread whose agents gather naps, and a ring does not end it', async (t) => {
  const lifecycle = new Lifecycle(new SharedArrayBuffer(Lifecycle.bytes(1)), 0)
  const bell = new Doorbell(new SharedArrayBuffer(Doorbell.bytes(1)), 0)
  let duties = 0
  const agent: Agent = {
    roleName: 'gathering',
    doWork: () => {
      bell.ring()
      duties++
      if (duties === 4) lifecycle.command = COMMAND.close
      return 0
    },
    drain: () => true,
    napMs: () => 5,
    idleMsMax: () => 0,
  }
  const runner = new Runner({
    seats: [{ roleName: 'gathering', make: () => agent, lifecycle }],
    clock: new SimulatedClock(),
    log: silentLog,
    bell,
    blocking: true,
    onStartFailure: () => {},
  })
  lifecycle.command = COMMAND.run
  const began = performance.now()
  await runner.run()
  t.equal(duties, 4)
  t.ok(performance.now() - began >= 3 * 4, 'a nap after each duty cycle but the last')
})
