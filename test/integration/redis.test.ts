// Latest values in a real Redis: what is written, how often, and what happens when it goes away.

import assert from 'node:assert/strict'
import { createServer } from 'node:net'
import t from 'tap'
import type { TickdError } from '../../src/errors.ts'
import { silentLog } from '../../src/ops/log.ts'
import { processInfo } from '../../src/storage/process-info.ts'
import { urlTarget } from '../../src/storage/redis/config.ts'
import { EmbeddedRedis } from '../../src/storage/redis/embedded.ts'
import { checkRedis } from '../../src/storage/redis/server.ts'
import { redisBinary, startRedis, type TestRedis } from '../support/redis.ts'
import { RedisBench } from '../support/redis-bench.ts'
import { runUntil } from '../support/store-bench.ts'

const skip = redisBinary === undefined && 'there is no redis-server on this machine'

function check(url: string, timeoutMs = 5000): Promise<string> {
  return checkRedis(urlTarget(url), timeoutMs)
}

t.test('with a Redis', { skip }, async (t) => {
  let redis: TestRedis
  t.before(async () => {
    redis = await startRedis()
  })
  t.teardown(() => redis.stop())
  t.beforeEach(async () => {
    const client = await redis.client()
    await client.flushall()
    client.disconnect()
  })

  t.test('values, the set of instruments and the stream are written', async (t) => {
    const bench = new RedisBench(redis.target)
    await bench.agent.onStart()
    bench.trade(1, 61_737, 12)
    await bench.settle()
    const client = await redis.client()
    t.teardown(() => client.disconnect())
    t.same(await client.hgetall('tickd:latest:bench:BTC-USD'), {
      trade_price: '61737',
      trade_size: '2.5',
      trade_side: 'buy',
      trade_id: '12',
      trade_ts: '2026-03-01T00:00:00.000000005Z',
      trade_seq: '12',
      seq: '12',
    })
    t.same((await client.smembers('tickd:instruments')).sort(), ['bench:BTC-USD', 'bench:ETH-USD'])
    const [entry] = await client.xrange('tickd:stream', '-', '+')
    const head = ['type', 'trade', 'venue', 'bench', 'symbol', 'BTC-USD', 'trade_price', '61737']
    t.same(entry?.[1].slice(0, 8), head)
    t.equal(await client.exists('tickd:latest:bench:ETH-USD'), 0)
    bench.agent.onClose()
  })

  t.test('however many ticks come, a flush writes each value once', async (t) => {
    const bench = new RedisBench(redis.target, { flush_ms: 60_000 })
    await bench.agent.onStart()
    for (let seq = 0; seq < 10_000; seq++) bench.trade(1 + (seq % 2), seq, seq)
    await bench.settle()
    t.same(bench.counters.toJSON(), {
      flushes: 1,
      keys: 2,
      stream_entries: 2,
      failures: 0,
      connected: 1,
    })
    const client = await redis.client()
    t.teardown(() => client.disconnect())
    t.equal(await client.hget('tickd:latest:bench:ETH-USD', 'trade_price'), '9999')
    t.equal(bench.agent.doWork(), 0, 'nothing changed, nothing is sent')
    bench.agent.onClose()
  })

  t.test('flushes keep their distance', async (t) => {
    const bench = new RedisBench(redis.target, { flush_ms: 60_000 })
    await bench.agent.onStart()
    bench.trade(1, 1, 1)
    await runUntil(bench.agent, () => bench.counters.get('flushes') === 1, 'the first is at once')
    bench.trade(1, 2, 2)
    t.equal(bench.agent.doWork(), 0, 'the second waits')
    bench.agent.onClose()
  })

  t.test('the stream stays near its cap, and there is none at 0', async (t) => {
    const capped = new RedisBench(redis.target, { stream_entries_max: 100, prefix: 'capped:' })
    await capped.agent.onStart()
    for (let seq = 0; seq < 600; seq++) {
      capped.trade(1, seq, seq)
      await runUntil(capped.agent, () => capped.counters.get('keys') === seq + 1, 'written')
    }
    capped.agent.onClose()
    const client = await redis.client()
    t.teardown(() => client.disconnect())
    const length = await client.xlen('capped:stream')
    t.ok(length >= 100 && length < 300, `${length} entries`)
    const off = new RedisBench(redis.target, { stream_entries_max: 0, prefix: 'off:' })
    await off.agent.onStart()
    off.trade(1, 1, 1)
    await off.settle()
    off.agent.onClose()
    t.equal(await client.exists('off:stream'), 0)
    t.equal(await client.exists('off:latest:bench:BTC-USD'), 1)
  })

  t.test('after Redis was killed and is back, all values are written again', async (t) => {
    const bench = new RedisBench(redis.target)
    await bench.agent.onStart()
    bench.trade(1, 1, 1)
    bench.trade(2, 2, 2)
    await bench.settle()
    process.kill(redis.server.pid, 'SIGKILL')
    await runUntil(bench.agent, () => bench.counters.get('connected') === 0, 'noticed')
    t.equal(bench.agent.drain(), true, 'nothing holds a stop up')
    bench.trade(2, 3, 3)
    await runUntil(bench.agent, () => bench.counters.get('connected') === 1, 'connected again')
    await bench.settle()
    const client = await redis.client()
    t.teardown(() => client.disconnect())
    t.equal(await client.hget('tickd:latest:bench:BTC-USD', 'trade_price'), '1')
    t.equal(await client.hget('tickd:latest:bench:ETH-USD', 'trade_price'), '3')
    t.equal((await client.smembers('tickd:instruments')).length, 2)
    bench.agent.onClose()
  })

  t.test('a Redis that is full says so, and is written to again when it is not', async (t) => {
    const client = await redis.client()
    t.teardown(() => client.disconnect())
    const bench = new RedisBench(redis.target)
    await bench.agent.onStart()
    await client.config('SET', 'maxmemory', '1')
    bench.trade(1, 7, 7)
    await runUntil(bench.agent, () => bench.counters.get('failures') > 0, 'refused')
    t.ok(bench.log.lines.some(({ fields }) => String(fields.error).includes('Redis is full')))
    await client.config('SET', 'maxmemory', '0')
    await runUntil(bench.agent, () => bench.counters.get('keys') > 0, 'written')
    t.equal(await client.hget('tickd:latest:bench:BTC-USD', 'trade_price'), '7')
    bench.agent.onClose()
  })

  t.test('checkRedis tells the version, and a wrong password from silence', async (t) => {
    t.match(await check(redis.url), /^\d+\.\d+/)
    await t.rejects(check('unix:///nowhere/redis.sock'), { code: 'REDIS_UNREACHABLE' })
    await t.rejects(check('redis://127.0.0.1:1'), { code: 'REDIS_UNREACHABLE' })
    const client = await redis.client()
    await client.config('SET', 'requirepass', 's3cret')
    t.teardown(async () => {
      await client.config('SET', 'requirepass', '')
      client.disconnect()
    })
    for (const url of [redis.url, `${redis.url}?password=wrong`]) {
      const error = await check(url).then(assert.fail, (thrown) => thrown as TickdError)
      t.equal(error.code, 'REDIS_REFUSED', error.message)
      t.notMatch(error.message, /wrong|s3cret/)
    }
    t.match(await check(`${redis.url}?password=s3cret`), /^\d+/)
  })

  t.test('the private server listens on its socket alone, and keeps nothing', async (t) => {
    const client = await redis.client()
    t.teardown(() => client.disconnect())
    const wanted: [name: string, value: string][] = [
      ['port', '0'],
      ['save', ''],
      ['appendonly', 'no'],
      ['maxmemory-policy', 'noeviction'],
    ]
    for (const [name, value] of wanted) t.same(await client.config('GET', name), [name, value])
  })

  t.test('two at once on one directory: the second is told who is there', async (t) => {
    const { directory } = redis
    const second = EmbeddedRedis.start({ directory, binary: redisBinary as string, log: silentLog })
    await t.rejects(second, { code: 'STATE_DIR_UNUSABLE' })
    t.ok(processInfo(redis.server.pid), 'and the first runs on')
  })
})

t.test('a Redis that takes the connection and says nothing is given up in time', async (t) => {
  const mute = createServer()
  await new Promise<void>((resolve) => mute.listen(0, '127.0.0.1', resolve))
  const { port } = mute.address() as { port: number }
  await t.rejects(check(`redis://127.0.0.1:${port}`, 200), { code: 'REDIS_UNREACHABLE' })
  mute.close()
})
