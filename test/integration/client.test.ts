// @tickd/client against the serve agent with real sockets: what it receives, verifies and declares.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { WebSocket } from 'ws'
import { connect, type FeedError, type FeedEvent, type FeedRecord } from '../../client/index.ts'
import { PROTOCOLS } from '../../client/messages.ts'
import { FLAG, KIND } from '../../src/tick/layout.ts'
import { JournalledRig } from '../support/journalled-rig.ts'
import { ServeRig } from '../support/serve-rig.ts'

const WAIT_MS = 10_000

async function until(test: () => boolean, what: string): Promise<void> {
  const deadline = performance.now() + WAIT_MS
  while (!test()) {
    if (performance.now() > deadline) throw new Error(`waited in vain for ${what}`)
    await sleep(5)
  }
}

t.test('every sub-protocol gives the same records', async (t) => {
  const rig = new ServeRig()
  rig.start()
  t.teardown(() => rig.close())
  const id = rig.add('BTC-USDT')
  const seen: FeedRecord[][] = []
  const feeds = PROTOCOLS.map((protocol) => connect(rig.feed, { WebSocket, protocol }))
  const channels = ['trades', 'quotes', 'book']
  for (const [index, feed] of feeds.entries()) {
    t.teardown(() => feed.close())
    seen[index] = []
    for (const channel of channels) {
      const subscription = feed.subscribe(
        { channel, symbols: ['BTC-USDT'] },
        {
          batch: (batch) =>
            seen[index]?.push(...Array.from({ length: batch.count }, (_, i) => batch.record(i))),
        },
      )
      const ack = await subscription.ready
      t.equal(ack.next_seq, 1)
    }
  }
  for (let value = 1; value <= 50; value++) {
    rig.publish([
      { instrument: id, value, flags: FLAG.LAST },
      { instrument: id, value: value + 0.5, kind: KIND.quote },
      { instrument: id, value, kind: KIND.book },
    ])
  }
  await until(() => seen.every((records) => records.length === 150), 'all records')
  const order = (records: FeedRecord[] | undefined) =>
    channels.map((_, i) => records?.filter(({ type }) => type === ['trade', 'quote', 'book'][i]))
  t.same(order(seen[1]), order(seen[0]), 'msgpack = fb')
  t.same(order(seen[2]), order(seen[0]), 'json = fb')
  t.match(order(seen[0])[0]?.[0], {
    seq: 1,
    venue: 'test',
    symbol: 'BTC-USDT',
    price: '1',
    size: '1',
  })
  for (const feed of feeds) t.match(feed.stats, { records: 150, missed: 0, undeclared: 0 })
})

t.test('a refusal ends the subscription with its number; others go on', async (t) => {
  const rig = new ServeRig()
  rig.start()
  const feed = connect(rig.feed, { WebSocket })
  t.teardown(async () => {
    feed.close()
    await rig.close()
  })
  const errors: FeedError[] = []
  const gossip = feed.subscribe({ channel: 'gossip' }, { error: (error) => errors.push(error) })
  await t.rejects(gossip.ready, { name: 'unknown_channel', code: 2001 })
  await t.rejects(gossip[Symbol.asyncIterator]().next(), { code: 2001 })
  t.match(errors, [{ code: 2001 }])
  t.equal(gossip.isClosed, true)
  t.ok((await feed.ping()) >= 0)
  const test = feed.subscribe({ channel: 'test' })
  await test.ready
  test.close()
  await until(() => rig.counters.get('subscriptions') === 0, 'the unsubscribe')
  t.equal(feed.state, 'open')
})

t.test('without a server it waits and tries again; with one it comes', async (t) => {
  const rig = new ServeRig()
  rig.start()
  const states: string[] = []
  const nowhere = rig.feed.replace(/:\d+/, ':1')
  const feed = connect(nowhere, {
    WebSocket,
    backoffMs: [1, 5],
    onState: (state) => states.push(state),
  })
  await until(() => states.filter((state) => state === 'waiting').length > 2, 'three attempts')
  await t.rejects(feed.ping(), { name: 'disconnected' })
  feed.close()
  t.equal(states.at(-1), 'closed')
  const once = connect(nowhere, { WebSocket, backoffMs: [1, 0] })
  const refused = once.subscribe({ channel: 'test' })
  await t.rejects(refused.ready, { name: 'disconnected' }, 'it does not reconnect when told so')
  const node = connect(rig.feed)
  t.ok(await node.subscribe({ channel: 'test' }).ready, 'the WebSocket of Node itself will do')
  node.close()
  await rig.close()
})

t.test('a socket that can be paused is paused while the reader is behind', async (t) => {
  const rig = new ServeRig()
  rig.start()
  const id = rig.add('BTC-USDT')
  const queueRecordsMax = 4096
  const feed = connect(rig.feed, { WebSocket, queueRecordsMax })
  t.teardown(async () => {
    feed.close()
    await rig.close()
  })
  const trades = feed.subscribe({ channel: 'trades' })
  await trades.ready
  const count = 40_000
  for (let value = 1; value <= count; value += 50) {
    rig.publish(Array.from({ length: 50 }, (_, i) => ({ instrument: id, value: value + i })))
    if (value % 1000 === 1) await sleep(1)
  }
  await until(() => rig.counters.get('records_delivered') === count, 'the server to be done')
  await until(() => trades.queuedCount > queueRecordsMax / 2, 'a queue')
  t.ok(trades.stats.records < queueRecordsMax, `${trades.stats.records} were read`)
  let expected = 1
  for await (const record of trades) {
    if (record.seq !== expected) t.fail(`${record.seq} instead of ${expected}`)
    if (expected++ === count) break
  }
  t.match(trades.stats, { missed: 0, records: count })
})

t.test(
  'symbols are changed while it goes on: nothing is missing, nothing comes twice',
  async (t) => {
    const state = mkdtempSync(join(tmpdir(), 'tickd-client-'))
    t.teardown(() => rmSync(state, { recursive: true, force: true }))
    const rig = new JournalledRig(state, { settings: { frame_ticks: 16 } })
    await rig.start()
    t.teardown(() => rig.kill())
    const feed = connect(rig.feed, { WebSocket, backoffMs: [1, 10] })
    t.teardown(() => feed.close())
    const events: FeedEvent[] = []
    const keep = (event: FeedEvent) => events.push(event)
    const subscription = feed.subscribe(
      { channel: 'trades', symbols: ['BTC-USDT'] },
      {
        batch: (batch) => keep({ type: 'batch', batch }),
        gap: (gap) => keep({ type: 'gap', gap }),
        update: (epoch, nextSeq, symbols) => keep({ type: 'update', epoch, nextSeq, symbols }),
      },
    )
    await subscription.ready
    let next = 1
    const publish = () => {
      const rows = [0, 1, 2].map((i) => ({ instrument: rig.ids[i] as number, value: next + i }))
      if (rig.publish(rows)) next += 3
    }
    const during = async (work: Promise<unknown>) => {
      const timer = setInterval(publish, 1)
      await work.finally(() => clearInterval(timer))
    }
    const refused = subscription.update({ remove: ['BTC-USDT'] })
    await t.rejects(refused, { name: 'bad_field', code: 1004 })
    // Asked for at once, done one after the other.
    const first = subscription.update({ add: ['ETH-USDT'] })
    await during(Promise.all([first, subscription.update({ remove: ['BTC-USDT'] }), sleep(50)]))
    feed.cut()
    await t.rejects(subscription.update({ add: ['SOL-USDT'] }), { name: 'disconnected' })
    await during(until(() => feed.state === 'open' && feed.stats.reconnects === 1, 'the reconnect'))
    await during(sleep(20))
    const values = () => {
      return events.flatMap((event) => {
        if (event.type !== 'batch') return []
        return Array.from({ length: event.batch.count }, (_, i) => event.batch.price(i))
      })
    }
    await until(() => values().at(-1) === next - 2, 'the last record of ETH-USDT')
    t.equal(events.filter(({ type }) => type === 'gap').length, 0)
    const sets = [['BTC-USDT', 'ETH-USDT'], ['ETH-USDT']]
    t.match(
      events.filter(({ type }) => type === 'update'),
      sets.map((symbols) => ({ symbols })),
    )
    const of = (index: number) => values().filter((value) => (value - 1) % 3 === index)
    const dense = (list: number[]) =>
      list.every((value, i) => i === 0 || value === (list[i - 1] ?? 0) + 3)
    t.ok(dense(of(0)) && dense(of(1)), 'each symbol without a hole')
    t.same(of(2), [])
    t.ok(of(0).length < of(1).length)
    t.match(subscription.stats, { undeclared: 0, missed: 0 })
  },
)
