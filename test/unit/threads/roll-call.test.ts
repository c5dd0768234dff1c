import t from 'tap'
import { ROLL_CALL_MS_MAX } from '../../../src/limits.ts'
import type { SubscriberAccount } from '../../../src/serve/feed/account.ts'
import { RollCall } from '../../../src/threads/roll-call.ts'
import type { ToWorker } from '../../../src/threads/runtime.ts'

const account = (session: string): SubscriberAccount => ({
  session,
  protocol: 'tickd.v1.json',
  subscriptions: 0,
  published: 0,
  delivered: 0,
  skipped: 0,
  undeclared: 0,
  queued_bytes: 0,
})

function called(role: string, told: ToWorker[], isThere = true) {
  const tell = (message: ToWorker) => {
    told.push(message)
    return isThere
  }
  return { role, tell }
}

t.test('what all tell is one answer, and whoever is not there is silent', async (t) => {
  const rollCall = new RollCall()
  const told: ToWorker[] = []
  const roles = ['serve', 'serve-1'].map((role) => called(role, told))
  const answer = rollCall.ask([...roles, called('serve-2', told, false)], 7)
  t.match(told, [{ type: 'roll-call', max: 7 }, {}, {}])
  const { id } = told[0] as ToWorker
  rollCall.onTold(id, 'serve-1', [account('b')])
  rollCall.onTold(id, 'serve-1', [account('again')])
  rollCall.onTold(id + 1, 'serve', [account('of another call')])
  rollCall.onTold(id, 'serve', [account('a')])
  const { subscribers, silent } = await answer
  t.same(
    subscribers.map(({ session }) => session),
    ['b', 'a'],
  )
  t.same(silent, ['serve-2'])
  rollCall.onTold(id, 'serve', [account('late')])
  t.equal(subscribers.length, 2)
})

t.test('where nobody else serves, nobody is waited for', async (t) => {
  t.same(await new RollCall().ask([], 7), { subscribers: [], silent: [] })
})

t.test('one that stands still is waited for no longer than it may be', async (t) => {
  const rollCall = new RollCall()
  const told: ToWorker[] = []
  const beganMs = performance.now()
  // The timer of a call does not keep a process alive.
  const alive = setInterval(() => {}, 1000)
  const answer = rollCall.ask([called('serve', told), called('serve-1', told)], 7)
  rollCall.onTold((told[0] as ToWorker).id, 'serve', [account('a')])
  t.match(await answer, { subscribers: [{ session: 'a' }], silent: ['serve-1'] })
  t.ok(performance.now() - beganMs >= ROLL_CALL_MS_MAX - 10)
  clearInterval(alive)
})
