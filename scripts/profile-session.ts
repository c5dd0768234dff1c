// What the profiling scripts share: the configuration of the e2e load, its generators, the tools.

import { type ChildProcess, fork, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { copyFileSync, existsSync, mkdirSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'

const ROOT = resolve(import.meta.dirname, '..')
/** Where the scripts leave what they made; ignored by git. */
export const PROFILES_DIR = join(ROOT, '.cache/profiles')
const TOOLS_SOURCE = join(ROOT, 'tools/profiling')
const TOOLS_DIR = join(ROOT, '.cache/profiling-tools')
const TOOL_FILES = ['package.json', 'package-lock.json', '.npmrc']
const SUBSCRIBERS = 10
/** Code that has just begun is not what one wants to see. */
const WARM_UP_MS = 3000

/** Everything on: validation, fsynced journal, PostgreSQL, Redis where there is one. */
export const LOAD_CONFIG = Object.freeze({
  sources: [{ name: 'push', type: 'tcp', listen: { port: 0 } }],
})

/** The load of the e2e bench: trades over TCP, and subscribers to all of them. Ends by `stop`. */
export async function startLoad(
  push: { readonly host: string; readonly port: number },
  feedUrl: string,
): Promise<{ stop: () => void }> {
  const children = await Promise.all([
    forked('bench/e2e-subscribers.ts', [feedUrl, String(SUBSCRIBERS)]),
    forked('scripts/steady-load.ts', [push.host, String(push.port)]),
  ])
  await new Promise((resolve) => setTimeout(resolve, WARM_UP_MS))
  return {
    stop: () => {
      for (const child of children) if (child.connected) child.disconnect()
    },
  }
}

/** Forks a script and waits until it says that it is ready. */
async function forked(script: string, args: readonly string[]): Promise<ChildProcess> {
  const execArgv = ['--disable-warning=ExperimentalWarning']
  const child = fork(join(ROOT, script), args, { execArgv })
  const died = once(child, 'exit').then(([code]) => {
    throw new Error(`${script} ended with ${code}`)
  })
  died.catch(() => {})
  await Promise.race([once(child, 'message'), died])
  return child
}

/**
 * The path of a tool's program. The tools are large and seldom used: they are not installed with
 * tickd but here, from a lock file of their own, without install scripts.
 */
export function toolPath(name: '0x' | 'clinic'): string {
  const isCurrent =
    existsSync(join(TOOLS_DIR, 'node_modules')) &&
    TOOL_FILES.every(
      (file) => readText(join(TOOLS_DIR, file)) === readText(join(TOOLS_SOURCE, file)),
    )
  if (!isCurrent) install()
  return join(TOOLS_DIR, 'node_modules/.bin', name)
}

function install(): void {
  process.stderr.write('installing 0x and clinic in .cache/profiling-tools (once, about 150 MB)\n')
  mkdirSync(TOOLS_DIR, { recursive: true })
  for (const file of TOOL_FILES) copyFileSync(join(TOOLS_SOURCE, file), join(TOOLS_DIR, file))
  const args = ['ci', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error']
  const { status } = spawnSync('npm', args, { cwd: TOOLS_DIR, stdio: ['ignore', 2, 2] })
  if (status !== 0) throw new Error('npm could not install the tools; its reason is above')
}

function readText(path: string): string | undefined {
  return existsSync(path) ? readFileSync(path, 'utf8') : undefined
}
