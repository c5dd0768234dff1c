// GET /v1/ledger and /v1/incidents of serve, with real sockets: what main says, passed on, and what
// each subscriber was owed.

import t from 'tap'
import type { Question } from '../../src/ops/questions.ts'
import type { SubscriberAccount } from '../../src/serve/feed/account.ts'
import { FeedClient } from '../support/feed-client.ts'
import { ServeRig } from '../support/serve-rig.ts'

const asked: Question[] = []
const rig = new ServeRig({
  settings: { subscriber_buffer_bytes: 64 * 1024 },
  overrides: {
    sourceNames: ['push', 'venue'],
    ask: async (question) => {
      asked.push(question)
      return question.about === 'ledger'
        ? { status: 200, body: '{"ok":true}' }
        : { status: 503, body: '{"error":{"code":"busy","message":"later"}}' }
    },
  },
})
rig.start()
t.teardown(() => rig.close())

async function get(path: string): Promise<{ status: number; body: unknown }> {
  const response = await fetch(rig.http + path)
  return { status: response.status, body: await response.json() }
}

interface Accounts {
  subscribers: SubscriberAccount[]
  subscribers_ok: boolean
}

async function accounts(): Promise<SubscriberAccount[]> {
  const { subscribers, subscribers_ok: ok } = (await get('/v1/ledger')).body as Accounts
  t.equal(ok, true, 'every subscriber balances')
  return subscribers
}

async function queuedBytes(): Promise<number> {
  const { subscribers } = (await get('/v1/ledger')).body as Accounts
  return subscribers.at(-1)?.queued_bytes ?? 0
}

t.test(
  'questions go to main with a time that can be compared, and answers come back',
  async (t) => {
    t.match(await get('/v1/ledger?since=2026-11-20T21:35:00.5Z&source=venue'), {
      status: 200,
      body: { ok: true, subscribers: [], subscribers_ok: true },
    })
    const since = '2026-11-20T21:35:00.500000000Z'
    t.same(asked.at(-1), { about: 'ledger', since, source: 'venue' })
    await get('/v1/ledger')
    t.same(asked.at(-1), { about: 'ledger', since: undefined, source: undefined })
    t.equal((await get('/v1/incidents?after=7')).status, 503, 'as main says')
    t.same(asked.at(-1), { about: 'incidents', after: 7 })
  },
)

t.test('what cannot be asked is refused, and main is not bothered', async (t) => {
  const { length } = asked
  for (const query of ['since=monday', 'source=nobody', 'from=1', 'since=1&since=2']) {
    t.match(await get(`/v1/ledger?${query}`), { status: 400 }, query)
  }
  t.match(await get('/v1/incidents?after=-1'), { status: 400 })
  t.equal(asked.length, length)
})

t.test('a subscriber is owed what its streams publish and its images hold', async (t) => {
  const [btc, eth] = [rig.add('BTC-USDT'), rig.add('ETH-USDT')]
  rig.publish([
    { instrument: btc, value: 1 },
    { instrument: eth, value: 2 },
  ])
  const client = await FeedClient.open(rig.feed)
  const trades = await client.subscribe({ channel: 'trades', symbols: ['BTC-*'] })
  const snapshot = await client.subscribe({ channel: 'trades', from: 'snapshot' })
  rig.publish(Array.from({ length: 10 }, (_, i) => ({ instrument: i % 2 ? btc : eth, value: i })))
  await client.until(() => client.recordCount(snapshot) === 12, 'all')
  t.equal(client.recordCount(trades), 5)
  const owed = { published: 17, delivered: 17, skipped: 0, undeclared: 0, queued_bytes: 0 }
  t.match(await accounts(), [{ protocol: 'tickd.v1.json', subscriptions: 2, ...owed }])
  client.send({ op: 'unsubscribe', stream: trades })
  await client.until(() => rig.counters.get('subscriptions') === 1, 'the subscription has ended')
  rig.publish([{ instrument: btc, value: 11 }])
  await client.until(() => client.recordCount(snapshot) === 13, 'one more')
  const [account] = await accounts()
  t.match(account, { subscriptions: 1, published: 18, delivered: 18 }, 'the past counts as well')
  await client.close()
})

t.test(
  'of a subscriber that does not read, what it misses is skipped, yet to be declared',
  async (t) => {
    const btc = rig.add('BTC-USDT')
    const slow = await FeedClient.open(rig.feed)
    await slow.subscribe({ channel: 'trades', symbols: ['BTC-USDT'], slow: 'gap' })
    slow.pause()
    let published = 0
    const publish = async (length: number) => {
      rig.publish(Array.from({ length }, () => ({ instrument: btc, value: published++ })))
      await new Promise((resolve) => setImmediate(resolve))
    }
    // First until the sockets between are full: what waits for them then goes on waiting.
    for (let before = 0, now = 0; now === 0 || now !== before; ) {
      if (now === before) await publish(50)
      before = now
      now = await queuedBytes()
    }
    t.equal(rig.counters.get('records_skipped'), 0, 'not too much for it yet')
    while (rig.counters.get('records_skipped') === 0) await publish(50)
    const account = (await accounts()).at(-1) as SubscriberAccount
    t.ok(account.queued_bytes > 0, 'bytes wait for it')
    t.ok(account.skipped > 0)
    t.equal(account.undeclared, account.skipped)
    t.equal(account.published, account.delivered + account.skipped)
    slow.resume()
    await slow.close()
    t.equal(rig.counters.get('subscriptions_unbalanced'), 0)
  },
)
