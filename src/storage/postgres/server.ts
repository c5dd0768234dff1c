// The daemon's PostgreSQL, by configuration: the embedded one, one elsewhere, or none.

import type { Config } from '../../config/schema.ts'
import { TickdError } from '../../errors.ts'
import { STORE_START_MS_MAX } from '../../limits.ts'
import type { Log } from '../../ops/log.ts'
import { externalUrl, withoutPassword } from './config.ts'
import { checkPostgres } from './connection.ts'
import { EmbeddedPostgres } from './embedded.ts'

export interface PostgresServer {
  /** To connect to; may hold a password. */
  readonly url: string
  /** To show; works with psql on this machine where the server is the embedded one. */
  readonly printUrl: string
  stop(): Promise<void>
}

/**
 * undefined = switched off. Throws TickdError POSTGRES_REFUSED and the like when the server cannot
 * be used; one that is away, or takes no writes now, is left to the store to wait for.
 */
export async function startPostgres(
  config: Config['postgres'],
  directory: string,
  log: Log,
): Promise<PostgresServer | undefined> {
  if (config.mode === 'off') return undefined
  if (config.mode === 'embedded') {
    return await EmbeddedPostgres.start({ directory, port: config.port, log })
  }
  const url = externalUrl(config)
  const printUrl = withoutPassword(url)
  try {
    const timeoutMs = Math.min(config.connect_timeout_ms, STORE_START_MS_MAX)
    const version = await checkPostgres(url, timeoutMs)
    log.info({ version, url: printUrl }, 'PostgreSQL answers')
  } catch (thrown) {
    if (!isAway(thrown)) throw thrown
    const { code, message } = thrown
    log.error({ code, error: message }, 'starting without PostgreSQL: records wait in the journal')
  }
  return { url, printUrl, stop: async () => {} }
}

/** Away, not wrongly configured: ingest need not wait for it. */
function isAway(thrown: unknown): thrown is TickdError {
  return thrown instanceof TickdError && thrown.canRetry
}
