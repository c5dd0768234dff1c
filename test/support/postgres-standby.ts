// A standby of a test's PostgreSQL: a copy of its files that follows its log, and can be promoted.

import { spawnSync } from 'node:child_process'
import { chownSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import pg from 'pg'
import { type Account, serverAccount } from '../../src/storage/account.ts'
import { freePort } from '../../src/storage/free-port.ts'
import { findBinaries, prepareBinaries } from '../../src/storage/postgres/binaries.ts'
import { type ServerCommand, ServerProcess } from '../../src/storage/server-process.ts'
import { psql, startPostgres, type TestPostgres, temporaryDirectory } from './postgres.ts'

const HOST = '127.0.0.1'
const READY_MS_MAX = 30_000

export interface Pair {
  readonly primary: TestPostgres
  readonly standby: TestStandby
  /** Names both: the primary first. */
  readonly url: string
}

/** A primary and its standby, which has caught up. */
export async function startPair(): Promise<Pair> {
  const settings = ['fsync=off', 'wal_level=replica', 'max_wal_senders=4']
  const primary = await startPostgres(undefined, settings)
  const standby = await TestStandby.start(primary)
  const url = primary.url.replace(/@[^/]*/, (host) => `${host},${HOST}:${standby.port}`)
  return { primary, standby, url }
}

export class TestStandby {
  readonly port: number
  readonly url: string
  readonly #directory: string
  readonly #server: ServerProcess

  private constructor(port: number, url: string, directory: string, server: ServerProcess) {
    this.port = port
    this.url = url
    this.#directory = directory
    this.#server = server
  }

  static async start(primary: TestPostgres): Promise<TestStandby> {
    const directory = temporaryDirectory('standby')
    const data = join(directory, 'data')
    const account = serverAccount(join(primary.directory, 'data'))
    await copyOf(primary, data, account)
    const port = await freePort(HOST)
    const server = await ServerProcess.spawn(command(directory, port, account), () => {})
    const url = primary.url.replace(`:${primary.server.port}/`, `:${port}/`)
    const standby = new TestStandby(port, url, directory, server)
    for (const endMs = performance.now() + READY_MS_MAX; !(await standby.#answers()); ) {
      if (performance.now() > endMs)
        throw new Error(`the standby does not start: ${server.output()}`)
      await delay(20)
    }
    return standby
  }

  async psql(sql: string): Promise<Record<string, unknown>[]> {
    return await psql(this.url, sql)
  }

  /** Ends with the log of the primary read; takes writes when this returns. */
  async promote(): Promise<void> {
    await this.psql('SELECT pg_promote(true, 30)')
  }

  async stop(): Promise<void> {
    await this.#server.stop()
    rmSync(this.#directory, { recursive: true, force: true, maxRetries: 10 })
  }

  async #answers(): Promise<boolean> {
    return await this.psql('SELECT 1').then(
      () => true,
      () => false,
    )
  }
}

/** The files of a running server, such that a server started on them becomes its standby. */
async function copyOf(primary: TestPostgres, data: string, account?: Account): Promise<void> {
  const client = new pg.Client({ connectionString: primary.url })
  await client.connect()
  try {
    await client.query(`SELECT pg_backup_start('standby', true)`)
    // Keeps owners and rights, of which the server is particular.
    spawnSync('cp', ['-a', join(primary.directory, 'data'), data])
    const { rows } = await client.query('SELECT labelfile FROM pg_backup_stop(false)')
    for (const name of ['postmaster.pid', 'postmaster.opts']) rmSync(join(data, name))
    const { username, password, port } = new URL(primary.url)
    const from = `host=${HOST} port=${port} user=${username} password=${password}`
    const files = {
      backup_label: String(rows[0].labelfile),
      'postgresql.auto.conf': `primary_conninfo = '${from}'\n`,
      'standby.signal': '',
    }
    for (const [name, text] of Object.entries(files)) {
      writeFileSync(join(data, name), text)
      if (account !== undefined) chownSync(join(data, name), account.uid, account.gid)
    }
  } finally {
    await client.end()
  }
}

function command(directory: string, port: number, account: Account | undefined): ServerCommand {
  const binaries = prepareBinaries(findBinaries(), directory, account)
  const settings = ['listen_addresses=127.0.0.1', 'unix_socket_directories=', 'max_connections=50']
  settings.push('fsync=off', 'wal_level=replica', 'max_wal_senders=4', `port=${port}`)
  return {
    name: 'PostgreSQL standby',
    path: join(binaries.directory, 'bin/postgres'),
    args: ['-D', join(directory, 'data'), ...settings.flatMap((setting) => ['-c', setting])],
    cwd: directory,
    account,
    outputPath: join(directory, 'startup.log'),
    ownerPath: join(directory, 'owner.json'),
    stopSignal: 'INT',
    stopNowSignal: 'QUIT',
  }
}
