// tickd key, as a person runs it.

import { spawnSync } from 'node:child_process'
import { resolve } from 'node:path'
import t from 'tap'
import { KEY_FORM } from '../../../src/serve/access/key-file.ts'

const MAIN = resolve(import.meta.dirname, '../../../src/main.ts')

function run(directory: string, ...args: string[]) {
  const set = ['--set', `state_dir=${directory}`]
  const command = ['--disable-warning=ExperimentalWarning', MAIN, 'key', ...args, ...set]
  return spawnSync(process.execPath, command, { encoding: 'utf8' })
}

t.test('a key is made, listed and revoked; it is shown once', async (t) => {
  const directory = resolve(t.testdir(), 'state')
  const rights = ['--symbols', 'BTC-*, ETH-*', '--replay', '7d', '--push', '--connections', '3']
  const made = run(directory, 'create', '--name', 'desk-3', ...rights, '--expires', '90d')
  t.equal(made.status, 0, made.stderr)
  const key = made.stdout.trim()
  t.match(key, KEY_FORM)
  const listed = run(directory, 'list', '--json')
  t.notMatch(listed.stdout, key.slice(-43))
  const [entry] = JSON.parse(listed.stdout).keys
  t.match(entry, { name: 'desk-3', revoked: null, expires: /Z$/ })
  t.same(entry.grant, {
    channels: ['*'],
    symbols: ['BTC-*', 'ETH-*'],
    replay_ms: 7 * 86_400_000,
    push: true,
    operate: false,
    limits: { connections: 3 },
  })
  t.equal(run(directory, 'create', '--name', 'desk-3').status, 2, 'the name is taken')
  t.match(run(directory, 'revoke', 'desk-3').stdout, `revoked ${entry.id} desk-3`)
  t.match(run(directory, 'list').stdout, /desk-3 .*revoked/)
  t.equal(run(directory, 'revoke', 'desk-3').status, 2, 'it is not in force')
  t.equal(run(directory, 'create', '--name', 'desk-3').status, 0, 'the name is free again')
})

t.test('what cannot be is refused before anything is written', async (t) => {
  const directory = resolve(t.testdir(), 'state')
  for (const wrong of [
    ['--name', 'a b'],
    ['--name', 'a', '--expires', 'soon'],
    ['--name', 'a', '--expires', '2020-01-01T00:00:00Z'],
    ['--name', 'a', '--replay', '-1'],
    ['--name', 'a', '--connections', '0'],
    ['--name', 'a', '--symbols', ','],
    [],
  ]) {
    t.equal(run(directory, 'create', ...wrong).status, 2, wrong.join(' '))
  }
  t.same(JSON.parse(run(directory, 'list', '--json').stdout), { keys: [] })
})
