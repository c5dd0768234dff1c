// Three masters that share the slots: redirections are followed under load, and after each change
// of the cluster its nodes hold the latest table.

import t, { type Test } from 'tap'
import { clusterTarget, urlTarget } from '../../src/storage/redis/config.ts'
import { checkRedis } from '../../src/storage/redis/server.ts'
import { keySlot } from '../../src/storage/redis/slots.ts'
import { redisBinary } from '../support/redis.ts'
import { RedisBench } from '../support/redis-bench.ts'
import {
  clusterHash,
  clusterId,
  migrateSlot,
  RedisFleet,
  type RedisProcess,
  until,
} from '../support/redis-fleet.ts'
import { runUntil } from '../support/store-bench.ts'

const skip = redisBinary === undefined && 'there is no redis-server on this machine'
const INSTRUMENTS = 60
const KEY = 'tickd:latest:bench:BTC-USD'

t.setTimeout(180_000)

t.test('in a cluster', { skip }, async (t) => {
  const fleet = new RedisFleet()
  t.teardown(() => fleet.stop())
  const nodes = await fleet.addCluster(3)
  const [a, b, c] = nodes as [RedisProcess, RedisProcess, RedisProcess]
  // The first seed is not there: the next one names all.
  const target = clusterTarget([{ host: '127.0.0.1', port: 1 }, a.address, b.address])
  const bench = new RedisBench(target, { timeout_ms: 1000 })
  t.teardown(() => bench.agent.onClose())
  await bench.agent.onStart()
  bench.tradeAll(INSTRUMENTS)
  await bench.settle()

  async function checkSame(t: Test, members: readonly RedisProcess[] = nodes): Promise<void> {
    t.same(await bench.differing((key) => clusterHash(members, key)), [])
  }

  /** New values for all, written. */
  async function writeAll(): Promise<void> {
    bench.tradeAll()
    await bench.settle()
  }

  await t.test('slots are those that Redis computes', async (t) => {
    for (const key of [KEY, 'tickd:stream', 'a{b}c', '{}x', 'é{ü}']) {
      t.equal(keySlot(key), await a.call('CLUSTER', 'KEYSLOT', key), key)
    }
    t.match(await checkRedis(target, 2000), /^\d+\.\d+/)
  })

  await t.test('each value is on its node', async (t) => {
    await checkSame(t)
    for (const node of nodes) t.ok((await node.call('DBSIZE')) as number, 'no node is empty')
    t.equal(bench.counters.get('failures'), 0)
  })

  await t.test(
    'slots that move under load (ASK, MOVED) lose nothing and fail nothing',
    async (t) => {
      const owners = new Map(nodes.map((node) => [node.address.port, node]))
      for (const key of [KEY, 'tickd:stream', 'tickd:instruments', 'tickd:latest:bench:S5-USD']) {
        const slot = keySlot(key)
        const ranges = (await a.call('CLUSTER', 'SLOTS')) as [number, number, [string, number]][]
        const range = ranges.find(([first, last]) => slot >= first && slot <= last)
        const from = owners.get(range?.[2][1] as number) as RedisProcess
        const to = nodes.find((node) => node !== from) as RedisProcess
        await migrateSlot(slot, from, to, nodes, writeAll)
        await writeAll()
      }
      t.equal(bench.counters.get('failures'), 0, 'a redirection is no failure')
      await checkSame(t)
    },
  )

  await t.test(
    'a key that is gone from the old node only is asked for at the new one',
    async (t) => {
      const slot = keySlot(KEY)
      const ranges = (await a.call('CLUSTER', 'SLOTS')) as [number, number, [string, number]][]
      const range = ranges.find(([first, last]) => slot >= first && slot <= last)
      const from = nodes.find(({ address }) => address.port === range?.[2][1]) as RedisProcess
      const to = nodes.find((node) => node !== from) as RedisProcess
      await from.call('DEL', KEY)
      // Written while the slot is between the two: the old node says ASK.
      await migrateSlot(slot, from, to, nodes, async () => {
        bench.trade(1, 777, bench.seq++)
        await bench.settle()
      })
      t.equal((await clusterHash(nodes, KEY)).trade_price, '777')
      t.equal(bench.counters.get('failures'), 0)
    },
  )

  await t.test('a master fails over while nothing is written: noticed, and written', async (t) => {
    const replica = await fleet.addClusterNode()
    await fleet.meet(a, replica)
    const id = await clusterId(c)
    const isKnown = async () => String(await replica.call('CLUSTER', 'NODES')).includes(id)
    await until(isKnown, 'the replica knows its master')
    await replica.call('CLUSTER', 'REPLICATE', id)
    await until(() => replica.follows(), 'the replica follows')
    // Refused while the replica has not heard that its master is well; may take a second attempt.
    let askedMs = Number.NEGATIVE_INFINITY
    const isMaster = async () => {
      if (performance.now() - askedMs > 1000) {
        if ((await replica.says('CLUSTER', 'FAILOVER')) === 'OK') askedMs = performance.now()
      }
      return (await replica.says('ROLE')).startsWith('master')
    }
    await until(isMaster, 'failed over')
    const newId = await clusterId(replica)
    const isAgreed = async (node: RedisProcess) => {
      const slots = JSON.stringify(await node.call('CLUSTER', 'SLOTS'))
      return slots.includes(newId) && slots.indexOf(newId) < slots.indexOf(id)
    }
    for (const node of [...nodes, replica]) await until(() => isAgreed(node), 'all agree')
    // What the old one had confirmed and the new one never had.
    const keys = (await replica.call('KEYS', 'tickd:latest:*')) as string[]
    t.ok(keys.length > 0)
    for (const key of keys) await replica.call('DEL', key)
    bench.aheadMs += 60_000
    await runUntil(bench.agent, async () => bench.agent.drain() === false, 'noticed')
    await bench.settle()
    await checkSame(t, [a, b, replica])
    nodes[2] = replica
    await c.kill()
  })

  await t.test('a master dies and comes back empty: failing meanwhile, then right', async (t) => {
    await b.kill()
    bench.tradeAll()
    await runUntil(bench.agent, () => bench.board.counters.get('opens') > 0, 'the breaker opens')
    await b.start()
    await bench.settle(30_000)
    await checkSame(t)
  })

  await t.test('a prefix with a tag puts all keys on one node', async (t) => {
    const tagged = new RedisBench(target, { prefix: '{ticks}:' })
    t.teardown(() => tagged.agent.onClose())
    await tagged.agent.onStart()
    tagged.tradeAll(INSTRUMENTS)
    await tagged.settle()
    const slot = keySlot('{ticks}:')
    const counts = await Promise.all(nodes.map((n) => n.call('CLUSTER', 'COUNTKEYSINSLOT', slot)))
    t.same(
      counts.filter((count) => (count as number) > 0),
      [INSTRUMENTS + 2],
    )
  })

  await t.test('a node of a cluster given as a single server is told to be one', async (t) => {
    const { host, port } = a.address
    const single = new RedisBench(urlTarget(`redis://${host}:${port}`))
    t.teardown(() => single.agent.onClose())
    await single.agent.onStart()
    single.tradeAll(INSTRUMENTS)
    await runUntil(single.agent, () => single.board.counters.get('opens') > 0, 'refused')
    t.match(single.errors().join(), /MOVED.*use redis\.cluster/)
  })
})
