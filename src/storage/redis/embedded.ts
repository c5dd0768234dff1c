// The private Redis: the machine's redis-server, on a unix socket, with nothing on disk.
//
// A cache of what is current: it is filled anew at each start, so nothing is persisted, and it
// refuses writes rather than evict when it is full. Only this account may open the socket.

import { createHash } from 'node:crypto'
import { chmodSync, existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { errorText, TickdError } from '../../errors.ts'
import type { Log } from '../../ops/log.ts'
import { type ServerCommand, ServerProcess, stopLeftover } from '../server-process.ts'

/** A unix socket's address holds so many bytes on every platform (sun_path, with its zero). */
const SOCKET_PATH_BYTES_MAX = 103
const MEMORY_MAX = '512mb'
const READY_MS_MAX = 20_000
const POLL_MS = 10
const RESTART_WAIT_MS = 1000
const LAST_LINES = 3

export interface EmbeddedRedisOptions {
  /** Everything of the server lies below it. */
  directory: string
  /** The server's program. */
  binary: string
  log: Log
}

export class EmbeddedRedis {
  readonly url: string
  readonly #command: ServerCommand
  readonly #socketPath: string
  readonly #log: Log
  #server: ServerProcess
  #isStopping = false
  #restart: Promise<void> | undefined

  private constructor(command: ServerCommand, socketPath: string, server: ServerProcess, log: Log) {
    this.#command = command
    this.#socketPath = socketPath
    this.#server = server
    this.#log = log
    this.url = `unix://${socketPath}`
  }

  /** Throws TickdError STATE_DIR_UNUSABLE or REDIS_UNREACHABLE. */
  static async start(options: EmbeddedRedisOptions): Promise<EmbeddedRedis> {
    const { directory, log } = options
    makeDirectory(directory)
    const socketPath = chooseSocketPath(directory)
    const command = serverCommand(options, socketPath)
    const leftover = readServerPid(command.ownerPath)
    if (leftover > 0) await stopLeftover(command, leftover, socketPath, log)
    let self: EmbeddedRedis | undefined
    const server = await ServerProcess.spawn(command, (how) => {
      if (self !== undefined) self.#onDeath(how)
    })
    await waitReady(server, socketPath)
    self = new EmbeddedRedis(command, socketPath, server, log)
    log.info({ pid: server.pid, socket: socketPath }, 'embedded Redis is running')
    return self
  }

  get pid(): number {
    return this.#server.pid
  }

  async stop(): Promise<void> {
    this.#isStopping = true
    await this.#server.stop()
    // A restart that was under way may have put another server in its place.
    await this.#restart
    await this.#server.stop()
    rmSync(this.#socketPath, { force: true })
  }

  /** The server is gone without our doing: start it again, until it stays. */
  #onDeath(how: string): void {
    if (this.#isStopping) return
    this.#log.error({ how }, 'embedded Redis ended by itself; starting it again')
    this.#restart ??= this.#startAgain().finally(() => {
      this.#restart = undefined
    })
  }

  async #startAgain(): Promise<void> {
    while (!this.#isStopping) {
      await delay(RESTART_WAIT_MS)
      if (this.#isStopping) return
      try {
        this.#server = await ServerProcess.spawn(this.#command, (how) => this.#onDeath(how))
        await waitReady(this.#server, this.#socketPath)
        this.#log.info({ pid: this.#server.pid }, 'embedded Redis is running again')
        return
      } catch (thrown) {
        this.#log.error({ error: errorText(thrown) }, 'embedded Redis does not start')
      }
    }
  }
}

function makeDirectory(directory: string): void {
  try {
    mkdirSync(directory, { recursive: true })
    chmodSync(directory, 0o700)
  } catch (cause) {
    throw new TickdError('STATE_DIR_UNUSABLE', `cannot prepare ${directory}: ${errorText(cause)}`, {
      cause,
    })
  }
}

/** In the directory; in the temporary one where that path is too long for a socket. */
function chooseSocketPath(directory: string): string {
  const path = join(directory, 'redis.sock')
  if (Buffer.byteLength(path) <= SOCKET_PATH_BYTES_MAX) return path
  const digest = createHash('sha256').update(directory).digest('hex').slice(0, 16)
  const parent = join(tmpdir(), `tickd-redis-${digest}`)
  makeDirectory(parent)
  return join(parent, 'redis.sock')
}

function serverCommand(options: EmbeddedRedisOptions, socketPath: string): ServerCommand {
  const { directory, binary } = options
  const settings: [name: string, value: string][] = [
    ['--port', '0'],
    ['--unixsocket', socketPath],
    ['--unixsocketperm', '700'],
    ['--daemonize', 'no'],
    ['--dir', directory],
    ['--save', ''],
    ['--appendonly', 'no'],
    ['--maxmemory', MEMORY_MAX],
    ['--maxmemory-policy', 'noeviction'],
  ]
  return {
    name: 'Redis',
    path: binary,
    args: settings.flat(),
    cwd: directory,
    account: undefined,
    outputPath: join(directory, 'output.log'),
    ownerPath: join(directory, 'owner.json'),
    stopSignal: 'TERM',
    stopNowSignal: 'KILL',
  }
}

async function waitReady(server: ServerProcess, socketPath: string): Promise<void> {
  const giveUpAt = performance.now() + READY_MS_MAX
  while (!(await answers(socketPath))) {
    if (server.hasExited || performance.now() > giveUpAt) {
      await server.stop()
      const said = server.output().trim().split('\n').slice(-LAST_LINES).join(' | ')
      throw new TickdError(
        'REDIS_UNREACHABLE',
        `the embedded Redis on ${socketPath} does not start: ${said}`,
      )
    }
    await delay(POLL_MS)
  }
}

/** True when a server on the socket answers a PING. */
async function answers(socketPath: string): Promise<boolean> {
  if (!existsSync(socketPath)) return false
  return await new Promise((resolve) => {
    const socket = connect(socketPath, () => socket.write('PING\r\n'))
    socket.once('data', (data) => {
      socket.destroy()
      resolve(data.toString('latin1').startsWith('+PONG'))
    })
    socket.once('error', () => resolve(false))
    socket.once('close', () => resolve(false))
  })
}

function readServerPid(ownerPath: string): number {
  try {
    return Number(JSON.parse(readFileSync(ownerPath, 'utf8')).serverPid)
  } catch {
    // Never started, or torn.
    return 0
  }
}
