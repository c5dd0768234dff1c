// tickd profile: takes a profile of a thread of the running daemon, through its admin listener, and
// saves it. What the daemon sends is written as it comes; a profile that broke off is not kept.

import { createWriteStream } from 'node:fs'
import { rename, rm, stat } from 'node:fs/promises'
import { resolve } from 'node:path'
import type { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { Command, InvalidArgumentError } from 'commander'
import { request } from 'undici'
import { type ErrorCode, errorText, TickdError } from '../errors.ts'
import { PROFILE_SECONDS_MAX } from '../limits.ts'
import { formatOf } from '../ops/profiling/profile-text.ts'
import type { ProfileKind } from '../ops/profiling/profiles.ts'
import { Progress } from './progress.ts'

const DEFAULT_URL = 'http://127.0.0.1:8079'
const SECONDS = 10
/** The daemon answers its own time-outs sooner. */
const ANSWER_MARGIN_MS = 60_000
const PROGRESS_MS = 200

const SUMMARIES: Readonly<Record<ProfileKind, string>> = {
  cpu: 'Where a thread spends its time: a stack a millisecond.',
  heap: 'What allocates on a thread, by sampling; what was freed again counts too.',
  trace: 'What Node does, when, on which thread: collections, file system calls, the event loop.',
}

/** Codes of the admin listener's refusals, as ours. */
const REFUSALS: Readonly<Record<string, ErrorCode>> = {
  unknown_thread: 'USAGE',
  bad_parameter: 'USAGE',
  profile_busy: 'PROFILE_BUSY',
  profile_failed: 'PROFILE_FAILED',
  stopping: 'PROFILE_FAILED',
  internal: 'PROFILE_FAILED',
}

interface ProfileOptions {
  thread?: string
  seconds: number
  format?: string
  url: string
  output?: string
  json?: true
}

interface ThreadList {
  readonly threads: readonly { name: string; roles: string[]; waits: string; busy: boolean }[]
}

export function profileCommand(): Command {
  return new Command('profile')
    .description('Profile a thread of the running daemon.')
    .addCommand(threadsCommand())
    .addCommand(kindCommand('cpu'))
    .addCommand(kindCommand('heap'))
    .addCommand(kindCommand('trace'))
    .addHelpText('after', '\nA session, step by step: docs/profiling.md.')
}

function threadsCommand(): Command {
  return new Command('threads')
    .description('List the threads that can be profiled, and the roles on them.')
    .option('--url <url>', 'the daemon’s admin listener', DEFAULT_URL)
    .option('--json', 'print the list as JSON')
    .action(async ({ url, json }: { url: string; json?: true }) => {
      const { body } = await ask(url, 'GET', '/debug/threads', 0)
      const list = (await body.json()) as ThreadList
      process.stdout.write(json ? `${JSON.stringify(list.threads)}\n` : threadTable(list))
    })
}

function kindCommand(kind: ProfileKind): Command {
  const isTrace = kind === 'trace'
  const formats = isTrace ? 'json' : `${formatOf(kind, '')}, svg or html`
  return new Command(kind)
    .description(SUMMARIES[kind])
    .option(
      '-t, --thread <name>',
      isTrace ? 'a role or a thread’s name; all unless given' : 'a role (decode-0), or a thread',
    )
    .option('-n, --seconds <n>', `how long, 1 to ${PROFILE_SECONDS_MAX}`, secondsOf, SECONDS)
    .option('-f, --format <format>', `${formats}; by the name of the file, or the first`)
    .option('--url <url>', 'the daemon’s admin listener', DEFAULT_URL)
    .option('-o, --output <file>', 'where to; - for standard output')
    .option('--json', 'print what was saved as JSON')
    .action(async (options: ProfileOptions) => await takeProfile(kind, options))
}

async function takeProfile(kind: ProfileKind, options: ProfileOptions): Promise<void> {
  const { seconds, url, output } = options
  const thread = options.thread ?? (kind === 'trace' ? 'all' : '')
  if (thread === '') {
    throw new TickdError('USAGE', '--thread is missing; `tickd profile threads` lists them')
  }
  const format = formatOf(kind, options.format ?? extensionOf(output))
  const query = new URLSearchParams({ thread, seconds: String(seconds), format })
  const progress = new Progress()
  const beganMs = performance.now()
  const timer = setInterval(() => {
    const done = Math.min(seconds, Math.floor((performance.now() - beganMs) / 1000))
    progress.show(() => `${kind} of ${thread}: ${done} of ${seconds} s`)
  }, PROGRESS_MS)
  try {
    const answer = await ask(url, 'POST', `/debug/profile/${kind}?${query}`, seconds)
    if (output === '-') return await send(answer.body)
    const file = output ?? `tickd-${kind}-${thread}-${stampOf(new Date())}.${format}`
    const bytes = await save(answer.body, file)
    progress.end()
    const saved = { file: resolve(file), bytes, thread: String(answer.headers['x-tickd-thread']) }
    const dropped = Number(answer.headers['x-tickd-dropped-events'] ?? 0)
    if (dropped > 0) process.stderr.write(`tickd: ${dropped} further events were dropped\n`)
    process.stdout.write(options.json ? `${JSON.stringify(saved)}\n` : savedText(saved))
  } finally {
    clearInterval(timer)
    progress.end()
  }
}

/** The extension of the file says the format, where it is one. */
function extensionOf(file: string | undefined): string {
  return /\.(svg|html)$/.exec(file ?? '')?.[1] ?? ''
}

async function ask(url: string, method: 'GET' | 'POST', path: string, seconds: number) {
  if (!URL.canParse(url)) throw new TickdError('USAGE', `--url ${url}: must be http://host:port`)
  const target = new URL(path, url)
  const timeoutMs = seconds * 1000 + ANSWER_MARGIN_MS
  const answer = await request(target, {
    method,
    headersTimeout: timeoutMs,
    bodyTimeout: timeoutMs,
  }).catch((error) => {
    const text = `${target.origin} cannot be reached (${errorText(error)})`
    throw new TickdError('IO', `${text}; is the daemon running, and admin.enabled?`, {
      cause: error,
      canRetry: true,
    })
  })
  if (answer.statusCode === 200) return answer
  throw refusal(answer.statusCode, await answer.body.text())
}

function refusal(status: number, text: string): TickdError {
  try {
    const { error, threads } = JSON.parse(text)
    const list = threads === undefined ? '' : `; there is ${namesOf({ threads }).join(', ')}`
    const code = REFUSALS[error.code]
    if (code !== undefined) return new TickdError(code, `${error.message}${list}`)
  } catch {
    // Not JSON: not from us.
  }
  return new TickdError('IO', `the listener answered ${status}; is it tickd’s admin listener?`)
}

async function send(body: Readable): Promise<void> {
  await pipeline(body, process.stdout, { end: false })
}

/** Returns the size. A file of that name is replaced once the new one is whole. */
async function save(body: Readable, file: string): Promise<number> {
  const part = `${file}.part`
  try {
    await pipeline(body, createWriteStream(part))
    const { size } = await stat(part)
    await rename(part, file)
    return size
  } catch (error) {
    await rm(part, { force: true })
    throw new TickdError('IO', `${file}: not saved (${errorText(error)})`, { cause: error })
  }
}

function savedText({ file, bytes, thread }: { file: string; bytes: number; thread: string }) {
  const size = `${(bytes / 1024).toFixed(1)} KiB`
  return `${file}  ${size}, thread ${thread}\n`
}

function namesOf({ threads }: ThreadList): string[] {
  return [...new Set(threads.flatMap(({ name, roles }) => [...roles, name]))]
}

function threadTable({ threads }: ThreadList): string {
  const width = Math.max(...threads.map(({ name }) => name.length))
  return threads
    .map(({ name, roles, waits, busy }) => {
      const state = busy ? '  being profiled' : ''
      return `${name.padEnd(width)}  ${waits.padEnd(10)}  ${roles.join(', ')}${state}\n`
    })
    .join('')
}

/** 2026-01-02T03-04-05: sorts, and is a file name everywhere. */
function stampOf(time: Date): string {
  return time.toISOString().slice(0, 19).replaceAll(':', '-')
}

function secondsOf(text: string): number {
  const seconds = /^\d{1,4}$/.test(text) ? Number(text) : 0
  if (seconds >= 1 && seconds <= PROFILE_SECONDS_MAX) return seconds
  throw new InvalidArgumentError(`must be a whole number from 1 to ${PROFILE_SECONDS_MAX}.`)
}
