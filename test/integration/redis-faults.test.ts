// One real Redis that goes away, hangs, is slow, or says no. After each fault, what it holds is the
// latest table again, and nothing was kept in memory meanwhile but the table.

import { setTimeout as delay } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { urlTarget } from '../../src/storage/redis/config.ts'
import { IDLE_MS_MAX } from '../../src/threads/agent.ts'
import { DribblingProxy } from '../support/dribbling-proxy.ts'
import { redisBinary } from '../support/redis.ts'
import { RedisBench } from '../support/redis-bench.ts'
import { RedisFleet, type RedisProcess } from '../support/redis-fleet.ts'
import { runUntil } from '../support/store-bench.ts'

const skip = redisBinary === undefined && 'there is no redis-server on this machine'
const INSTRUMENTS = 100

async function read(redis: RedisProcess, key: string): Promise<Record<string, string>> {
  const client = await redis.client()
  try {
    return await client.hgetall(key)
  } finally {
    client.disconnect()
  }
}

t.test('a Redis with faults', { skip }, async (t) => {
  const fleet = new RedisFleet()
  t.teardown(() => fleet.stop())
  const redis = await fleet.add()
  const { host, port } = redis.address
  const target = urlTarget(`redis://${host}:${port}`)

  /** All that is in the table is in Redis, value by value. */
  async function checkSame(t: Test, bench: RedisBench): Promise<void> {
    const client = await redis.client()
    const differing = await bench.differing((key) => client.hgetall(key))
    client.disconnect()
    t.same(differing, [], 'Redis holds the latest table')
  }

  async function started(t: Test, settings = {}, address = target): Promise<RedisBench> {
    const bench = new RedisBench(address, settings)
    t.teardown(() => bench.agent.onClose())
    await bench.agent.onStart()
    bench.tradeAll(INSTRUMENTS)
    return bench
  }

  t.beforeEach(async () => {
    await redis.call('FLUSHALL')
  })

  t.test('it is away at the start: written once it comes', async (t) => {
    await redis.kill()
    const bench = await started(t)
    await runUntil(bench.agent, () => bench.board.counters.get('opens') === 1, 'the breaker opens')
    t.match(bench.agent.status().lastError, { code: 'REDIS_UNREACHABLE', canRetry: true })
    await redis.start()
    await bench.settle()
    await checkSame(t, bench)
    t.equal(bench.board.counters.get('state'), 0, 'closed again')
    t.ok(bench.board.counters.get('probes') >= 1)
  })

  t.test('it is killed and comes back empty: all values are written again', async (t) => {
    const bench = await started(t)
    await bench.settle()
    await redis.kill()
    bench.trade(1, 999, 999_999)
    await runUntil(bench.agent, () => bench.board.counters.get('failures') > 0, 'noticed')
    await redis.start()
    await bench.settle()
    await checkSame(t, bench)
    const set = (await redis.call('SCARD', 'tickd:instruments')) as number
    t.equal(set, INSTRUMENTS)
  })

  t.test('it hangs: given up after timeout_ms, with one flush in memory at most', async (t) => {
    const bench = await started(t, { timeout_ms: 200 })
    await bench.settle()
    redis.signal('SIGSTOP')
    t.teardown(() => redis.signal('SIGCONT'))
    const keys = bench.counters.get('keys')
    const beganMs = performance.now()
    const isOpen = () => bench.board.counters.get('opens') === 1
    await runUntil(
      bench.agent,
      () => {
        bench.tradeAll()
        return isOpen()
      },
      'given up',
    )
    const gaveUpMs = performance.now() - beganMs
    t.ok(gaveUpMs >= 200 && gaveUpMs < 5000, `after ${Math.round(gaveUpMs)} ms`)
    t.match(bench.errors().join('\n'), /Redis said nothing for 200 ms/)
    t.equal(bench.counters.get('keys'), keys, 'nothing was confirmed, nothing is counted')
    await runUntil(bench.agent, () => bench.board.counters.get('probes') >= 2, 'it is probed')
    redis.signal('SIGCONT')
    await bench.settle()
    await checkSame(t, bench)
  })

  t.test('it is slow, but answers: it is waited for', async (t) => {
    const slow = await DribblingProxy.listen(redis.address)
    t.teardown(() => slow.close())
    const timeoutMs = 150
    const settings = { timeout_ms: timeoutMs, stream_entries_max: 0 }
    const bench = await started(t, settings, urlTarget(`redis://${host}:${slow.port}`))
    await bench.settle()
    slow.slowDown()
    bench.tradeAll()
    const beganMs = performance.now()
    await bench.settle()
    const tookMs = performance.now() - beganMs
    t.ok(tookMs > timeoutMs, `its answer took ${Math.round(tookMs)} ms, and kept coming`)
    t.equal(bench.board.counters.get('failures'), 0)
    await checkSame(t, bench)
  })

  t.test('it is full (noeviction): said, probed with one value, then all is right', async (t) => {
    const bench = await started(t)
    await bench.settle()
    await redis.call('CONFIG', 'SET', 'maxmemory', 1)
    t.teardown(() => redis.call('CONFIG', 'SET', 'maxmemory', 0))
    bench.tradeAll()
    await runUntil(bench.agent, () => bench.board.counters.get('opens') === 1, 'it opens')
    await redis.call('CONFIG', 'RESETSTAT')
    const failures = bench.board.counters.get('failures')
    const isProbed = () => bench.board.counters.get('failures') >= failures + 2
    await runUntil(bench.agent, isProbed, 'probed twice')
    const stats = await redis.says('INFO', 'commandstats')
    t.match(stats, /cmdstat_hset:calls=0,.*rejected_calls=2,/, 'a probe is one value')
    t.match(bench.errors().join('\n'), /OOM command not allowed.*raise its maxmemory/)
    const loud = bench.log.lines.filter(({ level }) => level === 'error')
    t.equal(loud.length, 1, 'the same trouble again is not said again')
    await redis.call('CONFIG', 'SET', 'maxmemory', 0)
    await bench.settle()
    await checkSame(t, bench)
  })

  t.test('it is demoted to a replica (READONLY), and promoted again', async (t) => {
    const bench = await started(t)
    await bench.settle()
    const other = await fleet.add()
    await redis.call('REPLICAOF', other.address.host, other.address.port)
    bench.tradeAll()
    await runUntil(bench.agent, () => bench.board.counters.get('failures') > 0, 'refused')
    t.match(bench.errors().join('\n'), /READONLY.*demoted/)
    await redis.call('REPLICAOF', 'NO', 'ONE')
    await bench.settle()
    await checkSame(t, bench)
  })

  t.test('its users: no rights, a wrong password, then both mended', async (t) => {
    const user = (...rules: string[]) => redis.call('ACL', 'SETUSER', 'tickd', ...rules)
    await user('on', '>s3cret', 'resetkeys', '~tickd:*', '-@all', '+ping', '+hset')
    t.teardown(() => redis.call('ACL', 'DELUSER', 'tickd'))
    const address = (password: string) => urlTarget(`redis://tickd:${password}@${host}:${port}`)
    const wrong = await started(t, {}, address('wrong'))
    t.match(wrong.agent.status().lastError, { code: 'REDIS_REFUSED', message: /WRONGPASS/ })
    t.equal(wrong.board.counters.get('opens'), 1, 'a refusal opens the breaker at once')
    const bench = await started(t, {}, address('s3cret'))
    await runUntil(bench.agent, () => bench.board.counters.get('failures') > 0, 'refused')
    t.match(bench.errors().join('\n'), /NOPERM.*sadd.*docs\/redis\.md/)
    t.notMatch([...wrong.errors(), ...bench.errors()].join('\n'), /s3cret/)
    // The rights that docs/redis.md lists are enough.
    await user('+sadd', '+xadd')
    await bench.settle()
    await checkSame(t, bench)
  })

  t.test('while it is away the table changes a million times: memory stays as it is', async (t) => {
    const bench = await started(t, { timeout_ms: 100 })
    await bench.settle()
    redis.signal('SIGSTOP')
    t.teardown(() => redis.signal('SIGCONT'))
    const before = process.memoryUsage()
    for (let round = 0; round < 10_000; round++) {
      bench.tradeAll()
      bench.agent.doWork()
      if (round % 500 === 0) await delay(1)
    }
    const after = process.memoryUsage()
    const grownMiB = (after.rss - before.rss) / 2 ** 20
    t.ok(grownMiB < 100, `${Math.round(grownMiB)} MiB`)
    redis.signal('SIGCONT')
    await bench.settle()
    await checkSame(t, bench)
  })

  t.test('nothing is sent and nothing is looked at while nothing changes', async (t) => {
    const bench = await started(t)
    await bench.settle()
    const idle = new RedisBench(target)
    t.teardown(() => idle.agent.onClose())
    await idle.agent.onStart()
    await idle.untilConnected()
    idle.agent.doWork()
    t.equal(idle.agent.idleMsMax(), IDLE_MS_MAX, 'asleep as long as an agent may be')
    idle.trade(1, 5, 1)
    t.ok(idle.agent.idleMsMax() <= 1, 'a change is due at the next flush')
    await runUntil(idle.agent, () => idle.counters.get('keys') === 1, 'written')
    t.equal((await read(redis, 'tickd:latest:bench:BTC-USD')).trade_price, '5')
  })
})
