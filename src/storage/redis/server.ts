// The daemon's Redis, by configuration: the embedded one, one elsewhere, or none.

import type { Config } from '../../config/schema.ts'
import { TickdError } from '../../errors.ts'
import type { Log } from '../../ops/log.ts'
import { cliArguments, externalUrl, withoutPassword } from './config.ts'
import { checkRedis } from './connection.ts'
import { EmbeddedRedis, findRedisBinary } from './embedded.ts'

export interface RedisServer {
  /** To connect to; may hold a password. */
  readonly url: string
  /** To show. */
  readonly printUrl: string
  /** What follows `redis-cli` to reach it from this machine. */
  readonly cliArguments: string
  stop(): Promise<void>
}

/**
 * undefined = switched off, or `auto` and there is no redis-server. Throws TickdError REDIS_… when
 * the server cannot be used.
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
  const { url } = server
  return { url, printUrl: url, cliArguments: cliArguments(url), stop: () => server.stop() }
}

async function useExternal(config: Config['redis'], log: Log): Promise<RedisServer> {
  const url = externalUrl(config)
  const version = await checkRedis(url)
  const printUrl = withoutPassword(url)
  log.info({ version, url: printUrl }, 'Redis answers')
  return { url, printUrl, cliArguments: cliArguments(url), stop: async () => {} }
}
