// The native kernels' own tests, under sanitizers, and a short run of each fuzz target.

import { spawnSync } from 'node:child_process'
import { resolve } from 'node:path'
import t from 'tap'

const ROOT = resolve(import.meta.dirname, '../..')
const FUZZ_TARGETS = 7
/** Two compilations a second or so each, and 120,000 inputs, on a busy machine. */
const PATIENT_MS = 240_000

t.setTimeout(PATIENT_MS)

const { status } = spawnSync('clang++', ['--version'])
const skip = status === 0 ? false : 'no clang++ on this machine'

t.test('scripts/test-native finds nothing', { skip }, async (t) => {
  const { status, stdout, stderr } = spawnSync('sh', ['scripts/test-native'], {
    cwd: ROOT,
    encoding: 'utf8',
  })
  t.equal(status, 0, stderr)
  t.equal(stdout.match(/inputs, nothing found/g)?.length, FUZZ_TARGETS)
})

t.test('an argument that it does not know is refused', async (t) => {
  const { status, stderr } = spawnSync('sh', ['scripts/test-native', '--fast'], {
    cwd: ROOT,
    encoding: 'utf8',
  })
  t.equal(status, 1)
  t.match(stderr, /unknown argument --fast; usage/)
})
