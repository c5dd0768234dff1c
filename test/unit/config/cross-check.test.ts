// Rules between options. Each is given once right and once wrong.

import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { crossCheck } from '../../../src/config/cross-check.ts'
import { loadConfig } from '../../../src/config/load.ts'
import { SOURCES_MAX } from '../../../src/limits.ts'

const skip = process.platform === 'linux' ? false : 'serve.threads is for Linux'
const accepts = (set: string[]): boolean => loadConfig({ set }) !== undefined
const rejects = (set: string[]): string => {
  try {
    loadConfig({ set })
  } catch (error) {
    return String(error)
  }
  return 'accepted'
}

t.test('names of sources are unique', async (t) => {
  t.match(
    rejects(['sources.1.name=synthetic']),
    /sources\[1\]\.name: synthetic is the name of sources\[0\]/,
  )
})

t.test('the number of sources is limited', async (t) => {
  const sources = (count: number) =>
    JSON.stringify(Array.from({ length: count }, (_, i) => ({ name: `s${i}`, type: 'synthetic' })))
  t.ok(accepts([`sources=${sources(SOURCES_MAX)}`]))
  t.match(rejects([`sources=${sources(SOURCES_MAX + 1)}`]), /sources: 257 sources; at most 256/)
})

t.test('a source takes trades or aggregate trades, not both', async (t) => {
  const source = 'name: b, type: binance, symbols: [BTCUSDT]'
  t.ok(accepts([`sources=[{${source}, streams: [aggTrade, depth]}]`]))
  t.match(
    rejects([`sources=[{${source}, streams: [trade, aggTrade]}]`]),
    /sources\[0\]\.streams: trade and aggTrade are the same trades twice/,
  )
})

t.test('a shard of a source exists', async (t) => {
  t.ok(accepts(['shards=2', 'sources.0.shard=1']))
  t.match(
    rejects(['shards=2', 'sources.0.shard=2']),
    /sources\[0\]\.shard: shard 2 does not exist; shards: 2 ends/,
  )
})

t.test('there is at most one http source', async (t) => {
  const two = 'sources=[{name: a, type: http}, {name: b, type: http}]'
  t.match(rejects([two]), /sources\[1\]\.type: sources\[0\] is the http source already/)
})

t.test('no two listeners have the same address', async (t) => {
  t.match(
    rejects(['sources.1.listen.port=8080']),
    /sources\[1\]\.listen\.port: port 8080 is taken by serve/,
  )
  t.match(rejects(['sources.2.listen.port=8101']), /taken by sources\[1\]\.listen\.port/)
  t.match(rejects(['postgres.port=8080']), /postgres\.port: port 8080 is taken by serve/)
  t.ok(accepts(['sources.1.listen.port=8080', 'sources.1.listen.host=127.0.0.2']))
  t.match(rejects(['sources.1.listen.port=8080', 'sources.1.listen.host=0.0.0.0']), /taken/)
  t.match(rejects(['sources.1.listen.port=8080', 'serve.listen.host=localhost']), /taken/)
  t.ok(accepts(['sources.1.listen.port=0', 'serve.listen.port=0']), 'port 0 is always free')
})

t.test('a table of threads names each role exactly once', async (t) => {
  const rest = 'decode, journal, aggregate, postgres, redis'
  t.ok(accepts([`threads={a: [source], b: [serve, ${rest}]}`]))
  t.match(rejects([`threads={a: [source], b: [${rest}]}`]), /threads: no thread has the role serve/)
  t.match(
    rejects([`threads={a: [source, serve], b: [serve, ${rest}]}`]),
    /threads: the role serve is given 2 times/,
  )
})

t.test('an external store needs an address, and only that takes one', async (t) => {
  const url = 'postgres.url=postgresql://me@db:5432/ticks'
  t.ok(accepts(['postgres.mode=external', url]))
  t.match(rejects(['postgres.mode=external']), /postgres\.url: mode external needs a url/)
  t.match(rejects([url]), /postgres\.url: is given, but mode is embedded/)
  t.match(rejects(['postgres.mode=external', 'postgres.url=db:5432']), /must be postgresql:/)
  t.ok(accepts(['redis.mode=external', 'redis.url=redis://cache:6379/0']))
  t.ok(accepts(['redis.mode=external', 'redis.url=unix:///run/redis.sock']))
  t.match(rejects(['redis.mode=external']), /redis\.url: mode external needs a url/)
  t.match(rejects(['redis.mode=external', 'redis.url=http://cache']), /redis\.url: must be redis:/)
})

t.test('Redis is one server, sentinels with a name, or a cluster', async (t) => {
  const external = 'redis.mode=external'
  const sentinels = 'redis.sentinels=[{host: s1}, {host: s2, port: 5000}]'
  const name = 'redis.sentinel_name=ticks'
  const cluster = 'redis.cluster=[{host: n1}]'
  t.ok(accepts([external, sentinels, name]))
  t.ok(accepts([external, cluster]))
  t.match(rejects([external, sentinels]), /sentinel_name: sentinels and sentinel_name belong/)
  t.match(rejects([external, cluster, name]), /sentinel_name: sentinels and sentinel_name belong/)
  t.match(rejects([cluster]), /redis\.cluster: is given, but mode is auto, not external/)
  const both = [external, cluster, 'redis.url=redis://cache:6379/0']
  t.match(rejects(both), /redis\.cluster: url, sentinels and cluster exclude one another/)
  t.match(rejects([external, cluster, sentinels, name]), /exclude one another/)
  const file = `redis.password_file=${join(t.testdir(), 'none')}`
  t.match(rejects([external, cluster, file]), /redis\.password_file: .*ENOENT/)
  const sentinelFile = `redis.sentinel_password_file=${join(t.testdir(), 'none')}`
  t.match(rejects([external, sentinels, name, sentinelFile]), /sentinel_password_file: .*ENOENT/)
})

t.test('a password file exists, is a file, and is not empty', async (t) => {
  const directory = t.testdir({ password: ' s3cret\n', empty: '\n' })
  const base = ['postgres.mode=external', 'postgres.url=postgresql://me@db/ticks']
  const given = (name: string) => [...base, `postgres.password_file=${join(directory, name)}`]
  t.ok(accepts(given('password')))
  t.match(rejects(given('none')), /postgres\.password_file: .*ENOENT/)
  t.match(rejects(given('empty')), /it is empty/)
  t.match(rejects(given('.')), /not a file/)
  writeFileSync(join(directory, 'long'), 'x'.repeat(5000))
  t.match(rejects(given('long')), /longer than 4096 bytes/)
})

t.test('back-off does not begin above its end', async (t) => {
  const source = 'name: b, type: binance, symbols: [BTC-USDT]'
  t.ok(accepts([`sources=[{${source}, backoff_min_ms: 100, backoff_max_ms: 100}]`]))
  t.match(
    rejects([`sources=[{${source}, backoff_min_ms: 101, backoff_max_ms: 100}]`]),
    /backoff_min_ms: 101 is more than backoff_max_ms/,
  )
})

t.test('several threads serve where the kernel shares a port among them', async (t) => {
  const { config } = loadConfig()
  const several = { ...config, serve: { ...config.serve, threads: 2 } }
  t.same(crossCheck(several, 'linux'), [])
  t.same(crossCheck(config, 'darwin'), [], 'one serves anywhere')
  t.match(crossCheck(several, 'darwin'), [
    { path: ['serve', 'threads'], text: /on Linux only; this is darwin/ },
  ])
  t.match(rejects(['serve.threads=17']), /serve\.threads/)
  t.match(rejects(['serve.threads=0']), /serve\.threads/)
})

t.test('no thread of a table has the name of a serve agent', { skip }, async (t) => {
  const rest = 'rest: [journal, aggregate, postgres, redis]'
  const table = (name: string) => `threads={${name}: [source, decode, serve], ${rest}}`
  t.ok(accepts(['serve.threads=3', table('hot')]))
  t.ok(accepts([table('serve-1')]), 'there is no such agent')
  t.match(
    rejects(['serve.threads=3', table('serve-1')]),
    /threads\.serve-1: serve-1 is the thread of a serve agent/,
  )
  t.ok(accepts(['serve.threads=3', table('serve-3')]))
  t.ok(accepts(['serve.threads=3', table('serve')]))
  t.match(rejects(['serve.threads=3', 'shards=2', table('serve')]), /serve-1 is the thread of/)
})
