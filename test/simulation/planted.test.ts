// The proof that the simulation finds what it is for: bugs that are planted, each by itself.

import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import t from 'tap'
import { PLANTED_BUGS } from './planted.ts'

/** A fixed one: whether a bug is found shall not depend on luck. */
const PLANTED_SEED = 1
const PLANTED_SCHEDULES = 1000

t.setTimeout(240_000)

t.test('each planted bug is found', async (t) => {
  // A process of its own: bugs end threads in ways that a test runner would take for its own.
  const program = join(import.meta.dirname, 'main.ts')
  const args = ['--planted', '--seed', `${PLANTED_SEED}`, '--seeds', `${PLANTED_SCHEDULES}`]
  const { stdout } = spawnSync(
    process.execPath,
    ['--disable-warning=ExperimentalWarning', program, ...args],
    { encoding: 'utf8' },
  )
  for (const { name } of PLANTED_BUGS) {
    t.match(stdout, new RegExp(`^${name} .*: found after`, 'm'), name)
  }
})
