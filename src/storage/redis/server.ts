// The daemon's Redis, by configuration: the embedded one, one elsewhere, or none.

import type { Config } from '../../config/schema.ts'
import { TickdError } from '../../errors.ts'
import { STORE_START_MS_MAX } from '../../limits.ts'
import type { Log } from '../../ops/log.ts'
import { findRedisBinary } from './binary.ts'
import { cliArguments, externalTarget, type RedisTarget, urlTarget } from './config.ts'
import { EmbeddedRedis } from './embedded.ts'
import { RedisNodes } from './nodes.ts'

export interface RedisServer {
  /** To connect to; may hold a password. */
  readonly target: RedisTarget
  /** What follows `redis-cli` to reach it from this machine. */
  readonly cliArguments: string
  stop(): Promise<void>
}

/**
 * undefined = switched off, or `auto` and there is no redis-server. Throws TickdError REDIS_REFUSED
 * and the like when the server cannot be used; one that is away is left to the store to wait for.
 */
export async function startRedis(
  config: Config['redis'],
  directory: string,
  log: Log,
): Promise<RedisServer | undefined> {
  if (config.mode === 'off') return undefined
  if (config.mode === 'external') return await useExternal(config, log)
  const binary = findRedisBinary()
  if (binary === undefined) {
    if (config.mode === 'auto') return undefined
    throw new TickdError(
      'REDIS_UNREACHABLE',
      'redis.mode is embedded, and there is no redis-server on PATH; install it ' +
        '(apt-get install redis-server), or set redis.mode to external (with redis.url) or off',
    )
  }
  const server = await EmbeddedRedis.start({ directory, binary, log })
  const target = urlTarget(server.url)
  return { target, cliArguments: cliArguments(target), stop: () => server.stop() }
}

/** Connects once. Returns the server's version; throws REDIS_UNREACHABLE or REDIS_REFUSED. */
export async function checkRedis(
  target: RedisTarget,
  timeoutMs: number,
  openMsMax = Number.POSITIVE_INFINITY,
): Promise<string> {
  const nodes = await RedisNodes.open({ target, timeoutMs, openMsMax, onLost: () => {} })
  const timer = setTimeout(() => nodes.close(), timeoutMs)
  try {
    return await nodes.version()
  } finally {
    clearTimeout(timer)
    nodes.close()
  }
}

/** What it refuses is for somebody to mend before a start; that it is away is no reason. */
async function useExternal(config: Config['redis'], log: Log): Promise<RedisServer> {
  const target = externalTarget(config)
  const server = { target, cliArguments: cliArguments(target), stop: async () => {} }
  try {
    const version = await checkRedis(target, config.timeout_ms, STORE_START_MS_MAX)
    log.info({ version, redis: target.show }, 'Redis answers')
  } catch (thrown) {
    if (!(thrown instanceof TickdError && thrown.canRetry)) throw thrown
    const { code, message } = thrown
    log.error({ code, error: message }, 'starting without Redis: its latest values stand still')
  }
  return server
}
