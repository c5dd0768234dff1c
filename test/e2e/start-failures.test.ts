// Each way in which a start can fail: one clear line, the right exit code, nothing left behind.

import { spawn, spawnSync } from 'node:child_process'
import { chmodSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { startPostgres } from '../support/postgres.ts'
import { redisBinary } from '../support/redis.ts'
import { RedisFleet } from '../support/redis-fleet.ts'

const MAIN = fileURLToPath(new URL('../../src/main.ts', import.meta.url))
const workDir = mkdtempSync(join(tmpdir(), 'tickd-fail-'))
t.teardown(() => rmSync(workDir, { recursive: true, force: true }))

function tickd(args: string[], uid?: number): { status: number | null; stderr: string } {
  const { status, stderr } = spawnSync(
    process.execPath,
    ['--disable-warning=ExperimentalWarning', MAIN, ...args],
    { encoding: 'utf8', timeout: 60_000, ...(uid === undefined ? {} : { uid, gid: uid }) },
  )
  return { status, stderr }
}

/** The lines on stderr that are the command's own last word. */
function errorLines(stderr: string): string[] {
  return stderr.split('\n').filter((line) => line.startsWith('tickd: '))
}

function run(name: string, settings: string[]): { status: number | null; stderr: string } {
  const all = [`state_dir=${join(workDir, name)}`, ...PORTS, ...settings]
  return tickd(['run', ...all.flatMap((setting) => ['--set', setting])])
}

/** Any free ones: another daemon may run on this machine. */
const PORTS = ['serve.listen.port=0', 'admin.listen.port=0']
const SYNTHETIC = 'sources=[{name: s, type: synthetic}]'

t.setTimeout(300_000)

t.test('a bad configuration names every error with its path and exits 2', async (t) => {
  const file = join(workDir, 'bad.yaml')
  writeFileSync(file, 'serve:\n  listen: { prot: 1 }\njournal: { block_ticks: 0 }\n')
  const { status, stderr } = tickd(['run', '--config', file])
  t.equal(status, 2)
  t.match(stderr, /serve\.listen/)
  t.match(stderr, /prot/)
  t.match(stderr, /journal\.block_ticks/)
})

t.test('kernels that there are not are an error before anything is begun', async (t) => {
  const state = join(workDir, 'kernels')
  process.env.TICKD_KERNELS = 'simd'
  const { status, stderr } = run('kernels', [])
  delete process.env.TICKD_KERNELS
  t.equal(status, 2)
  t.match(errorLines(stderr).join(), /TICKD_KERNELS=simd is not one of auto, js, native/)
  t.notOk(existsSync(state))
})

t.test('an unknown command and an unknown option exit 2', async (t) => {
  t.equal(tickd(['fly']).status, 2)
  t.equal(tickd(['run', '--fast']).status, 2)
})

t.test('a port in use is one line that names the option and the address, exit 1', async (t) => {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as { port: number }
  const state = join(workDir, 'port')
  const child = spawn(
    process.execPath,
    [
      '--disable-warning=ExperimentalWarning',
      MAIN,
      'run',
      ...['--set', `state_dir=${state}`, '--set', `serve.listen.port=${port}`],
    ],
    { stdio: ['ignore', 'ignore', 'pipe'] },
  )
  let stderr = ''
  child.stderr.on('data', (text) => {
    stderr += text
  })
  const status = await new Promise((resolve) => child.on('exit', resolve))
  server.close()
  t.equal(status, 1)
  t.equal(errorLines(stderr).length, 1)
  t.match(stderr, new RegExp(`serve\\.listen: 127\\.0\\.0\\.1:${port} is already in use`))
  t.notOk(existsSync(join(state, 'postgres')), 'no database was set up')
  t.notOk(existsSync(join(state, 'lock')), 'the state directory is free again')
})

t.test('a wrong password is one line without the password, exit 1', async (t) => {
  const server = await startPostgres()
  t.teardown(() => server.stop())
  const url = new URL(server.url)
  url.username = 'somebody'
  url.password = 'wrong-secret'
  const { status, stderr } = run('password', [
    SYNTHETIC,
    `postgres={mode: external, url: "${url.href}"}`,
    'redis.mode=off',
  ])
  t.equal(status, 1)
  t.equal(errorLines(stderr).length, 1)
  t.match(stderr, /POSTGRES_REFUSED/)
  t.notMatch(stderr, /wrong-secret/)
})

const skip = redisBinary === undefined && 'there is no redis-server on this machine'
t.test('a Redis that refuses is one line without the password, exit 1', { skip }, async (t) => {
  const fleet = new RedisFleet()
  t.teardown(() => fleet.stop())
  const { address } = await fleet.add()
  const { host, port } = address
  const { status, stderr } = run('redis', [
    SYNTHETIC,
    'postgres.mode=off',
    `redis={mode: external, url: "redis://tickd:wrong-secret@${host}:${port}"}`,
  ])
  t.equal(status, 1)
  t.equal(errorLines(stderr).length, 1)
  t.match(stderr, /WRONGPASS.*redis\.password_file.*REDIS_REFUSED/)
  t.notMatch(stderr, /wrong-secret/)
})

t.test('a state directory that cannot be written is one line, exit 1', async (t) => {
  const file = join(workDir, 'a-file')
  writeFileSync(file, '')
  const inFile = tickd(['run', '--set', `state_dir=${join(file, 'state')}`])
  t.equal(inFile.status, 1)
  t.equal(errorLines(inFile.stderr).length, 1)
  t.match(inFile.stderr, /STATE_DIR_UNUSABLE/)
  if (process.getuid?.() !== 0) return
  const locked = join(workDir, 'locked')
  mkdirSync(locked)
  chmodSync(locked, 0o500)
  chmodSync(workDir, 0o755)
  const refused = tickd(['run', '--set', `state_dir=${locked}`], 65_534)
  t.equal(refused.status, 1)
  t.match(refused.stderr, /STATE_DIR_UNUSABLE/)
})
