import t from 'tap'
import { Outbox } from '../../../../src/serve/feed/outbox.ts'
import type { Parcel } from '../../../../src/serve/feed/parcel.ts'
import type { Subscription } from '../../../../src/serve/feed/subscriber.ts'

t.test('what is pushed comes in order, and nothing of it stays behind', (t) => {
  const outbox = new Outbox()
  const names = ['a', 'b', 'c']
  for (const round of [3, 1, 2]) {
    for (const name of names.slice(0, round)) {
      outbox.push({ stream: name } as unknown as Subscription, { count: name } as unknown as Parcel)
    }
    t.equal(outbox.count, round)
    const found = names.slice(0, round).map((_, i) => {
      return [outbox.subscription(i).stream, outbox.parcel(i).count]
    })
    t.same(
      found,
      names.slice(0, round).map((name) => [name, name]),
    )
    outbox.clear()
    t.equal(outbox.count, 0)
    t.equal(outbox.subscription(0), undefined)
    t.equal(outbox.parcel(0), undefined)
  }
  t.end()
})
