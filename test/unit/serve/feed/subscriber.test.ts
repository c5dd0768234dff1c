import t from 'tap'
import { Subscriber } from '../../../../src/serve/feed/subscriber.ts'
import type { FeedSocket } from '../../../../src/serve/server.ts'

function setUp(bufferedBytes = 0, accepts = true) {
  const sent: (string | Uint8Array)[] = []
  const ends: [code: number, reason: string][] = []
  const socket: FeedSocket = {
    send(data) {
      sent.push(data)
      return accepts
    },
    cork: (work: () => void) => work(),
    bufferedBytes: () => bufferedBytes,
    end: (code, reason) => ends.push([code, reason]),
  }
  return { subscriber: new Subscriber(socket, 'tickd.v1.fb', 's', 0, 1000), sent, ends }
}

t.test('a client that asks and never reads the answers is closed', (t) => {
  const { subscriber, sent, ends } = setUp(995)
  subscriber.sendControl('1234567')
  t.same(sent, [])
  t.same(ends, [[4008, '']])
  t.end()
})

t.test('a client whose socket takes no more is closed', (t) => {
  const { subscriber, ends } = setUp(0, false)
  subscriber.sendControl('{}')
  t.same(ends, [[4008, '']])
  t.end()
})

t.test('messages are allowed in a burst, then at a rate; the wait told is enough', (t) => {
  const { subscriber } = setUp()
  for (let i = 0; i < 512; i++) t.equal(subscriber.takeAllowance(0), 0)
  const waitMs = subscriber.takeAllowance(0)
  t.equal(waitMs, 20)
  t.ok(subscriber.takeAllowance(waitMs - 1) > 0)
  t.equal(subscriber.takeAllowance(waitMs), 0)
  t.ok(subscriber.takeAllowance(waitMs) > 0)
  t.end()
})

t.test('only refusals in a row count as abuse', (t) => {
  const { subscriber } = setUp()
  for (let i = 0; i < 99; i++) t.notOk(subscriber.strike())
  subscriber.forgive()
  for (let i = 0; i < 99; i++) t.notOk(subscriber.strike())
  t.ok(subscriber.strike())
  t.end()
})
