import t from 'tap'
import { Heartbeats } from '../../../../src/serve/feed/heartbeats.ts'
import { Subscriber } from '../../../../src/serve/feed/subscriber.ts'

const EVERY_MS = 1000

function setUp(names: readonly string[]) {
  const heard: string[] = []
  const beats = new Heartbeats(EVERY_MS, () => 'now')
  const subscribers = names.map((name) => {
    const socket = {
      send: (data: string | Uint8Array) => heard.push(`${name} ${JSON.parse(String(data)).op}`) > 0,
      cork: (work: () => void) => work(),
      bufferedBytes: () => 0,
      end: () => {},
    }
    return new Subscriber(socket, 'tickd.v1.fb', name, 0, 1000)
  })
  const sweep = (nowMs: number) => {
    heard.length = 0
    beats.sweep(nowMs)
    return [...heard]
  }
  return { beats, subscribers, sweep }
}

t.test('each is due after its own time, and then every time again', (t) => {
  const { beats, subscribers, sweep } = setUp(['a', 'b'])
  const [a, b] = subscribers as [Subscriber, Subscriber]
  beats.begin(a, 0)
  beats.begin(b, 400)
  t.same(sweep(999), [])
  t.same(sweep(1000), ['a heartbeat'])
  t.same(sweep(1000), [], 'once')
  t.same(sweep(1399), [])
  t.same(sweep(1450), ['b heartbeat'])
  t.same(sweep(2449), ['a heartbeat'], 'a second after its last one')
  t.same(sweep(2450), ['b heartbeat'])
  t.same(sweep(9000), ['a heartbeat', 'b heartbeat'], 'those that were missed come once')
  t.end()
})

t.test('who has gone hears nothing, also when it goes within a sweep', (t) => {
  const { beats, subscribers, sweep } = setUp(['a', 'b', 'c'])
  const [a, b, c] = subscribers as [Subscriber, Subscriber, Subscriber]
  for (const one of subscribers) beats.begin(one, 0)
  beats.end(a)
  t.same(sweep(1000), ['b heartbeat', 'c heartbeat'])
  b.sendControl = () => beats.end(c)
  t.same(sweep(2000), [])
  t.same(sweep(3000), [])
  t.end()
})
