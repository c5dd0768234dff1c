// A real PostgreSQL for a test: a throw-away embedded server in a temporary directory.

import { chmodSync, existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pg from 'pg'
import { silentLog } from '../../src/ops/log.ts'
import type { Binaries } from '../../src/storage/postgres/binaries.ts'
import { EmbeddedPostgres } from '../../src/storage/postgres/embedded.ts'
import { removeAtExit } from './removed-at-exit.ts'

export interface TestPostgres {
  readonly server: EmbeddedPostgres
  readonly directory: string
  readonly url: string
  /** Rows of one statement, on a connection of its own. */
  psql(sql: string): Promise<Record<string, unknown>[]>
  /** Stops the server and removes its directory. */
  stop(): Promise<void>
}

/** Debian's PostgreSQL 15, where it is installed: an old version to be checked against. */
export const DEBIAN_15: Binaries = { directory: '/usr/lib/postgresql/15', version: '15' }
export const hasDebian15 = existsSync(join(DEBIAN_15.directory, 'bin/initdb'))

/** `settings`: of the server, `name=value`; a benchmark wants none, above all its fsync. */
export async function startPostgres(
  binaries?: Binaries,
  settings: readonly string[] = ['fsync=off'],
): Promise<TestPostgres> {
  const directory = temporaryDirectory('pg')
  const server = await EmbeddedPostgres.start({
    directory,
    port: 0,
    log: silentLog,
    settings,
    ...(binaries === undefined ? {} : { binaries }),
  })
  // Over TCP, so that a proxy can be put between; the daemon itself takes the unix socket.
  const url = server.url.replace(/\?.*$/, '')
  return {
    server,
    directory,
    url,
    psql: (sql) => psql(url, sql),
    async stop() {
      await server.stop()
      // Its log writer ends a moment after the server.
      rmSync(directory, { recursive: true, force: true, maxRetries: 10 })
    },
  }
}

export async function psql(url: string, sql: string): Promise<Record<string, unknown>[]> {
  const client = new pg.Client({ connectionString: url })
  client.on('error', () => {})
  await client.connect()
  try {
    const result = await client.query(sql)
    return Array.isArray(result) ? (result.at(-1)?.rows ?? []) : result.rows
  } finally {
    await client.end()
  }
}

/** A new directory, until the process ends, that the account which runs PostgreSQL can enter. */
export function temporaryDirectory(name: string): string {
  const directory = mkdtempSync(join(tmpdir(), `tickd-${name}-`))
  removeAtExit(directory)
  chmodSync(directory, 0o755)
  return directory
}
