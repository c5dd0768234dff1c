// The rules between options, and with the machine: checked once each option by itself is right.

import { SOURCES_MAX } from '../limits.ts'
import { PIPELINE, STAGE_NAMES } from '../pipeline.ts'
import { accessProblems } from './cross-check-access.ts'
import { givenText, type Problem, pathText } from './problem.ts'
import type { Config } from './schema.ts'
import type { Path } from './schema-node.ts'
import { readSecret } from './secret.ts'

/** `platform`: as Node names it. */
export function crossCheck(config: Config, platform: string = process.platform): Problem[] {
  return [
    ...sourceProblems(config),
    ...listenerProblems(config),
    ...accessProblems(config),
    ...threadProblems(config),
    ...serveThreadProblems(config, platform),
    ...storeProblems(config),
  ]
}

function sourceProblems(config: Config): Problem[] {
  const problems: Problem[] = []
  const { sources, shards } = config
  if (sources.length > SOURCES_MAX) {
    problems.push({ path: ['sources'], text: `${sources.length} sources; at most ${SOURCES_MAX}` })
  }
  const firstOf = new Map<string, number>()
  for (const [index, source] of sources.entries()) {
    const first = firstOf.get(source.name)
    if (first === undefined) firstOf.set(source.name, index)
    else {
      const text = `${source.name} is the name of sources[${first}] already; names are unique`
      problems.push({ path: ['sources', index, 'name'], text })
    }
    if (source.shard >= shards) {
      const text = `shard ${source.shard} does not exist; shards: ${shards} ends with ${shards - 1}`
      problems.push({ path: ['sources', index, 'shard'], text })
    }
    if (source.type === 'binance' && source.backoff_min_ms > source.backoff_max_ms) {
      const text = `${source.backoff_min_ms} is more than backoff_max_ms, ${source.backoff_max_ms}`
      problems.push({ path: ['sources', index, 'backoff_min_ms'], text })
    }
    if (source.type === 'binance') problems.push(...streamProblems(source.streams, index))
  }
  const https = sources.flatMap((source, index) => (source.type === 'http' ? [index] : []))
  for (const index of https.slice(1)) {
    const text = `sources[${https[0]}] is the http source already; there is one HTTP listener`
    problems.push({ path: ['sources', index, 'type'], text })
  }
  return problems
}

/** Both number the same trades, each in its own way: the memory of ids would mix them up. */
function streamProblems(streams: readonly string[], index: number): Problem[] {
  if (!streams.includes('trade') || !streams.includes('aggTrade')) return []
  const text = 'trade and aggTrade are the same trades twice, with ids of their own; choose one'
  return [{ path: ['sources', index, 'streams'], text }]
}

interface Listener {
  readonly path: Path
  readonly host: string
  readonly port: number
}

function listenerProblems(config: Config): Problem[] {
  const listeners: Listener[] = [{ path: ['serve', 'listen', 'port'], ...config.serve.listen }]
  const { admin } = config
  if (admin.enabled) listeners.push({ path: ['admin', 'listen', 'port'], ...admin.listen })
  for (const [index, source] of config.sources.entries()) {
    if (source.type === 'tcp') {
      listeners.push({ path: ['sources', index, 'listen', 'port'], ...source.listen })
    }
  }
  if (config.postgres.mode === 'embedded') {
    listeners.push({
      path: ['postgres', 'port'],
      host: '127.0.0.1',
      port: config.postgres.port,
    })
  }
  return listeners.flatMap((listener, index) => {
    const other = listeners.slice(0, index).find((earlier) => sameAddress(earlier, listener))
    if (other === undefined) return []
    const text = `port ${listener.port} is taken by ${pathText(other.path)}`
    return [{ path: listener.path, text }]
  })
}

/** Port 0 is a free one of its own. One port on two addresses is two listeners; on all, one. */
function sameAddress(a: Listener, b: Listener): boolean {
  if (a.port !== b.port || a.port === 0) return false
  const loopback = (host: string) => (host === 'localhost' ? '127.0.0.1' : host)
  return loopback(a.host) === loopback(b.host) || isWildcard(a.host) || isWildcard(b.host)
}

function isWildcard(host: string): boolean {
  return host === '0.0.0.0' || host === '::' || host === '[::]'
}

function threadProblems({ threads }: Config): Problem[] {
  if (typeof threads === 'string') return []
  const problems: Problem[] = []
  const given = Object.values(threads).flat()
  for (const role of STAGE_NAMES) {
    const count = given.filter((each) => each === role).length
    if (count === 0) problems.push({ path: ['threads'], text: `no thread has the role ${role}` })
    if (count > 1)
      problems.push({ path: ['threads'], text: `the role ${role} is given ${count} times` })
  }
  return problems
}

/** Elsewhere the kernel gives all connections of a shared port to one of its listeners. */
function serveThreadProblems({ threads, shards, serve }: Config, platform: string): Problem[] {
  if (serve.threads === 1) return []
  if (platform !== 'linux') {
    const text = `${serve.threads} threads share a port on Linux only; this is ${platform}: set 1`
    return [{ path: ['serve', 'threads'], text }]
  }
  if (typeof threads === 'string') return []
  const problems: Problem[] = []
  for (const [name, stages] of Object.entries(threads)) {
    const isSharded = PIPELINE.some(({ stage, instances }) => {
      return instances === 'shard' && stages.includes(stage)
    })
    const taken = isSharded ? Array.from({ length: shards }, (_, i) => `${name}-${i}`).slice(1) : []
    for (let instance = 1; instance < serve.threads; instance++) {
      const role = `serve-${instance}`
      if (![name, ...taken].includes(role)) continue
      const text = `${role} is the thread of a serve agent (serve.threads): rename ${name}`
      problems.push({ path: ['threads', name], text })
      break
    }
  }
  return problems
}

const POSTGRES_URL = /^postgres(ql)?:\/\/.+/
const REDIS_URL = /^(rediss?:\/\/.+|unix:\/\/\/.+)/

function storeProblems({ postgres, redis }: Config): Problem[] {
  return [
    ...urlProblems('postgres', postgres, POSTGRES_URL, 'postgresql://user@host:port/database'),
    ...redisProblems(redis),
  ]
}

/** One server, sentinels or a cluster: exactly one of the three says where Redis is. */
function redisProblems(redis: Config['redis']): Problem[] {
  const problems: Problem[] = []
  const lists = (['sentinels', 'cluster'] as const).filter((name) => redis[name].length > 0)
  const [list] = lists
  if (list === undefined) {
    const form = 'redis://host:port/db or unix:///path'
    problems.push(...urlProblems('redis', redis, REDIS_URL, form))
  } else if (redis.mode !== 'external') {
    const text = `is given, but mode is ${redis.mode}, not external`
    problems.push({ path: ['redis', list], text })
  } else if (redis.url !== '' || lists.length > 1) {
    const text = 'url, sentinels and cluster exclude one another: give one'
    problems.push({ path: ['redis', list], text })
  }
  if ((list === 'sentinels') !== (redis.sentinel_name !== '')) {
    const text = 'sentinels and sentinel_name belong together'
    problems.push({ path: ['redis', 'sentinel_name'], text })
  }
  const files = { sentinel_password_file: redis.sentinel_password_file }
  const all = list === undefined ? files : { ...files, password_file: redis.password_file }
  for (const [option, file] of Object.entries(all)) {
    const trouble = file === '' ? undefined : secretTrouble(file)
    if (trouble !== undefined) problems.push({ path: ['redis', option], text: trouble })
  }
  return problems
}

function urlProblems(
  store: 'postgres' | 'redis',
  options: { mode: string; url: string; password_file: string },
  form: RegExp,
  formText: string,
): Problem[] {
  const problems: Problem[] = []
  const { mode, url, password_file: passwordFile } = options
  if (mode === 'external' && url === '') {
    problems.push({ path: [store, 'url'], text: `mode external needs a url: ${formText}` })
  }
  if (mode === 'external' && url !== '' && !form.test(url)) {
    const text = `must be ${formText}; given is ${givenText(url)}`
    problems.push({ path: [store, 'url'], text })
  }
  // A url that would be ignored is a mode that was forgotten.
  if (mode !== 'external' && url !== '') {
    problems.push({ path: [store, 'url'], text: `is given, but mode is ${mode}, not external` })
  }
  if (passwordFile !== '') {
    const trouble = secretTrouble(passwordFile)
    if (trouble !== undefined) problems.push({ path: [store, 'password_file'], text: trouble })
  }
  return problems
}

function secretTrouble(path: string): string | undefined {
  try {
    readSecret(path)
    return undefined
  } catch (error) {
    return error instanceof Error ? error.message : String(error)
  }
}
