// scripts/build-native, run for real in copies of the sources: with tools, without, with errors.

import { spawnSync } from 'node:child_process'
import {
  appendFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  statSync,
  symlinkSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import t, { type Test } from 'tap'

const ROOT = resolve(import.meta.dirname, '../..')
const ADDON = 'build/Release/tickd.node'
const PATIENT_MS = 180_000

const has = (program: string) => spawnSync('sh', ['-c', `command -v ${program}`]).status === 0
const missing = ['c++', 'make', 'python3'].filter((program) => !has(program))
const skip = missing.length === 0 ? false : `this machine has no ${missing.join(', ')}`

t.setTimeout(PATIENT_MS)

/** The native sources alone, with the packages of this checkout. */
function sources(t: Test): string {
  const directory = mkdtempSync(join(tmpdir(), 'tickd-native-'))
  t.teardown(() => rmSync(directory, { recursive: true, force: true }))
  for (const name of ['binding.gyp', 'native', 'scripts']) {
    cpSync(join(ROOT, name), join(directory, name), { recursive: true })
  }
  symlinkSync(join(ROOT, 'node_modules'), join(directory, 'node_modules'))
  return directory
}

function build(directory: string, args: string[] = [], path = process.env.PATH) {
  const { status, stdout, stderr } = spawnSync('sh', ['scripts/build-native', ...args], {
    cwd: directory,
    env: { ...process.env, PATH: path },
    encoding: 'utf8',
  })
  return { status, output: stdout + stderr }
}

t.test('it builds once, and again when a source has changed', { skip }, async (t) => {
  const directory = sources(t)
  const addon = join(directory, ADDON)
  t.match(build(directory), { status: 0, output: /building/ })
  const { mtimeMs } = statSync(addon)
  t.same(build(directory), { status: 0, output: '' }, 'nothing to do, nothing to say')
  t.equal(statSync(addon).mtimeMs, mtimeMs)
  appendFileSync(join(directory, 'native/addon.cc'), '// changed\n')
  t.match(build(directory, ['--must']), { status: 0, output: /building/ })
  t.ok(statSync(addon).mtimeMs > mtimeMs)
})

t.test('sources with an error: said once, no addon, and no failure', { skip }, async (t) => {
  const directory = sources(t)
  appendFileSync(join(directory, 'native/addon.cc'), 'this is no C++\n')
  t.match(build(directory), { status: 0, output: /could not be built: see build.native\.log/ })
  t.notOk(existsSync(join(directory, ADDON)))
  t.same(build(directory), { status: 0, output: '' }, 'not tried again')
  t.match(build(directory, ['--must']), { status: 1, output: /could not be built/ })
})

t.test('without a compiler: said once, and a failure only where it must be', async (t) => {
  const directory = sources(t)
  const bin = join(directory, 'bin')
  mkdirSync(bin)
  for (const tool of ['sh', 'cat', 'cksum', 'tr', 'mkdir', 'dirname', 'rm']) {
    const { stdout } = spawnSync('sh', ['-c', `command -v ${tool}`], { encoding: 'utf8' })
    symlinkSync(stdout.trim(), join(bin, tool))
  }
  const said = /missing c\+\+ make python3; the JS kernels serve/
  t.match(build(directory, [], bin), { status: 0, output: said })
  t.same(build(directory, [], bin), { status: 0, output: '' })
  t.match(build(directory, ['--must'], bin), { status: 1, output: said })
})

t.test('without sources there is nothing to build', async (t) => {
  const directory = sources(t)
  rmSync(join(directory, 'binding.gyp'))
  t.same(build(directory), { status: 0, output: '' })
  t.match(build(directory, ['--must']), { status: 1, output: /no sources here/ })
})

t.test('an argument that it does not know is refused', async (t) => {
  t.match(build(ROOT, ['--fast']), { status: 1, output: /unknown argument --fast; usage/ })
})
