// The daemon and a Redis that is away, hangs and comes back: ingest goes on, /readyz says degraded
// and why, /metrics too, and in the end Redis holds what /v1/latest does.

import { createServer } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import t from 'tap'
import { DaemonProcess } from '../support/daemon.ts'
import { redisBinary } from '../support/redis.ts'
import { RedisFleet, until } from '../support/redis-fleet.ts'

const skip = redisBinary === undefined && 'there is no redis-server on this machine'
const INSTRUMENTS = 20

t.setTimeout(120_000)

interface Readiness {
  status: string
  dependencies: { redis: { state: string; last_error: string } }
}

t.test('a daemon without its Redis', { skip }, async (t) => {
  const fleet = new RedisFleet()
  t.teardown(() => fleet.stop())
  const redis = await fleet.add()
  await redis.kill()
  const { host, port } = redis.address
  const daemon = await DaemonProcess.start({
    config: {
      sources: [{ name: 'push', type: 'http' }],
      postgres: { mode: 'off' },
      redis: {
        mode: 'external',
        url: `redis://${host}:${port}`,
        timeout_ms: 500,
      },
    },
  })
  t.teardown(() => daemon.stop())
  const http = daemon.address('http')
  let id = 0

  /** A trade of each instrument; the answer comes once they are durable. */
  async function push(): Promise<number> {
    const lines = Array.from({ length: INSTRUMENTS }, (_, i) => {
      const trade = { type: 'trade', venue: 'v', symbol: `S${i}-USD`, id: String(++id) }
      const ts_event = new Date().toISOString()
      return JSON.stringify({ ...trade, ts_event, side: 'buy', price: `${id}.5`, size: '1' })
    })
    const headers = { 'content-type': 'application/x-ndjson' }
    const body = lines.join('\n')
    return (await fetch(`${http}/v1/ticks`, { method: 'POST', headers, body })).status
  }

  async function readyz() {
    const response = await fetch(`${http}/readyz`)
    return { code: response.status, body: (await response.json()) as Readiness }
  }

  async function untilState(status: string): Promise<void> {
    await until(async () => (await readyz()).body.status === status, `/readyz says ${status}`)
  }

  /** Each hash of Redis is the latest trade that HTTP answers. */
  async function untilSame(): Promise<void> {
    const answer = (await (await fetch(`${http}/v1/latest`)).json()) as {
      records: { symbol: string; id: string; price: string }[]
    }
    t.equal(answer.records.length, INSTRUMENTS)
    const client = await redis.client()
    const isSame = async () => {
      for (const { symbol, id, price } of answer.records) {
        const hash = await client.hgetall(`tickd:latest:v:${symbol}`)
        if (hash.trade_id !== id || hash.trade_price !== price) return false
      }
      return true
    }
    await until(isSame, 'Redis holds the latest values')
    client.disconnect()
  }

  await t.test('it said at the start that it goes without', async (t) => {
    const said = daemon.lines.filter(({ msg }) => msg.startsWith('starting without Redis'))
    t.match(said, [{ code: 'REDIS_UNREACHABLE', error: /ECONNREFUSED.*check that it runs/ }])
  })

  await t.test('it starts degraded, takes ticks, and says what is wrong', async (t) => {
    t.equal(await push(), 200)
    await untilState('degraded')
    await until(async () => (await readyz()).body.dependencies.redis.state !== 'closed', 'it opens')
    const { code, body } = await readyz()
    t.equal(code, 200, 'an orchestrator goes on sending it traffic')
    t.match(body.dependencies.redis, { ready: false, last_error: /ECONNREFUSED/ })
    const metrics = await (await fetch(`${http}/metrics`)).text()
    t.match(metrics, /^tickd_breaker_opens_total\{dependency="redis"\} 1$/m)
    t.match(metrics, /^tickd_breaker_state\{dependency="redis"\} [12]$/m)
  })

  await t.test('Redis comes: all values are written, and it is ready', async () => {
    await redis.start()
    await untilState('ready')
    await untilSame()
  })

  await t.test('Redis hangs: ticks go on, and are there when it wakes', async (t) => {
    redis.signal('SIGSTOP')
    t.teardown(() => redis.signal('SIGCONT'))
    let slowestMs = 0
    const push20 = async () => {
      for (let i = 0; i < 20; i++) {
        const beganMs = performance.now()
        t.equal(await push(), 200)
        slowestMs = Math.max(slowestMs, performance.now() - beganMs)
        await delay(5)
      }
    }
    await push20()
    await untilState('degraded')
    await push20()
    t.comment(`slowest push while Redis hung: ${Math.round(slowestMs)} ms`)
    redis.signal('SIGCONT')
    await untilState('ready')
    await untilSame()
  })

  await t.test('its password is changed: said in /readyz, until it is changed back', async (t) => {
    await redis.call('CONFIG', 'SET', 'requirepass', 's3cret')
    const refused = async () => {
      // Those who are in stay in, as long as they are not sent away.
      const client = await redis.client({ password: 's3cret' })
      await client.call('CLIENT', 'KILL', 'TYPE', 'normal')
      client.disconnect()
      return (await readyz()).body.dependencies.redis.last_error?.includes('NOAUTH')
    }
    await until(refused, 'it is refused')
    const { code, body } = await readyz()
    t.equal(code, 200)
    t.match(body, {
      status: 'degraded',
      dependencies: { redis: { last_error: /refused: NOAUTH.*redis\.password_file/ } },
    })
    t.equal(await push(), 200)
    const client = await redis.client({ password: 's3cret' })
    await client.config('SET', 'requirepass', '')
    client.disconnect()
    await untilState('ready')
    await untilSame()
  })

  await t.test('it is said once each, not at each attempt', async (t) => {
    const said = daemon.lines.filter(({ msg }) => msg.startsWith('Redis failed'))
    t.ok(said.length >= 2 && said.length < 12, `${said.length} lines`)
  })
})

t.test('a Redis that takes the connection and says nothing holds no start up', async (t) => {
  const mute = createServer()
  await new Promise<void>((resolve) => mute.listen(0, '127.0.0.1', resolve))
  t.teardown(() => mute.close())
  const { port } = mute.address() as { port: number }
  const daemon = await DaemonProcess.start({
    config: {
      sources: [{ name: 'push', type: 'http' }],
      postgres: { mode: 'off' },
      redis: { mode: 'external', url: `redis://127.0.0.1:${port}`, timeout_ms: 600_000 },
    },
  })
  t.teardown(() => daemon.stop())
  const errors = daemon.lines.filter(({ code }) => code === 'REDIS_UNREACHABLE')
  t.match(errors, [
    { msg: /^starting without Redis/, error: /no answer within 2000 ms/ },
    { msg: /^Redis failed/, error: /no answer within 2000 ms/ },
  ])
})
