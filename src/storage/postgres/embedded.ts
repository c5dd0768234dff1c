// The private PostgreSQL: initialised when it is not there, started, kept running, stopped.
//
//   <directory>/data       the cluster (initdb), owned by the account that runs the server
//              /run        its unix socket          /log        its log files, one a weekday
//              /passfile   of the superuser `tickd` /owner.json which daemon runs it
//              /startup.log                         /server-*   a copy of the programs, if needed
//
// Access: SCRAM with a generated password, on the unix socket and on 127.0.0.1 alone. The caller
// holds the lock of the state directory. Settings are given on the command line, so that they are
// always those of this version; an operator's own go to data/postgresql.conf where ours are silent.

import { randomBytes } from 'node:crypto'
import {
  chownSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import pg from 'pg'
import { errorText, TickdError } from '../../errors.ts'
import type { Log } from '../../ops/log.ts'
import { type Account, assertReachable, serverAccount } from '../account.ts'
import { freePort } from '../free-port.ts'
import { type ServerCommand, ServerProcess, stopLeftover } from '../server-process.ts'
import { type Binaries, findBinaries, prepareBinaries } from './binaries.ts'
import { initCluster, readClusterVersion, setPassword } from './cluster.ts'
import { serverSettings, socketDirectory } from './server-settings.ts'

const USER = 'tickd'
const DATABASE = 'tickd'
/** In libpq's form, so that psql can be pointed to it: host:port:database:user:password. */
const PASSFILE = 'passfile'
const HOST = '127.0.0.1'
/** Recovery after a crash reads up to max_wal_size of log. */
const READY_MS_MAX = 300_000
const POLL_MS = 20
const START_ATTEMPTS_MAX = 3
const RESTART_WAIT_MS = 1000
const LAST_LINES = 6
const LAST_WORDS_MS_MAX = 1000
/** What PostgreSQL prints of a port. */
const IN_USE = 'Address already in use'
/** postmaster.pid: line 1 is the pid, line 8 the state. */
const PID_LINE = 0
const STATE_LINE = 7

export interface EmbeddedPostgresOptions {
  /** Everything of the server lies below it. */
  directory: string
  /** TCP port on loopback; 0 = the last one if it is free, else any free one. */
  port: number
  log: Log
  /** Other programs than those of the optional package: /usr/lib/postgresql/15, say. */
  binaries?: Binaries
  /** `name=value`, in addition to server-settings.ts: a throw-away server needs no fsync. */
  settings?: readonly string[]
}

export class EmbeddedPostgres {
  readonly port: number
  /** With the password: for the daemon. */
  readonly url: string
  /** For `psql`, as it may be shown: names the file with the password. */
  readonly printUrl: string
  readonly #command: ServerCommand
  readonly #directory: string
  readonly #log: Log
  #server: ServerProcess
  #isStopping = false
  #restart: Promise<void> | undefined

  private constructor(
    command: ServerCommand,
    options: EmbeddedPostgresOptions,
    port: number,
    password: string,
    server: ServerProcess,
  ) {
    this.#command = command
    this.#directory = options.directory
    this.#log = options.log
    this.#server = server
    this.port = port
    const path = `${HOST}:${port}/${DATABASE}`
    // Its unix socket costs less of both ends than TCP on loopback.
    const socket = socketDirectory(options.directory)
    const host = socket === undefined ? '' : `?host=${encodeURIComponent(socket)}`
    this.url = `postgresql://${USER}:${password}@${path}${host}`
    this.printUrl = `postgresql://${USER}@${path}?passfile=${join(options.directory, PASSFILE)}`
  }

  /**
   * Starts the server and creates the database. Throws TickdError: POSTGRES_BINARY_MISSING,
   * STATE_DIR_UNUSABLE, ADDRESS_IN_USE, POSTGRES_REFUSED or POSTGRES_BROKEN.
   */
  static async start(options: EmbeddedPostgresOptions): Promise<EmbeddedPostgres> {
    const { directory, log } = options
    const dataDirectory = join(directory, 'data')
    const account = serverAccount(dataDirectory)
    makeDirectories(directory, account)
    const binaries = prepareBinaries(options.binaries ?? findBinaries(), directory, account)
    const command = serverCommand(options, binaries, account)
    await stopLeftoverPostmaster(command, dataDirectory, log)
    const password = await prepareCluster(directory, binaries, account, log)
    for (let attempt = 1; ; attempt++) {
      const port = await choosePort(options)
      const full = { ...command, args: [...command.args, '-p', String(port)] }
      try {
        // The instance is made after its server; a death before that is seen by waitReady.
        let self: EmbeddedPostgres | undefined
        const server = await ServerProcess.spawn(full, (how) => {
          if (self !== undefined) self.#onDeath(how)
        })
        await waitReady(server, directory)
        self = new EmbeddedPostgres(full, options, port, password, server)
        writeFileSync(join(directory, 'port'), String(port))
        await createDatabase(self.url)
        log.info({ pid: server.pid, port, directory }, 'embedded PostgreSQL is running')
        return self
      } catch (thrown) {
        // Another process took the port, or the last server's backends were still ending.
        const said = errorText(thrown)
        const isPassing =
          said.includes('shared memory block') || (said.includes(IN_USE) && options.port === 0)
        if (!isPassing || attempt === START_ATTEMPTS_MAX) throw thrown
        await delay(RESTART_WAIT_MS)
      }
    }
  }

  get pid(): number {
    return this.#server.pid
  }

  /** Stops the server: orderly, and at once when that takes too long. */
  async stop(): Promise<void> {
    this.#isStopping = true
    await this.#server.stop()
    // A restart that was under way may have put another server in its place.
    await this.#restart
    await this.#server.stop()
  }

  /** The server is gone without our doing: start it again on the same port, until it stays. */
  #onDeath(how: string): void {
    if (this.#isStopping) return
    this.#log.error({ how }, 'embedded PostgreSQL ended by itself; starting it again')
    this.#restart ??= this.#startAgain().finally(() => {
      this.#restart = undefined
    })
  }

  async #startAgain(): Promise<void> {
    while (!this.#isStopping) {
      await delay(RESTART_WAIT_MS)
      if (this.#isStopping) return
      try {
        const server = await ServerProcess.spawn(this.#command, (how) => this.#onDeath(how))
        this.#server = server
        await waitReady(server, this.#directory)
        this.#log.info({ pid: server.pid }, 'embedded PostgreSQL is running again')
        return
      } catch (thrown) {
        this.#log.error({ error: errorText(thrown) }, 'embedded PostgreSQL does not start')
      }
    }
  }
}

function makeDirectories(directory: string, account: Account | undefined): void {
  try {
    for (const path of ['', 'run', 'log']) mkdirSync(join(directory, path), { recursive: true })
    for (const path of ['', 'run', 'log']) {
      if (account !== undefined) chownSync(join(directory, path), account.uid, account.gid)
    }
  } catch (cause) {
    throw new TickdError('STATE_DIR_UNUSABLE', `cannot prepare ${directory}: ${errorText(cause)}`, {
      cause,
    })
  }
  assertReachable(directory, account)
}

function serverCommand(
  options: EmbeddedPostgresOptions,
  binaries: Binaries,
  account: Account | undefined,
): ServerCommand {
  const { directory } = options
  const settings = [...serverSettings(directory, HOST), ...(options.settings ?? [])]
  return {
    name: 'PostgreSQL',
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

/** Ends the server of a killed daemon; removes a postmaster.pid that nobody stands behind. */
async function stopLeftoverPostmaster(
  command: ServerCommand,
  dataDirectory: string,
  log: Log,
): Promise<void> {
  const pid = Number(readPidFile(dataDirectory)[PID_LINE])
  if (!Number.isInteger(pid) || pid <= 0) return
  await stopLeftover(command, pid, dataDirectory, log)
  // After a reboot the pid may be a stranger's, on whose account PostgreSQL would refuse to start.
  rmSync(join(dataDirectory, 'postmaster.pid'), { force: true })
}

/** The password of a cluster that is there, and ours to use. */
async function prepareCluster(
  directory: string,
  binaries: Binaries,
  account: Account | undefined,
  log: Log,
): Promise<string> {
  const dataDirectory = join(directory, 'data')
  const passfilePath = join(directory, PASSFILE)
  const ours = binaries.version.split('.')[0] as string
  const cluster = { bin: join(binaries.directory, 'bin'), directory, account, user: USER }
  const theirs = readClusterVersion(dataDirectory)
  if (theirs !== undefined && theirs !== ours) {
    throw new TickdError(
      'STATE_DIR_UNUSABLE',
      `${dataDirectory} was made by PostgreSQL ${theirs}, and the embedded server is ${ours}; ` +
        'upgrade it with pg_upgrade, or move it away to start with an empty database',
    )
  }
  if (theirs !== undefined && existsSync(passfilePath)) {
    const line = readFileSync(passfilePath, 'utf8')
    return line.slice(line.lastIndexOf(':') + 1).trim()
  }
  const password = randomBytes(16).toString('hex')
  if (theirs === undefined) {
    log.info({ directory: dataDirectory }, 'creating the embedded PostgreSQL database')
    initCluster(cluster, password)
  } else {
    log.warn({ path: passfilePath }, 'the password file is missing: setting a new password')
    setPassword(cluster, password)
  }
  const partial = `${passfilePath}.partial`
  writeFileSync(partial, `*:*:*:${USER}:${password}\n`, { mode: 0o600 })
  renameSync(partial, passfilePath)
  return password
}

async function choosePort(options: EmbeddedPostgresOptions): Promise<number> {
  if (options.port !== 0) return options.port
  const path = join(options.directory, 'port')
  return await freePort(HOST, existsSync(path) ? Number(readFileSync(path, 'utf8')) : 0)
}

async function waitReady(server: ServerProcess, directory: string): Promise<void> {
  const dataDirectory = join(directory, 'data')
  const giveUpAt = performance.now() + READY_MS_MAX
  for (;;) {
    const lines = readPidFile(dataDirectory)
    if (Number(lines[PID_LINE]) === server.pid && lines[STATE_LINE]?.trim() === 'ready') return
    if (server.hasExited || performance.now() > giveUpAt) {
      await server.stop()
      const said = await lastWords(server, directory)
      const isPort = said.includes(IN_USE)
      throw new TickdError(
        isPort ? 'ADDRESS_IN_USE' : 'POSTGRES_BROKEN',
        `the embedded PostgreSQL in ${dataDirectory} does not start: ${said}`,
      )
    }
    await delay(POLL_MS)
  }
}

/**
 * What the server said of its end: before its log files were opened, and in them. They are written
 * by a process of their own, which may be a little behind.
 */
async function lastWords(server: ServerProcess, directory: string): Promise<string> {
  const giveUpAt = performance.now() + LAST_WORDS_MS_MAX
  for (;;) {
    const logs = readdirSync(join(directory, 'log')).map((name) => join(directory, 'log', name))
    const [newest] = logs.sort((a, b) => statSync(b).mtimeMs - statSync(a).mtimeMs)
    const text = `${server.output()}\n${newest === undefined ? '' : readFileSync(newest, 'utf8')}`
    const lines = text.split('\n').filter((line) => line.includes(`[${server.pid}]`))
    const isAll = lines.some((line) => line.includes('FATAL'))
    if (isAll || performance.now() > giveUpAt) {
      const telling = lines.filter((line) => !/log output|HINT:/.test(line))
      return telling.slice(-LAST_LINES).join(' | ') || server.output().trim()
    }
    await delay(POLL_MS)
  }
}

function readPidFile(dataDirectory: string): string[] {
  try {
    return readFileSync(join(dataDirectory, 'postmaster.pid'), 'utf8').split('\n')
  } catch {
    // Not running, or not yet that far.
    return []
  }
}

async function createDatabase(url: string): Promise<void> {
  const client = new pg.Client({ connectionString: url.replace(/[^/]*$/, 'postgres') })
  // A connection lost here fails the query, which says so.
  client.on('error', () => {})
  await client.connect()
  try {
    const found = await client.query('SELECT FROM pg_database WHERE datname = $1', [DATABASE])
    if (found.rowCount === 0) await client.query(`CREATE DATABASE ${DATABASE}`)
  } finally {
    await client.end()
  }
}
