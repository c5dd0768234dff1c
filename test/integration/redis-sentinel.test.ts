// A master, a replica and a sentinel: after each failover the new master holds the latest table.

import t, { type Test } from 'tap'
import type { RedisTarget } from '../../src/storage/redis/config.ts'
import { RedisNodes } from '../../src/storage/redis/nodes.ts'
import { checkRedis } from '../../src/storage/redis/server.ts'
import { redisBinary } from '../support/redis.ts'
import { RedisBench } from '../support/redis-bench.ts'
import { MASTER_NAME, RedisFleet, type RedisProcess, until } from '../support/redis-fleet.ts'
import { runUntil } from '../support/store-bench.ts'

const skip = redisBinary === undefined && 'there is no redis-server on this machine'
const INSTRUMENTS = 100
const DOWN_AFTER_MS = 400
const FAILOVER_MS_MAX = 40_000
const SETTINGS = { timeout_ms: 500 }

t.setTimeout(180_000)

function sentinelTarget(sentinel: RedisProcess, masterName = MASTER_NAME): RedisTarget {
  const seeds = [sentinel.address]
  const show = `${masterName} of sentinels`
  return { kind: 'sentinel', seeds, masterName, options: {}, sentinelOptions: {}, show }
}

/** The server of `all` that the sentinel calls the master. */
async function masterOf(sentinel: RedisProcess, all: readonly RedisProcess[]) {
  const address = await sentinel.call('SENTINEL', 'GET-MASTER-ADDR-BY-NAME', MASTER_NAME)
  const port = Number((address as [string, string])[1])
  return all.find((server) => server.address.port === port)
}

t.test('under a sentinel', { skip }, async (t) => {
  const fleet = new RedisFleet()
  t.teardown(() => fleet.stop())
  const { master: first, replica: second, sentinel } = await fleet.addSentinel(DOWN_AFTER_MS)
  const all = [first, second]
  const target = sentinelTarget(sentinel)
  const bench = new RedisBench(target, SETTINGS)
  t.teardown(() => bench.agent.onClose())
  await bench.agent.onStart()
  bench.tradeAll(INSTRUMENTS)
  await bench.settle()

  async function checkSame(t: Test, server: RedisProcess): Promise<void> {
    const client = await server.client()
    t.same(await bench.differing((key) => client.hgetall(key)), [])
    t.equal(await client.scard('tickd:instruments'), INSTRUMENTS)
    client.disconnect()
  }

  /** Writes on, until `server` is the master and all is written. */
  async function untilMaster(server: RedisProcess): Promise<void> {
    const isMaster = async () => {
      bench.tradeAll()
      if ((await masterOf(sentinel, all)) !== server) return false
      return (await server.says('ROLE')).startsWith('master')
    }
    await runUntil(bench.agent, isMaster, 'failed over', FAILOVER_MS_MAX)
    await bench.settle(FAILOVER_MS_MAX)
  }

  /** The sentinel would see to it too, ten seconds later. */
  async function follow(server: RedisProcess, master: RedisProcess): Promise<void> {
    const { host, port } = master.address
    await server.call('REPLICAOF', host, port)
    await runUntil(bench.agent, () => server.follows(), 'the old master follows', FAILOVER_MS_MAX)
  }

  await t.test('the master is found and written to, and its version told', async (t) => {
    await checkSame(t, first)
    t.match(await checkRedis(target, 2000), /^\d+\.\d+/)
  })

  await t.test('the master is killed: the replica is promoted and holds all', async (t) => {
    await first.kill()
    await untilMaster(second)
    await checkSame(t, second)
    await first.start()
    await follow(first, second)
  })

  await t.test('the master hangs and comes back demoted: the new one holds all', async (t) => {
    second.signal('SIGSTOP')
    t.teardown(() => second.signal('SIGCONT'))
    await untilMaster(first)
    await checkSame(t, first)
    second.signal('SIGCONT')
    await follow(second, first)
    const failures = bench.board.counters.get('failures')
    bench.tradeAll()
    await bench.settle()
    await checkSame(t, first)
    t.equal(bench.board.counters.get('failures'), failures, 'it stays with the new one')
  })

  await t.test('a failover while nothing is written is noticed by the next look', async (t) => {
    // Refused while the sentinel does not yet think well of the replica.
    const isAccepted = async () =>
      (await sentinel.says('SENTINEL', 'FAILOVER', MASTER_NAME)) === 'OK'
    await until(isAccepted, 'the failover begins', FAILOVER_MS_MAX)
    const isOver = async () => (await masterOf(sentinel, all)) === second
    await until(isOver, 'failed over', FAILOVER_MS_MAX)
    await second.call('FLUSHALL')
    bench.aheadMs += 60_000
    const isNoticed = () => bench.counters.get('connected') === 0
    await runUntil(bench.agent, isNoticed, 'noticed')
    await bench.settle(FAILOVER_MS_MAX)
    await checkSame(t, second)
  })

  await t.test('what the sentinel says counts, not that the connection is well', async (t) => {
    const point = async (server: RedisProcess) => {
      const { host, port } = server.address
      await sentinel.call('SENTINEL', 'REMOVE', MASTER_NAME)
      await sentinel.call('SENTINEL', 'MONITOR', MASTER_NAME, host, port, 1)
    }
    // Its replica, which takes no writes.
    await follow(first, second)
    await point(first)
    bench.aheadMs += 60_000
    const isNoticed = () => bench.errors().some((text) => text.includes('the master is now'))
    await runUntil(bench.agent, isNoticed, 'noticed')
    const isRefused = () => bench.errors().some((text) => text.includes('no master yet'))
    await runUntil(bench.agent, isRefused, 'a replica is not taken for a master')
    await point(second)
    bench.tradeAll()
    await bench.settle(FAILOVER_MS_MAX)
    await checkSame(t, second)
  })

  await t.test('a name that no sentinel knows, and no sentinel at all, are told', async (t) => {
    await t.rejects(checkRedis(sentinelTarget(sentinel, 'other'), 1000), {
      code: 'REDIS_UNREACHABLE',
      message: /knows no master other/,
    })
    const connected = await RedisNodes.open({ target, timeoutMs: 1000, onLost: () => {} })
    await sentinel.kill()
    await t.rejects(checkRedis(target, 1000), {
      code: 'REDIS_UNREACHABLE',
      message: /no sentinel names its master/,
    })
    await t.resolves(connected.check(), 'what is connected goes on without')
    connected.close()
    bench.tradeAll()
    await bench.settle()
    await checkSame(t, second)
  })
})
