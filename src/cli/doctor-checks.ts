// What tickd doctor looks at: the machine, and the things that the configuration names.
//
// A check changes nothing and starts no server; it binds ports for a moment. `failed` = the daemon
// would not start or not keep its promises; `warning` = it would run with less.

import { accessSync, constants, existsSync, readFileSync, statfsSync, statSync } from 'node:fs'
import { createServer } from 'node:net'
import { availableParallelism } from 'node:os'
import { dirname, join } from 'node:path'
import { resolveStateDir } from '../config/load.ts'
import type { Config } from '../config/schema.ts'
import { errorText } from '../errors.ts'
import { MIB } from '../limits.ts'
import { activeAddon } from '../native/addon.ts'
import { canRun, serverAccount } from '../storage/account.ts'
import { findBinaries } from '../storage/postgres/binaries.ts'
import { externalUrl as postgresUrl } from '../storage/postgres/config.ts'
import { checkPostgres } from '../storage/postgres/connection.ts'
import { findRedisBinary } from '../storage/redis/binary.ts'
import { externalTarget } from '../storage/redis/config.ts'
import { checkRedis } from '../storage/redis/server.ts'

export type Verdict = 'ok' | 'warning' | 'failed'

export interface Finding {
  readonly check: string
  readonly verdict: Verdict
  readonly text: string
}

type Result = readonly [Verdict, string]

interface Check {
  readonly name: string
  readonly run: (config: Config) => Result | Promise<Result>
}

/** The version that the project pins; older ones do not run TypeScript as we write it. */
const NODE_MAJOR = 22
const NODE_MINOR_MIN = 18
/** Below this nothing works for long: a journal segment and PostgreSQL's own files. */
const FREE_BYTES_MIN = 512 * MIB
/** Files open beside subscribers: segments, databases, listeners. */
const FILES_BESIDE_SUBSCRIBERS = 512
const REACH_TIMEOUT_MS = 5000
/** A clock before this is one that was never set. */
const CLOCK_MIN_MS = Date.UTC(2026, 0, 1)
/** How much younger than now a file may seem before the clock must have gone back. */
const CLOCK_BACK_MS_MAX = 60_000

const CHECKS: readonly Check[] = [
  { name: 'node', run: checkNode },
  { name: 'cores', run: () => ['ok', `${availableParallelism()}`] },
  { name: 'serve threads', run: checkServeThreads },
  { name: 'kernels', run: () => ['ok', `${activeAddon().name} (${activeAddon().why})`] },
  { name: 'state directory', run: checkStateDir },
  { name: 'free space', run: checkFreeSpace },
  { name: 'clock', run: checkClock },
  { name: 'open files', run: checkOpenFiles },
  { name: 'postgres', run: checkPostgresStore },
  { name: 'redis', run: checkRedisStore },
  { name: 'ports', run: checkPorts },
]

/** Runs all checks, one after the other. A check that throws has failed, with its message. */
export async function runChecks(config: Config): Promise<Finding[]> {
  const findings: Finding[] = []
  for (const { name, run } of CHECKS) {
    try {
      const [verdict, text] = await run(config)
      findings.push({ check: name, verdict, text })
    } catch (error) {
      findings.push({ check: name, verdict: 'failed', text: errorText(error) })
    }
  }
  return findings
}

function checkNode(): Result {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number)
  const text = `${process.version} at ${process.execPath}`
  if (major === NODE_MAJOR && minor >= NODE_MINOR_MIN) return ['ok', text]
  const wanted = `tested are ${NODE_MAJOR}.${NODE_MINOR_MIN} and later ${NODE_MAJOR}.x`
  return [major > NODE_MAJOR ? 'warning' : 'failed', `${text}; ${wanted}: npm run setup`]
}

/** That they share a port at all is looked at with the configuration. */
function checkServeThreads({ serve }: Config): Result {
  const cores = availableParallelism()
  if (serve.threads <= cores) return ['ok', `${serve.threads}`]
  return ['warning', `${serve.threads} on ${cores} cores: each reads all records; use fewer`]
}

function checkStateDir(config: Config): Result {
  const directory = resolveStateDir(config)
  const nearest = nearestExisting(directory)
  if (!statSync(nearest).isDirectory()) return ['failed', `${nearest} is not a directory`]
  accessSync(nearest, constants.W_OK | constants.X_OK)
  return ['ok', nearest === directory ? directory : `${directory} (will be made)`]
}

function checkFreeSpace(config: Config): Result {
  const { bavail, bsize } = statfsSync(nearestExisting(resolveStateDir(config)))
  const free = bavail * bsize
  const text = `${Math.floor(free / MIB)} MiB`
  if (free < FREE_BYTES_MIN) return ['failed', `${text}; at least ${FREE_BYTES_MIN / MIB} MiB`]
  const { retain_bytes: budget } = config.journal
  if (free >= budget) return ['ok', text]
  return ['warning', `${text}; the journal may grow to journal.retain_bytes, ${budget / MIB} MiB`]
}

function nearestExisting(path: string): string {
  let nearest = path
  while (!existsSync(nearest)) nearest = dirname(nearest)
  return nearest
}

/** Not whether the clock is exact, which only its peers know, but whether it can be meant. */
function checkClock(config: Config): Result {
  const now = new Date()
  if (now.getTime() < CLOCK_MIN_MS) return ['failed', `${now.toISOString()} is long ago: set it`]
  for (const name of ['instruments.jsonl', 'lock']) {
    const path = join(resolveStateDir(config), name)
    const written = statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0
    if (written > now.getTime() + CLOCK_BACK_MS_MAX) {
      return ['failed', `${path} was written in the future: the clock has gone back`]
    }
  }
  return ['ok', now.toISOString()]
}

function checkOpenFiles(config: Config): Result {
  if (process.platform !== 'linux') return ['ok', 'not known on this system']
  const limits = readFileSync('/proc/self/limits', 'utf8')
  const limit = /^Max open files\s+(\S+)/m.exec(limits)?.[1] ?? ''
  const wanted = config.serve.subscribers_max + FILES_BESIDE_SUBSCRIBERS
  if (limit === 'unlimited' || Number(limit) >= wanted) return ['ok', limit]
  const text = `${limit}; serve.subscribers_max needs ${wanted}: raise it (ulimit -n, LimitNOFILE=)`
  return ['warning', text]
}

async function checkPostgresStore({ postgres, ...config }: Config): Promise<Result> {
  if (postgres.mode === 'off') return ['ok', 'off']
  if (postgres.mode === 'external') {
    return ['ok', `PostgreSQL ${await checkPostgres(postgresUrl(postgres), REACH_TIMEOUT_MS)}`]
  }
  const { directory, version } = findBinaries()
  const account = serverAccount(join(resolveStateDir(config), 'postgres'))
  const text = `embedded PostgreSQL ${version}`
  if (canRun(join(directory, 'bin/postgres'), ['--version'], account)) return ['ok', text]
  // The daemon then runs a copy of the programs, in the state directory.
  const who = account === undefined ? 'this user' : account.name
  return ['warning', `${text}: ${who} cannot run it where it is; a copy will be made`]
}

async function checkRedisStore({ redis }: Config): Promise<Result> {
  if (redis.mode === 'off') return ['ok', 'off']
  if (redis.mode === 'external') {
    return ['ok', `Redis ${await checkRedis(externalTarget(redis), REACH_TIMEOUT_MS)}`]
  }
  const binary = findRedisBinary()
  if (binary !== undefined) return ['ok', `embedded: ${binary}`]
  const text = 'no redis-server on PATH: npm run setup, or install it'
  return [redis.mode === 'embedded' ? 'failed' : 'warning', `${text}; the cache will be off`]
}

async function checkPorts(config: Config): Promise<Result> {
  const listeners = [{ name: 'serve.listen', ...config.serve.listen }]
  if (config.admin.enabled) listeners.push({ name: 'admin.listen', ...config.admin.listen })
  for (const source of config.sources) {
    if (source.type === 'tcp') listeners.push({ name: `source ${source.name}`, ...source.listen })
  }
  const taken: string[] = []
  for (const { name, host, port } of listeners) {
    const trouble = await bindTrouble(host, port)
    if (trouble !== undefined) taken.push(`${name} ${host}:${port}: ${trouble}`)
  }
  if (taken.length > 0) return ['failed', `${taken.join('; ')} (does the daemon run already?)`]
  return ['ok', listeners.map(({ port }) => port).join(', ')]
}

function bindTrouble(host: string, port: number): Promise<string | undefined> {
  return new Promise((resolve) => {
    const server = createServer()
    server.once('error', (error) => resolve(errorText(error)))
    server.listen({ host, port, exclusive: true }, () => server.close(() => resolve(undefined)))
  })
}
