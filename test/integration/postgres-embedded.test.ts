// The private server: started, found again, ended with its daemon.

import { spawn } from 'node:child_process'
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { silentLog } from '../../src/ops/log.ts'
import { findBinaries, linkMissing, prepareBinaries } from '../../src/storage/postgres/binaries.ts'
import { EmbeddedPostgres } from '../../src/storage/postgres/embedded.ts'
import { processInfo } from '../../src/storage/process-info.ts'
import { psql, temporaryDirectory } from '../support/postgres.ts'
import { recordingLog } from '../support/store-bench.ts'

const OWNER = fileURLToPath(new URL('../support/postgres-owner.ts', import.meta.url))
const isRoot = process.getuid?.() === 0

interface Teardown {
  teardown(fn: () => void): void
}

function directoryOf(t: Teardown): string {
  const directory = temporaryDirectory('embedded')
  // The server's log writer ends a moment after it.
  t.teardown(() => rmSync(directory, { recursive: true, force: true, maxRetries: 10 }))
  return join(directory, 'postgres')
}

async function start(directory: string, log = recordingLog()): Promise<EmbeddedPostgres> {
  return await EmbeddedPostgres.start({ directory, port: 0, log, settings: ['fsync=off'] })
}

/** A process that starts the server and then only lives; resolves once the server runs. */
async function startOwner(directory: string): Promise<{ kill(): Promise<void>; pid: number }> {
  const child = spawn(
    process.execPath,
    ['--disable-warning=ExperimentalWarning', OWNER, directory],
    {
      stdio: ['ignore', 'pipe', 'inherit'],
    },
  )
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()))
  const pid = await new Promise<number>((resolve, reject) => {
    child.stdout.once('data', (data) => resolve(Number(String(data))))
    child.once('exit', () => reject(new Error('the owner ended early')))
  })
  return {
    pid,
    async kill() {
      child.kill('SIGKILL')
      await ended
    },
  }
}

async function untilGone(pid: number): Promise<void> {
  const endMs = performance.now() + 20_000
  while (processInfo(pid) !== undefined) {
    if (performance.now() > endMs) throw new Error(`process ${pid} still runs`)
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}

/** One cluster for all tests that do not spoil it: each leaves it stopped. */
const directory = directoryOf(t)

t.test('data, password and port survive a stop', async (t) => {
  const first = await start(directory)
  await psql(first.url, 'CREATE TABLE kept AS SELECT 42 AS answer')
  await first.stop()
  t.equal(processInfo(first.pid), undefined, 'it is gone')
  const second = await start(directory)
  t.same(await psql(second.url, 'SELECT answer FROM kept'), [{ answer: 42 }])
  t.equal(second.url, first.url, 'a printed address stays good')
  const [settings] = await psql(
    second.url,
    `SELECT current_setting('server_encoding') AS encoding, current_setting('wal_level') AS wal`,
  )
  t.same(settings, { encoding: 'UTF8', wal: 'minimal' })
  await second.stop()
  await second.stop()
  t.pass('a second stop does no harm')
})

t.test('only the password opens it, and the shown address has none', async (t) => {
  const server = await start(directory)
  const password = new URL(server.url).password
  t.notMatch(server.printUrl, password)
  t.match(server.printUrl, `passfile=${directory}/passfile`)
  t.equal(lstatSync(join(directory, 'passfile')).mode & 0o777, 0o600)
  await t.rejects(psql(server.url.replace(password, 'x'), 'SELECT 1'), { code: '28P01' })
  await server.stop()
  rmSync(join(directory, 'passfile'))
  const again = await start(directory)
  t.not(new URL(again.url).password, password, 'a lost password file gets a new password')
  t.same(await psql(again.url, 'SELECT 1 AS one'), [{ one: 1 }])
  await again.stop()
})

t.test('two at once on one directory: the second is told who is there', async (t) => {
  const server = await start(directory)
  await t.rejects(start(directory), {
    code: 'STATE_DIR_UNUSABLE',
    message: new RegExp(`pid ${process.pid} runs its PostgreSQL here`),
  })
  t.same(await psql(server.url, 'SELECT 1 AS one'), [{ one: 1 }], 'and the first runs on')
  await server.stop()
})

t.test('the server ends with a daemon that is killed', async (t) => {
  const owner = await startOwner(directory)
  t.ok(processInfo(owner.pid), 'it runs')
  await owner.kill()
  await untilGone(owner.pid)
  t.pass('the watcher has stopped it')
})

t.test('a server that was left behind is stopped by the next start', async (t) => {
  const owner = await startOwner(directory)
  // The watcher is stopped too, as in a kill of the whole group.
  const watcher = watcherOf(owner.pid)
  t.ok(watcher > 0)
  process.kill(watcher, 'SIGKILL')
  await owner.kill()
  t.ok(processInfo(owner.pid), 'it outlives its daemon')
  const log = recordingLog()
  const server = await start(directory, log)
  t.ok(log.lines.some(({ message }) => message.includes('an earlier tickd left running')))
  t.not(server.pid, owner.pid)
  t.same(await psql(server.url, 'SELECT 1 AS one'), [{ one: 1 }])
  await server.stop()
})

t.test('a pid file whose pid is a stranger’s holds nobody up', async (t) => {
  const server = await start(directory)
  await server.stop()
  const lines = [process.pid, join(directory, 'data'), 0, server.port, '', '127.0.0.1', 0, 'ready']
  writeFileSync(join(directory, 'data/postmaster.pid'), `${lines.join('\n')}\n`)
  const again = await start(directory)
  t.same(await psql(again.url, 'SELECT 1 AS one'), [{ one: 1 }])
  await again.stop()
})

t.test('a cluster of another version is left alone', async (t) => {
  const directory = directoryOf(t)
  mkdirSync(join(directory, 'data'), { recursive: true })
  writeFileSync(join(directory, 'data/PG_VERSION'), '12\n')
  await t.rejects(start(directory), {
    code: 'STATE_DIR_UNUSABLE',
    message: /made by PostgreSQL 12.*pg_upgrade/,
  })
})

t.test('a port that is taken is named', async (t) => {
  const holder = createServer()
  await new Promise<void>((resolve) => holder.listen(0, '127.0.0.1', resolve))
  const { port } = holder.address() as { port: number }
  const attempt = EmbeddedPostgres.start({ directory, port, log: silentLog })
  await t.rejects(attempt, { code: 'ADDRESS_IN_USE' })
  holder.close()
})

t.test('a directory that its account cannot enter is named', { skip: !isRoot }, async (t) => {
  const directory = directoryOf(t)
  const barred = join(directory, '..')
  chmodSync(barred, 0o700)
  await t.rejects(start(directory), {
    code: 'STATE_DIR_UNUSABLE',
    message: new RegExp(`may not enter ${join(barred)}; run "chmod o\\+x`),
  })
})

t.test('programs that cannot be run where they are are copied once, links and all', (t) => {
  const parent = directoryOf(t)
  const native = join(parent, 'package/native')
  for (const path of ['bin', 'lib']) mkdirSync(join(native, path), { recursive: true })
  writeFileSync(join(native, 'lib/libx.so.1.2'), '')
  writeFileSync(join(native, 'lib/libx.a'), '')
  symlinkSync('libx.so.1.2', join(native, 'lib/libx.so.1'))
  // Runs from its copy alone.
  const script = '#!/bin/sh\ncase "$0" in */server-1.2/*) exit 0;; esac\nexit 1\n'
  writeFileSync(join(native, 'bin/postgres'), script, { mode: 0o755 })
  const found = { directory: native, version: '1.2' }
  const copy = prepareBinaries(found, parent, undefined)
  t.same(copy, { directory: join(parent, 'server-1.2'), version: '1.2' })
  t.equal(readlinkSync(join(copy.directory, 'lib/libx.so.1')), 'libx.so.1.2')
  t.notOk(existsSync(join(copy.directory, 'lib/libx.a')), 'without what only compilers need')
  writeFileSync(join(copy.directory, 'mark'), '')
  prepareBinaries(found, parent, undefined)
  t.ok(existsSync(join(copy.directory, 'mark')), 'a copy is made once')
  writeFileSync(join(copy.directory, 'bin/postgres'), '#!/bin/sh\nexit 1\n')
  t.throws(() => prepareBinaries(found, parent, undefined), { code: 'POSTGRES_BINARY_MISSING' })
  t.end()
})

t.test('programs that run where they are are not copied', (t) => {
  const found = findBinaries()
  t.equal(prepareBinaries(found, directoryOf(t), undefined), found)
  t.end()
})

t.test('links that the package manager did not make are made', (t) => {
  const native = join(directoryOf(t), 'native')
  mkdirSync(join(native, 'lib'), { recursive: true })
  writeFileSync(join(native, 'lib/libx.so.1.2'), '')
  const links = [{ source: 'native/lib/libx.so.1.2', target: 'native/lib/libx.so.1' }]
  writeFileSync(join(native, 'pg-symlinks.json'), JSON.stringify(links))
  linkMissing(native)
  t.equal(readlinkSync(join(native, 'lib/libx.so.1')), 'libx.so.1.2')
  linkMissing(native)
  unlinkSync(join(native, 'lib/libx.so.1'))
  linkMissing(native)
  t.equal(readFileSync(join(native, 'lib/libx.so.1'), 'utf8'), '')
  t.end()
})

/** The process that waits for the daemon's end to stop this server; 0 when not found. */
function watcherOf(serverPid: number): number {
  for (let pid = serverPid + 1; pid < serverPid + 100; pid++) {
    if (processInfo(pid)?.command.endsWith(`INT ${serverPid} `)) return pid
  }
  return 0
}
