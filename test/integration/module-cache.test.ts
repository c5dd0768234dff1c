// The module cache, in a small program of its own: one .ts entry, one module, one thread.

import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import {
  copyFileSync,
  cpSync,
  globSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import t, { type Test } from 'tap'
import packageJson from '../../package.json' with { type: 'json' }
import { DaemonProcess } from '../support/daemon.ts'
import { until } from '../support/source-bench.ts'

const ROOT = resolve(import.meta.dirname, '../..')
const PATIENT_MS = 60_000
t.setTimeout(2 * PATIENT_MS)
/** Prints what the module says, on the main thread and in a worker, and who has the stripper. */
const ENTRY = `import { isMainThread, Worker } from 'node:worker_threads'
import { said } from './said.ts'
const has = process.moduleLoadList.some((name: string) => name.includes('amaro'))
console.log(isMainThread ? 'main' : 'thread', said, has ? 'strips' : 'does not strip')
if (isMainThread) new Worker(new URL(import.meta.url))
`

interface Program {
  readonly directory: string
  /** What it prints. */
  readonly run: (env?: Record<string, string>) => string[]
  readonly says: (what: string) => void
  /** Its module's file in the cache. */
  readonly entry: () => string
}

function program(t: Test, name = 'tickd-cache-'): Program {
  const directory = mkdtempSync(join(tmpdir(), name))
  t.teardown(() => rmSync(directory, { recursive: true, force: true }))
  mkdirSync(join(directory, 'src'))
  mkdirSync(join(directory, 'node_modules'))
  writeFileSync(join(directory, 'package.json'), '{"type":"module"}')
  writeFileSync(join(directory, 'src/main.ts'), ENTRY)
  const cache = join(directory, 'src/module-cache.cjs')
  copyFileSync(join(ROOT, 'src/module-cache.cjs'), cache)
  const says = (what: string) => {
    writeFileSync(join(directory, 'src/said.ts'), `export const said: string = '${what}'\n`)
  }
  says('first')
  return {
    directory,
    says,
    run: (env = {}) => {
      const argv = ['--disable-warning=ExperimentalWarning', '--require', cache]
      const { stdout, stderr } = spawnSync(
        process.execPath,
        [...argv, join(directory, 'src/main.ts')],
        { env: { ...process.env, ...env }, encoding: 'utf8' },
      )
      t.equal(stderr, '')
      return stdout.trimEnd().split('\n')
    },
    entry: () => {
      const [path] = globSync('node_modules/.cache/tickd/stripped/*/said.ts.js', { cwd: directory })
      return join(directory, path ?? 'is not there')
    },
  }
}

/** Puts other code into an entry, which then is as whole as it was. */
function forge(path: string, code: string): void {
  const [, madeOf] = readFileSync(path, 'utf8').split(' ')
  const digest = createHash('sha256').update(code).digest('hex')
  writeFileSync(path, `// ${madeOf} ${digest}\n${code}`)
}

t.test('what was stripped once is not again, on any thread', async (t) => {
  const { run } = program(t)
  t.match(run(), ['main first strips', /^thread first /])
  t.same(run(), ['main first does not strip', 'thread first does not strip'])
})

t.test('the cache is what runs, until the source changes', async (t) => {
  const { run, entry, says } = program(t)
  run()
  forge(entry(), "export const said = 'out of the cache'\n")
  t.match(run(), ['main out of the cache', 'thread out of the cache'])
  says('second')
  t.match(run(), ['main second', 'thread second'])
  t.same(run(), ['main second does not strip', 'thread second does not strip'])
})

t.test('an entry that is not whole is made anew', async (t) => {
  const { run, entry } = program(t)
  run()
  const whole = readFileSync(entry(), 'utf8')
  for (const torn of ['', whole.slice(0, -3), whole.replace('first', 'fresh'), '\0'.repeat(99)]) {
    writeFileSync(entry(), torn)
    t.match(run(), ['main first', 'thread first'])
    t.equal(readFileSync(entry(), 'utf8'), whole)
  }
})

t.test('a cache that cannot be written is no error, nor is one that is switched off', async (t) => {
  const { run, entry, directory } = program(t)
  run()
  forge(entry(), "export const said = 'out of the cache'\n")
  t.match(run({ NODE_DISABLE_COMPILE_CACHE: '1' }), ['main first', 'thread first'])
  rmSync(join(directory, 'node_modules/.cache'), { recursive: true })
  writeFileSync(join(directory, 'node_modules/.cache'), 'a file')
  t.match(run(), ['main first strips', 'thread first strips'])
})

t.test('a path may have anything in it', async (t) => {
  const { run } = program(t, 'tickd cache 100%25 #1?-')
  run()
  t.same(run(), ['main first does not strip', 'thread first does not strip'])
})

t.test('the daemon is started with it', async (t) => {
  t.match(packageJson.scripts.start, ' --require ./src/module-cache.cjs ')
  t.match(readFileSync(join(ROOT, 'bin/tickd'), 'utf8'), '--require "$root/src/module-cache.cjs"')
})

/** The program without a cache, in a directory of its own. Returns its src/. */
function copyOfProgram(t: Test): string {
  const directory = mkdtempSync(join(tmpdir(), 'tickd-cache-'))
  t.teardown(() => rmSync(directory, { recursive: true, force: true }))
  cpSync(join(ROOT, 'src'), join(directory, 'src'), { recursive: true })
  const link = (part: string, but: RegExp) => {
    for (const name of readdirSync(join(ROOT, part))) {
      if (!but.test(name)) symlinkSync(join(ROOT, part, name), join(directory, part, name))
    }
  }
  link('', /^(src|node_modules|\.git)$/)
  mkdirSync(join(directory, 'node_modules'))
  link('node_modules', /^\.cache$/)
  return join(directory, 'src')
}

t.test('a daemon keeps what it compiled without waiting for its end', async (t) => {
  const config = { postgres: { mode: 'off' }, redis: { mode: 'off' } }
  const compiled = (sources: string) => {
    return globSync('../node_modules/.cache/tickd/compiled/*/*', { cwd: sources }).length
  }
  // At an orderly end Node.js itself keeps what each thread has loaded.
  const orderly = copyOfProgram(t)
  const stopped = await DaemonProcess.start({ sources: orderly, config })
  t.equal(await stopped.stop(), 0)
  const all = compiled(orderly)
  t.ok(all > 400, `${all} modules, of libraries too`)
  const sources = copyOfProgram(t)
  const running = await DaemonProcess.start({ sources, config })
  t.teardown(() => running.kill())
  // What is loaded later, and at the end, is not worth a word.
  const isKept = () => compiled(sources) > 0.95 * all
  await until(isKept, 'compiled code of all threads', undefined, PATIENT_MS)
})
