import { homedir } from 'node:os'
import { join, resolve } from 'node:path'
import t from 'tap'
import { resolveStateDir } from '../../../src/config/state-dir.ts'

const empty = { state_dir: '' }

t.test('what is configured wins, and is made absolute', async (t) => {
  t.equal(resolveStateDir({ state_dir: 'here' }, { STATE_DIRECTORY: '/x' }), resolve('here'))
})

t.test('systemd names the directory of its unit; the first where there are several', async (t) => {
  t.equal(resolveStateDir(empty, { STATE_DIRECTORY: '/var/lib/tickd' }), '/var/lib/tickd')
  t.equal(resolveStateDir(empty, { STATE_DIRECTORY: '/a:/b' }), '/a')
})

t.test('otherwise root has the place of the system, others their own', async (t) => {
  const own = join(homedir(), '.local', 'state', 'tickd')
  const expected = process.getuid?.() === 0 ? '/var/lib/tickd' : own
  t.equal(resolveStateDir(empty, {}), expected)
  t.equal(resolveStateDir(empty, { STATE_DIRECTORY: '' }), expected)
})
