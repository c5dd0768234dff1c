import t from 'tap'
import {
  Session,
  type SessionAction,
  type SessionOptions,
  type Subscriber,
} from '../../../../src/source/venue/session.ts'

/** Says one text; answered by the test. */
class OneText implements Subscriber {
  answered = false
  #said = false

  get done(): boolean {
    return this.answered
  }

  next(): string | undefined {
    if (this.#said) return undefined
    this.#said = true
    return 'subscribe'
  }
}

/** A session with a clock at hand. */
class Rig {
  nowMs = 1000
  readonly session: Session<OneText>
  #lastId = 0

  constructor(options: Partial<SessionOptions<OneText>> = {}) {
    this.session = new Session({
      endpoints: ['ws://one', 'ws://two'],
      newId: () => ++this.#lastId,
      subscribe: () => new OneText(),
      backoffMinMs: 100,
      backoffMaxMs: 10_000,
      silenceMs: 5000,
      rotateMs: 60_000,
      random: () => 1,
      ...options,
    })
  }

  tick(ms = 0): readonly SessionAction[] {
    this.nowMs += ms
    return this.session.tick(this.nowMs)
  }

  /** Opens the connection that was just asked for and answers its subscription. */
  goLive(id: number): readonly SessionAction[] {
    this.session.opened(id, this.nowMs)
    this.tick()
    this.answer(id)
    return this.tick()
  }

  answer(id: number): void {
    const subscriber = this.session.subscriberOf(id)
    if (subscriber !== undefined) subscriber.answered = true
    this.session.answered(id, this.nowMs)
  }

  /** Keeps the connection busy for so long, collecting what the session wants. */
  busy(ids: readonly number[], ms: number, stepMs = 1000): SessionAction[] {
    const actions: SessionAction[] = []
    for (let passedMs = 0; passedMs < ms; passedMs += stepMs) {
      this.nowMs += stepMs
      for (const id of ids) this.session.frame(id, this.nowMs)
      actions.push(...this.session.tick(this.nowMs))
    }
    return actions
  }
}

t.test('it connects, subscribes, and is live when all is answered', async (t) => {
  const rig = new Rig()
  t.same(rig.tick(), [{ type: 'connect', connection: 1, url: 'ws://one' }])
  t.same(rig.tick(), [], 'and only once')
  rig.session.opened(1, rig.nowMs)
  t.same(rig.tick(), [{ type: 'send', connection: 1, text: 'subscribe' }])
  t.notOk(rig.session.isLive)
  rig.answer(1)
  t.same(rig.tick(), [{ type: 'live', connection: 1, rotated: false }])
  t.ok(rig.session.isLive)
})

t.test('failures try the endpoints in turn, after waits that double up to the cap', async (t) => {
  const rig = new Rig()
  const urls: string[] = []
  const waits: number[] = []
  let id = 0
  for (let i = 0; i < 10; i++) {
    const connect = rig.tick().find((action) => action.type === 'connect')
    t.ok(connect, `attempt ${i}`)
    if (connect?.type === 'connect') urls.push(connect.url)
    rig.session.closed(++id, rig.nowMs)
    const wait = rig.tick().find((action) => action.type === 'wait')
    if (wait?.type !== 'wait') throw new Error('no wait')
    waits.push(wait.waitMs)
    t.same(rig.tick(wait.waitMs - 1), [], 'not a millisecond early')
    rig.nowMs += 1
  }
  t.same(urls.slice(0, 4), ['ws://one', 'ws://two', 'ws://one', 'ws://two'])
  t.same(waits, [100, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000, 10_000])
})

t.test('the wait is anywhere up to its ceiling: full jitter', async (t) => {
  const rig = new Rig({ random: () => 0.25 })
  rig.tick()
  rig.session.closed(1, rig.nowMs)
  t.same(rig.tick(), [{ type: 'wait', waitMs: 25, attempt: 1 }])
})

t.test('the back-off begins anew only after a connection was good for a while', async (t) => {
  const rig = new Rig()
  for (const id of [1, 2, 3]) {
    rig.tick()
    rig.goLive(id)
    rig.session.closed(id, rig.nowMs)
    rig.tick()
    rig.nowMs += 10_000
  }
  rig.tick()
  rig.goLive(4)
  rig.busy([4], 11_000)
  rig.session.closed(4, rig.nowMs)
  t.same(rig.tick(), [{ type: 'wait', waitMs: 100, attempt: 1 }], 'from the beginning')
})

t.test('a venue that says wait is not tried before', async (t) => {
  const rig = new Rig()
  rig.tick()
  rig.session.pause(rig.nowMs + 120_000)
  rig.session.closed(1, rig.nowMs)
  t.same(rig.tick(), [{ type: 'wait', waitMs: 120_000, attempt: 1 }])
  t.same(rig.tick(119_999), [])
  t.equal(rig.tick(1)[0]?.type, 'connect')
})

t.test('a connection that does not open in time is given up', async (t) => {
  const rig = new Rig()
  rig.tick()
  t.same(rig.tick(9999), [])
  t.same(rig.tick(1)[0], { type: 'close', connection: 1, reason: 'connect_timeout' })
})

t.test('a subscription that is not answered in time is given up', async (t) => {
  const rig = new Rig({ silenceMs: 60_000 })
  rig.tick()
  rig.session.opened(1, rig.nowMs)
  rig.tick()
  t.same(rig.tick(9999), [])
  t.same(rig.tick(1)[0], { type: 'close', connection: 1, reason: 'unanswered' })
})

t.test('silence closes a live connection; any frame puts it off', async (t) => {
  const rig = new Rig()
  rig.tick()
  rig.goLive(1)
  rig.busy([1], 20_000)
  t.ok(rig.session.isLive)
  t.same(rig.tick(4999), [])
  t.same(rig.tick(1), [
    { type: 'close', connection: 1, reason: 'silent' },
    { type: 'wait', waitMs: 100, attempt: 1 },
  ])
  t.notOk(rig.session.isLive)
})

t.test(
  'rotation: the old connection closes only after the new one has been live a while',
  async (t) => {
    const rig = new Rig()
    rig.tick()
    rig.goLive(1)
    const early = rig.busy([1], 59_000)
    t.same(early, [])
    const due = rig.busy([1], 1000)
    t.same(due, [{ type: 'connect', connection: 2, url: 'ws://one' }])
    t.same(rig.goLive(2), [{ type: 'live', connection: 2, rotated: true }])
    t.equal(rig.session.connectionCount, 2, 'both are read')
    t.same(rig.busy([1, 2], 4000), [])
    t.same(rig.busy([1, 2], 1000), [{ type: 'close', connection: 1, reason: 'rotated' }])
    t.ok(rig.session.isLive)
    t.equal(rig.session.connectionCount, 1)
  },
)

t.test('a rotation that cannot connect tries again, and the old connection goes on', async (t) => {
  const rig = new Rig()
  rig.tick()
  rig.goLive(1)
  rig.busy([1], 60_000)
  rig.session.closed(2, rig.nowMs)
  t.same(rig.tick(), [{ type: 'wait', waitMs: 100, attempt: 1 }])
  t.ok(rig.session.isLive)
  rig.session.frame(1, rig.nowMs)
  t.same(rig.tick(100), [{ type: 'connect', connection: 3, url: 'ws://two' }])
  t.same(rig.goLive(3), [{ type: 'live', connection: 3, rotated: true }])
})

t.test('the old connection may die during a rotation: the new one takes over', async (t) => {
  const rig = new Rig()
  rig.tick()
  rig.goLive(1)
  rig.busy([1], 60_000)
  rig.session.closed(1, rig.nowMs)
  t.notOk(rig.session.isLive)
  rig.tick()
  t.same(rig.goLive(2), [{ type: 'live', connection: 2, rotated: false }])
})

t.test('a retiring connection that dies costs nothing', async (t) => {
  const rig = new Rig()
  rig.tick()
  rig.goLive(1)
  rig.busy([1], 60_000)
  rig.goLive(2)
  rig.session.closed(1, rig.nowMs)
  t.same(rig.busy([2], 10_000), [])
  t.equal(rig.session.connectionCount, 1)
})

t.test('an announced shutdown rotates at once', async (t) => {
  const rig = new Rig()
  rig.tick()
  rig.goLive(1)
  rig.session.shutdownNotice(1, rig.nowMs)
  t.same(rig.tick(), [{ type: 'connect', connection: 2, url: 'ws://one' }])
  t.ok(rig.session.isLive)
})

t.test('stop closes what is open, and nothing is opened again', async (t) => {
  const rig = new Rig()
  rig.tick()
  rig.goLive(1)
  rig.busy([1], 60_000)
  rig.session.stop()
  t.same(rig.tick(), [
    { type: 'close', connection: 1, reason: 'stopped' },
    { type: 'close', connection: 2, reason: 'stopped' },
  ])
  rig.session.closed(1, rig.nowMs)
  t.same(rig.tick(1_000_000), [])
})

t.test('events of connections that are gone change nothing', async (t) => {
  const rig = new Rig()
  rig.tick()
  rig.goLive(1)
  for (const id of [0, 7]) {
    rig.session.frame(id, rig.nowMs)
    rig.session.opened(id, rig.nowMs)
    rig.session.closed(id, rig.nowMs)
    rig.session.shutdownNotice(id, rig.nowMs)
  }
  t.same(rig.tick(), [])
  t.ok(rig.session.isLive)
})
