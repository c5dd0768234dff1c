// The PostgreSQL of a fault run: not the daemon's own, so that each is killed without the other.

import { execFileSync } from 'node:child_process'
import { readdirSync, readFileSync, renameSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import pg from 'pg'
import { silentLog } from '../../src/ops/log.ts'
import { freePort } from '../../src/storage/free-port.ts'
import { EmbeddedPostgres } from '../../src/storage/postgres/embedded.ts'

// As much as its own crash may lose of what it has answered is lost with the position.
const SETTINGS = ['fsync=off', 'max_wal_size=256MB', 'autovacuum=off']
const HOST = '127.0.0.1'
const ANSWER_MS_MAX = 60_000
const POLL_MS = 50

export class Database {
  readonly port: number
  readonly #directory: string
  #server: EmbeddedPostgres
  #client: pg.Client | undefined

  private constructor(directory: string, port: number, server: EmbeddedPostgres) {
    this.#directory = directory
    this.port = port
    this.#server = server
  }

  static async start(directory: string): Promise<Database> {
    const port = await freePort(HOST)
    return new Database(directory, port, await startServer(directory, port))
  }

  /** For a client that comes by way of `port`. */
  urlAt(port: number): string {
    const url = new URL(this.#server.url)
    url.search = ''
    url.port = String(port)
    return url.href
  }

  /** Rows of a statement; asks again while the server is not there. */
  async query(sql: string, values: unknown[] = []): Promise<Record<string, unknown>[]> {
    const deadlineMs = performance.now() + ANSWER_MS_MAX
    for (;;) {
      try {
        this.#client ??= await this.#connect()
        const { rows } = await this.#client.query(sql, values)
        return rows
      } catch (thrown) {
        this.#client?.end().catch(() => {})
        this.#client = undefined
        if (performance.now() > deadlineMs) throw thrown
        await delay(POLL_MS)
      }
    }
  }

  /**
   * kill -9 of the server's first process: the rest ends by itself, and its watcher starts it again
   * on the same port. Returns when it answers.
   */
  async killServer(): Promise<void> {
    const { pid } = this.#server
    process.kill(pid, 'SIGKILL')
    // Until then the processes that were left may answer.
    const deadlineMs = performance.now() + ANSWER_MS_MAX
    while (this.#server.pid === pid) {
      if (performance.now() > deadlineMs) throw new Error('PostgreSQL is not started again')
      await delay(POLL_MS)
    }
    await this.query('SELECT 1')
  }

  /** kill -9 of one of its other processes: the server drops all connections and recovers. */
  killBackend(nth: number): boolean {
    const backends = childrenOf(this.#server.pid)
    const pid = backends[nth % Math.max(1, backends.length)]
    return pid !== undefined && signal(pid, 'SIGKILL')
  }

  /** SIGSTOP or SIGCONT to all of its processes. */
  freeze(isFrozen: boolean): void {
    const pids = [this.#server.pid, ...childrenOf(this.#server.pid)]
    for (const pid of pids) signal(pid, isFrozen ? 'SIGSTOP' : 'SIGCONT')
  }

  /** What it holds: the sequence after the last record, by shard. */
  async positions(): Promise<ReadonlyMap<number, number>> {
    const rows = await this.query('SELECT shard, seq FROM tickd.positions')
    return new Map(rows.map(({ shard, seq }) => [Number(shard), Number(seq)]))
  }

  /** Keeps a copy of its files as they are now. */
  async backUp(): Promise<void> {
    await this.stop()
    rmSync(this.#path('copy'), { recursive: true, force: true })
    // With owners and modes, on which PostgreSQL insists.
    execFileSync('cp', ['-a', this.#path('data'), this.#path('copy')])
    await this.#startAgain()
  }

  /** Puts the copy in the place of its files. */
  async restore(): Promise<void> {
    await this.stop()
    rmSync(this.#path('data'), { recursive: true, force: true })
    renameSync(this.#path('copy'), this.#path('data'))
    await this.#startAgain()
  }

  async stop(): Promise<void> {
    await this.#client?.end().catch(() => {})
    this.#client = undefined
    await this.#server.stop()
  }

  async start(): Promise<void> {
    await this.#startAgain()
  }

  #path(name: string): string {
    return join(this.#directory, name)
  }

  async #startAgain(): Promise<void> {
    this.#server = await startServer(this.#directory, this.port)
  }

  async #connect(): Promise<pg.Client> {
    const client = new pg.Client({ connectionString: this.urlAt(this.port) })
    client.on('error', () => {
      this.#client = undefined
    })
    await client.connect()
    return client
  }
}

function startServer(directory: string, port: number): Promise<EmbeddedPostgres> {
  return EmbeddedPostgres.start({ directory, port, log: silentLog, settings: SETTINGS })
}

function childrenOf(parent: number): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter((name) => parentOf(name) === parent)
    .map(Number)
}

function parentOf(pid: string): number {
  try {
    // The name, which may hold anything, is in parentheses; state and parent follow.
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1')
    return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1])
  } catch {
    // It has ended.
    return 0
  }
}

function signal(pid: number, name: NodeJS.Signals): boolean {
  try {
    return process.kill(pid, name)
  } catch {
    // It ended between the look and the signal.
    return false
  }
}
