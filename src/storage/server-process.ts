// A database server that the daemon runs for itself: started, watched over, and stopped with it.
//
// Not a supervisor of anything: it knows one child. The server must not outlive the daemon, however
// the daemon ends: a small watcher process holds the reading end of a pipe from us, and stops the
// server when the pipe closes. Should the watcher have been killed too, the next start finds the
// server by its pid and stops it first (`stopLeftover`). A pid is only ever signalled after the
// kernel has confirmed that it still is that server.

import { type ChildProcess, spawn } from 'node:child_process'
import { closeSync, existsSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { TickdError } from '../errors.ts'
import type { Log } from '../ops/log.ts'
import type { Account } from './account.ts'
import { processInfo } from './process-info.ts'

const POLL_MS = 20
/** An orderly stop may write a checkpoint; then the server is told to drop everything. */
const STOP_MS_MAX = 15_000
const STOP_NOW_MS_MAX = 3_000

/** Reads until the daemon's end of the pipe closes, then stops the server. */
const WATCHER = 'while read -r line; do :; done; kill -s "$1" "$2" 2>/dev/null'

export interface ServerCommand {
  readonly name: string
  readonly path: string
  readonly args: readonly string[]
  readonly cwd: string
  /** Who runs it; undefined = whoever we are. */
  readonly account: Account | undefined
  /** What it prints; written anew at each start. */
  readonly outputPath: string
  /** Says which daemon runs the server; JSON. */
  readonly ownerPath: string
  /** Orderly stop, and stop at once. */
  readonly stopSignal: 'INT' | 'TERM'
  readonly stopNowSignal: 'QUIT' | 'KILL'
}

interface Owner {
  daemonPid: number
  serverPid: number
}

export class ServerProcess {
  readonly pid: number
  readonly #command: ServerCommand
  readonly #child: ChildProcess
  readonly #watcher: ChildProcess
  readonly #exited: Promise<void>
  #isStopping = false

  private constructor(command: ServerCommand, child: ChildProcess, watcher: ChildProcess) {
    this.pid = child.pid as number
    this.#command = command
    this.#child = child
    this.#watcher = watcher
    this.#exited = new Promise((resolve) => child.once('exit', () => resolve()))
  }

  /** Starts the server; `onDeath` is called when it ends without `stop()`. */
  static async spawn(command: ServerCommand, onDeath: (how: string) => void) {
    const output = openSync(command.outputPath, 'w')
    // A session of its own: Ctrl-C in a terminal is for the daemon, which stops its servers last.
    const child = spawn(command.path, command.args, {
      cwd: command.cwd,
      detached: true,
      stdio: ['ignore', output, output],
      ...identity(command.account),
    })
    closeSync(output)
    await spawned(child, command)
    const watcher = watch(child.pid as number, command)
    const owner: Owner = { daemonPid: process.pid, serverPid: child.pid as number }
    writeFileSync(command.ownerPath, JSON.stringify(owner))
    const server = new ServerProcess(command, child, watcher)
    child.unref()
    child.once('exit', (code, signal) => {
      watcher.kill()
      if (!server.#isStopping) onDeath(signal === null ? `exit code ${code}` : `signal ${signal}`)
    })
    return server
  }

  get hasExited(): boolean {
    return this.#child.exitCode !== null || this.#child.signalCode !== null
  }

  /** What the server has printed. */
  output(): string {
    const { outputPath } = this.#command
    return existsSync(outputPath) ? readFileSync(outputPath, 'utf8') : ''
  }

  /** Orderly stop; at once when that takes too long. Returns when the process is gone. */
  async stop(): Promise<void> {
    this.#isStopping = true
    // Unreferenced while it runs, so that it keeps nothing alive; now its end is waited for.
    this.#child.ref()
    const { stopSignal, stopNowSignal } = this.#command
    for (const [signal, waitMs] of stopSteps(stopSignal, stopNowSignal)) {
      if (this.hasExited) break
      this.#child.kill(signal)
      await Promise.race([this.#exited, delay(waitMs, undefined, { ref: false })])
    }
    this.#watcher.kill()
    rmSync(this.#command.ownerPath, { force: true })
  }
}

/**
 * Ends a server that an earlier daemon left behind. `mark` must occur in its command line. Throws
 * STATE_DIR_UNUSABLE when its daemon still lives.
 */
export async function stopLeftover(
  command: Pick<ServerCommand, 'name' | 'ownerPath' | 'stopSignal' | 'stopNowSignal'>,
  pid: number,
  mark: string,
  log: Log,
): Promise<void> {
  const server = processInfo(pid)
  if (server === undefined || !server.command.includes(mark)) return
  const owner = readOwner(command.ownerPath)
  // The parent link is the kernel's word: once a daemon is dead, its server has another parent.
  if (owner !== undefined && owner.serverPid === pid && server.parentPid === owner.daemonPid) {
    throw new TickdError(
      'STATE_DIR_UNUSABLE',
      `${mark}: the tickd with pid ${owner.daemonPid} runs its ${command.name} here; stop it, or ` +
        'give this one a state_dir of its own',
    )
  }
  log.warn({ pid }, `stopping the ${command.name} that an earlier tickd left running`)
  for (const [signal, waitMs] of stopSteps(command.stopSignal, command.stopNowSignal)) {
    if (!signalIfSame(pid, mark, signal)) return
    const waitUntil = performance.now() + waitMs
    while (performance.now() < waitUntil && isSame(pid, mark)) await delay(POLL_MS)
  }
  if (isSame(pid, mark)) {
    throw new TickdError(
      'STATE_DIR_UNUSABLE',
      `${mark}: ${command.name}, pid ${pid}, left by an earlier tickd, does not end; kill it`,
    )
  }
}

/** spawn() options that make a child run as `account`. */
export function identity(account: Account | undefined): { uid?: number; gid?: number } {
  return account === undefined ? {} : { uid: account.uid, gid: account.gid }
}

function stopSteps(
  stop: ServerCommand['stopSignal'],
  stopNow: ServerCommand['stopNowSignal'],
): [NodeJS.Signals, number][] {
  return [
    [`SIG${stop}`, STOP_MS_MAX],
    [`SIG${stopNow}`, STOP_NOW_MS_MAX],
    ['SIGKILL', STOP_NOW_MS_MAX],
  ]
}

function isSame(pid: number, mark: string): boolean {
  return processInfo(pid)?.command.includes(mark) ?? false
}

function signalIfSame(pid: number, mark: string, signal: NodeJS.Signals): boolean {
  if (!isSame(pid, mark)) return false
  try {
    return process.kill(pid, signal)
  } catch {
    // It ended between the look and the signal.
    return false
  }
}

function readOwner(path: string): Owner | undefined {
  try {
    return JSON.parse(readFileSync(path, 'utf8')) as Owner
  } catch {
    // Absent or torn: then nobody is known to own the server.
    return undefined
  }
}

async function spawned(child: ChildProcess, command: ServerCommand): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    child.once('spawn', resolve)
    child.once('error', (cause) =>
      reject(
        new TickdError('IO', `cannot start ${command.path}: ${cause.message}`, {
          canRetry: true,
          cause,
        }),
      ),
    )
  })
}

function watch(pid: number, command: ServerCommand): ChildProcess {
  const args = ['-c', WATCHER, 'sh', command.stopSignal, String(pid)]
  const watcher = spawn('/bin/sh', args, {
    cwd: command.cwd,
    detached: true,
    stdio: ['pipe', 'ignore', 'ignore'],
    ...identity(command.account),
  })
  // Without a watcher the server is found and stopped at the next start instead.
  watcher.once('error', () => {})
  watcher.stdin?.once('error', () => {})
  watcher.unref()
  const pipe = watcher.stdin as unknown as { unref?(): void } | null
  pipe?.unref?.()
  return watcher
}
