// The real daemon as a child process, for end-to-end tests and benches.

import { type ChildProcess, spawn } from 'node:child_process'
import { chmodSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { stringify } from 'yaml'
import { removeAtExit } from './removed-at-exit.ts'

const SOURCES = fileURLToPath(new URL('../../src', import.meta.url))
const START_TIMEOUT_MS = 90_000

export interface DaemonOptions {
  /** Configuration, as it would stand in the file; state_dir and ports are filled in. */
  config?: Record<string, unknown>
  /** Kept by the caller across restarts; a fresh one, removed at the end, when not given. */
  stateDir?: string
  env?: Record<string, string>
  /** Another copy of src/. */
  sources?: string
  /** By `npm start`, its set-up aside. */
  byNpm?: boolean
}

/** A fresh directory that the account of the embedded PostgreSQL may pass through. */
export function makeStateDir(): string {
  const stateDir = mkdtempSync(join(tmpdir(), 'tickd-test-'))
  chmodSync(stateDir, 0o755)
  return stateDir
}

export interface LogLine {
  level: number
  role: string
  msg: string
  [field: string]: unknown
}

export class DaemonProcess {
  readonly stateDir: string
  readonly lines: LogLine[] = []
  readonly #child: ChildProcess
  readonly #ownsStateDir: boolean
  readonly #exited: Promise<number>
  #stderr = ''

  private constructor(child: ChildProcess, stateDir: string, ownsStateDir: boolean) {
    this.#child = child
    this.stateDir = stateDir
    this.#ownsStateDir = ownsStateDir
    // One that is killed leaves it for a look.
    if (ownsStateDir) removeAtExit(stateDir)
    this.#exited = new Promise((resolve) => {
      child.on('exit', (code, signal) => resolve(code ?? (signal === null ? 1 : 128)))
    })
    let rest = ''
    child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      const parts = (rest + text).split('\n')
      rest = parts.pop() ?? ''
      for (const part of parts) if (part.startsWith('{')) this.lines.push(JSON.parse(part))
    })
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.#stderr = (this.#stderr + text).slice(-100_000)
    })
  }

  /** Starts the daemon and waits until it is ready. Throws with its output when it is not. */
  static async start(options: DaemonOptions = {}): Promise<DaemonProcess> {
    const daemon = DaemonProcess.spawn(options)
    const ready = daemon.waitFor(({ msg }) => msg === 'ready', START_TIMEOUT_MS)
    const outcome = await Promise.race([ready, daemon.#exited])
    if (typeof outcome === 'number') {
      throw new Error(`the daemon ended with ${outcome}: ${daemon.output()}`)
    }
    return daemon
  }

  /** Starts the daemon and does not wait. */
  static spawn(options: DaemonOptions = {}): DaemonProcess {
    const stateDir = options.stateDir ?? makeStateDir()
    const listen = { listen: { port: 0 } }
    const config = { state_dir: stateDir, serve: listen, admin: listen, ...options.config }
    const settings = Object.entries(config).flatMap(([key, value]) => [
      '--set',
      `${key}=${stringify(value, { collectionStyle: 'flow', lineWidth: 0 }).trim()}`,
    ])
    const { sources = SOURCES, byNpm = false } = options
    const program = ['--require', join(sources, 'module-cache.cjs'), join(sources, 'main.ts')]
    const [file, ...argv] = byNpm
      ? ['npm', 'start', '--silent', '--ignore-scripts', '--']
      : [process.execPath, '--disable-warning=ExperimentalWarning', ...program, 'run']
    const child = spawn(file as string, [...argv, ...settings], {
      cwd: byNpm ? join(sources, '..') : process.cwd(),
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, ...options.env },
    })
    return new DaemonProcess(child, stateDir, options.stateDir === undefined)
  }

  get pid(): number {
    return this.#child.pid as number
  }

  /** A field of the line that says all is ready: http, feed, postgres, redis. */
  address(name: string): string {
    const ready = this.lines.find(({ msg }) => msg === 'ready')
    return String(ready?.[name] ?? '')
  }

  /** Where PostgreSQL is, for the `pg` library, which does not know libpq's `passfile`. */
  get postgresUrl(): string {
    const url = new URL(this.address('postgres'))
    const passfile = url.searchParams.get('passfile')
    url.search = ''
    if (passfile === null) return url.href
    url.password = readFileSync(passfile, 'utf8').trim().split(':').at(-1) ?? ''
    return url.href
  }

  /** The bound address of a source's listener: '127.0.0.1:41234'. */
  listening(name: string): { host: string; port: number } {
    const line = this.lines.find((candidate) => {
      return candidate.msg === 'listening' && candidate.name === name
    })
    const [host = '', port = ''] = String(line?.address ?? '').split(/:(?=\d+$)/)
    return { host, port: Number(port) }
  }

  output(): string {
    return `${this.lines.map((line) => JSON.stringify(line)).join('\n')}\n${this.#stderr}`
  }

  get stderr(): string {
    return this.#stderr
  }

  async waitFor(test: (line: LogLine) => boolean, timeoutMs = 30_000): Promise<LogLine> {
    const deadline = Date.now() + timeoutMs
    for (;;) {
      const found = this.lines.find(test)
      if (found !== undefined) return found
      if (Date.now() > deadline) throw new Error(`no such log line in time: ${this.output()}`)
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
  }

  /** SIGTERM; resolves to the exit code. */
  async stop(): Promise<number> {
    this.#child.kill('SIGTERM')
    const code = await this.#exited
    this.#removeState()
    return code
  }

  /** kill -9. */
  async kill(): Promise<void> {
    this.#child.kill('SIGKILL')
    await this.#exited
  }

  exited(): Promise<number> {
    return this.#exited
  }

  #removeState(): void {
    if (this.#ownsStateDir) rmSync(this.stateDir, { recursive: true, force: true })
  }
}
