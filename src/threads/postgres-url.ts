// The database of a running daemon: the configured one, or the embedded one.

import { externalUrl } from '../storage/postgres/config.ts'
import type { Runtime } from './runtime.ts'

/** Looked up at each attempt to connect: a password file may have been written anew. */
export function postgresUrl({ config, postgresUrl }: Runtime): string {
  return config.postgres.mode === 'external' ? externalUrl(config.postgres) : postgresUrl
}
