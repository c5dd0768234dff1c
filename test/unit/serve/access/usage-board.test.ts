// What several threads that serve count of a holder together.

import t from 'tap'
import { ADDRESSES_MAX, HOLDERS_MAX } from '../../../../src/limits.ts'
import { Addresses } from '../../../../src/serve/access/addresses.ts'
import { Holder } from '../../../../src/serve/access/holder.ts'
import { UsageBoard, type UsagePlace } from '../../../../src/serve/access/usage-board.ts'

const LIMITS = {
  connections: 3,
  subscriptions: 3,
  messages_per_second: 2,
  bytes_per_second: 1000,
}

/** A holder, as each of `columns` threads knows it. */
function holders(columns: number): { boards: UsageBoard[]; holders: Holder[] } {
  const memory = UsageBoard.create(columns)
  const boards = Array.from({ length: columns }, (_, own) => {
    return new UsageBoard(memory, columns, own, 'salt')
  })
  const places = boards.map((board) => board.place('key:a') as UsagePlace)
  return { boards, holders: places.map((place) => new Holder(LIMITS, place)) }
}

t.test('connections and subscriptions are counted over all threads', async (t) => {
  const { boards, holders: all } = holders(3)
  const [a, b, c] = all as [Holder, Holder, Holder]
  a.connected()
  b.connected()
  b.connected()
  c.subscribed()
  for (const holder of all) t.equal(holder.connectionCount, 3)
  for (const holder of all) t.equal(holder.subscriptionCount, 1)
  b.disconnected()
  c.unsubscribed()
  for (const holder of all) t.same([holder.connectionCount, holder.subscriptionCount], [2, 0])
  t.notOk(a.isIdle(0))
  t.ok(c.isIdle(0), 'a thread forgets who has nothing open there')
  boards[1]?.clear()
  t.equal(a.connectionCount, 1, 'what was open on a thread that has ended is not')
})

t.test('an allowance is of all threads together, whoever takes of it', async (t) => {
  const { holders: all } = holders(3)
  let passed = 0
  // Each of them would have had twenty.
  for (let i = 0; i < 60; i++) if (all[i % 3]?.messages.take(1, 1000) === 0) passed++
  t.equal(passed, 20)
  t.equal(all[0]?.messages.take(1, 1000), 500)
  t.equal(all[1]?.messages.take(1, 1500), 0)
  t.equal(all[2]?.messages.take(1, 1500), 500)
  all[0]?.bytes.charge(2500, 0)
  for (const holder of all) t.equal(holder.bytes.debt(500), 1000)
  for (const holder of all) t.notOk(holder.messages.isFull(6000))
  for (const holder of all) t.ok(holder.messages.isFull(12_000))
})

t.test('who is known anew finds what others have used', async (t) => {
  const { boards, holders: all } = holders(2)
  all[0]?.bytes.charge(5000, 0)
  all[1]?.release()
  const again = new Holder(LIMITS, boards[1]?.place('key:a') as UsagePlace)
  t.equal(again.bytes.debt(0), 4000)
  const other = new Holder(LIMITS, boards[1]?.place('key:b') as UsagePlace)
  t.equal(other.bytes.debt(0), 0, 'and nobody else')
})

t.test('what is charged behind a forgotten holder is charged to nobody', async (t) => {
  const { boards, holders: all } = holders(1)
  all[0]?.release()
  all[0]?.bytes.charge(5000, 0)
  const next = new Holder(LIMITS, boards[0]?.place('key:a') as UsagePlace)
  t.equal(next.bytes.debt(0), 0)
})

t.test('a thread that was ended amid a change leaves a board that heals', async (t) => {
  const { boards, holders: all } = holders(2)
  const [own, other] = boards as [UsageBoard, UsageBoard]
  all[1]?.connected()
  // As between the two steps of a change.
  other.words[(other.words.length / 2) | 0] = (other.version(1) + 1) | 0
  t.equal(other.version(1) % 2, 1)
  t.equal(all[0]?.connectionCount, 1, 'meanwhile it is read as it is')
  other.clear()
  t.equal(own.version(1) % 2, 0)
  t.equal(all[0]?.connectionCount, 0)
})

t.test('addresses: connections and wrong tokens count over all threads', async (t) => {
  const memory = UsageBoard.create(2)
  const [a, b] = [0, 1].map((own) => {
    const addresses = new Addresses(1, new UsageBoard(memory, 2, own, 'salt'))
    return addresses.use('10.0.0.1')
  })
  a?.subscriberCame()
  b?.subscriberCame()
  t.equal(a?.subscriberCount, 2)
  b?.subscriberWent()
  b?.subscriberWent()
  t.equal(a?.subscriberCount, 1)
  for (let i = 0; i < 10; i++) t.equal([a, b][i % 2]?.connects.take(1, 0), 0)
  t.equal(a?.connects.take(1, 0), 1000)
  t.equal(b?.connects.take(1, 0), 1000)
  a?.failures.charge(25, 0)
  t.equal(b?.failures.waitMs(0), 5000)
})

t.test('all who may be known at once have a place', async (t) => {
  const board = new UsageBoard(UsageBoard.create(1), 1, 0, 'salt')
  let missing = 0
  for (let i = 0; i < HOLDERS_MAX + ADDRESSES_MAX; i++) {
    if (board.place(`name ${i}`) === undefined) missing++
  }
  t.equal(missing, 0)
})
