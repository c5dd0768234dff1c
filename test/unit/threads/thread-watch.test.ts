import t from 'tap'
import { configSchema } from '../../../src/config/schema.ts'
import { Lifecycle, STATE } from '../../../src/threads/lifecycle.ts'
import { planThreads } from '../../../src/threads/plan.ts'
import { ThreadWatch } from '../../../src/threads/thread-watch.ts'

const SETTINGS = { hang_ms: 3000, disk_hang_ms: 10_000 }
const LOOK_MS = 1000

/** One thread with all agents, running, and its watch. */
function setUp() {
  const config = configSchema.parse({ threads: 'compact' })
  const [thread] = planThreads(config, 2, { postgres: true, redis: true })
  if (thread === undefined) throw new Error('no thread')
  const lines = new SharedArrayBuffer(Lifecycle.bytes(thread.line + 1))
  const pulse = Lifecycle.ofThread(lines, thread)
  const agents = new Map(
    thread.agents.map(({ stage, slot }) => [stage, new Lifecycle(lines, slot)] as const),
  )
  for (const line of agents.values()) line.state = STATE.running
  const watch = new ThreadWatch(thread, lines, SETTINGS, 0)
  let nowMs = 0
  /** Looks each second for so long; the hang that was found, and when. */
  const look = (forMs: number, { beats = false, isPaused = false } = {}) => {
    for (const endMs = nowMs + forMs; nowMs < endMs; ) {
      nowMs += LOOK_MS
      if (beats) pulse.leave()
      const hang = watch.look(nowMs, isPaused)
      if (hang !== undefined) return { ...hang, atMs: nowMs }
    }
    return undefined
  }
  const line = (stage: Parameters<typeof agents.get>[0]) => agents.get(stage) as Lifecycle
  return { watch, look, pulse, line, jump: (ms: number) => (nowMs += ms) }
}

t.test('a thread that beats is left alone, however long it lives', async (t) => {
  const { look } = setUp()
  t.equal(look(3_600_000, { beats: true }), undefined)
})

t.test('a thread that stands still is found, and in whose call', async (t) => {
  const { look, line } = setUp()
  look(2000, { beats: true })
  line('decode').enter()
  const hang = look(60_000)
  t.match(hang, { roleName: 'decode-0', allowedMs: 3000 })
  t.ok(hang !== undefined && hang.stillMs > 3000 && hang.stillMs <= 5000)
})

t.test('one that is called again and again does not stand still', async (t) => {
  const { look, line, pulse } = setUp()
  pulse.leave()
  for (let turn = 0; turn < 20; turn++) {
    line('serve').enter()
    line('serve').leave()
    t.equal(look(LOOK_MS), undefined)
  }
})

t.test('an agent that waits for the disk has more time', async (t) => {
  const { look, line } = setUp()
  look(2000, { beats: true })
  line('journal').enter()
  t.equal(look(10_000), undefined)
  t.match(look(2000), { roleName: 'journal-0', allowedMs: 10_000 })
})

t.test('so has one that starts, and a thread that loads the program', async (t) => {
  const { look, line } = setUp()
  t.equal(look(55_000), undefined, 'no beat yet')
  look(2000, { beats: true })
  line('aggregate').state = STATE.starting
  line('aggregate').enter()
  t.equal(look(50_000), undefined)
  t.match(look(20_000), { roleName: 'aggregate', allowedMs: 60_000 })
})

t.test('a start that never ends is found although the loop turns', async (t) => {
  const { look, line } = setUp()
  line('serve').state = STATE.starting
  t.match(look(70_000, { beats: true }), { roleName: 'serve' })
})

t.test('one that fails and is tried again starts anew each time', async (t) => {
  const { look, line } = setUp()
  line('serve').state = STATE.starting
  for (let attempt = 0; attempt < 5; attempt++) {
    t.equal(look(50_000, { beats: true }), undefined)
    line('serve').countRestart()
  }
})

t.test('time that main did not see pass does not count, nor does a profile', async (t) => {
  const { look, line, jump } = setUp()
  look(2000, { beats: true })
  line('decode').enter()
  jump(3_600_000)
  t.equal(look(LOOK_MS), undefined, 'the machine slept')
  t.equal(look(60_000, { isPaused: true }), undefined, 'a profile is taken')
  t.match(look(4000), { roleName: 'decode-0' })
})

t.test('what a predecessor left odd does not hide who is called', async (t) => {
  const { watch, line } = setUp()
  line('decode').enter()
  line('decode').enter()
  t.equal(line('decode').heartbeat & 1, 1, 'odd again')
  t.equal(watch.called()?.roleName, 'decode-0')
  line('decode').leaveFor()
  t.equal(watch.called(), undefined)
  line('decode').leaveFor()
  t.equal(watch.called(), undefined, 'nothing to leave')
})
