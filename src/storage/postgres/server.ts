// The daemon's PostgreSQL, by configuration: the embedded one, one elsewhere, or none.

import type { Config } from '../../config/schema.ts'
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

/** undefined = switched off. Throws TickdError POSTGRES_… when the server cannot be used. */
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
  const version = await checkPostgres(url, config.connect_timeout_ms)
  const printUrl = withoutPassword(url)
  log.info({ version, url: printUrl }, 'PostgreSQL answers')
  return { url, printUrl, stop: async () => {} }
}
