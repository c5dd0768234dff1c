// The command as people and ExecStartPre call it.

import { spawnSync } from 'node:child_process'
import { resolve } from 'node:path'
import t from 'tap'
import { shownConfig } from '../../../src/cli/check-config.ts'
import { loadConfig } from '../../../src/config/load.ts'

const TICKD = resolve(import.meta.dirname, '../../../bin/tickd')

function run(...args: string[]): { status: number | null; stdout: string; stderr: string } {
  return spawnSync(TICKD, ['check-config', ...args], { encoding: 'utf8' })
}

t.test('a right configuration is said to be so', async (t) => {
  const { status, stdout, stderr } = run()
  t.equal(stderr, '')
  t.equal(status, 0)
  t.match(stdout, /^ok: the defaults; sources: synthetic, /)
})

t.test('--json prints the configuration in effect', async (t) => {
  const { stdout } = run('--json', '--set', 'shards=3')
  t.same(JSON.parse(stdout), { ...loadConfig().config, shards: 3 })
})

t.test('a wrong one has every error with its path, and exit code 2', async (t) => {
  const { status, stdout, stderr } = run('--set', 'shards=0', '--set', 'nothing=1')
  t.equal(status, 2)
  t.equal(stdout, '')
  t.match(stderr, /2 errors:\n {2}nothing: unknown option.*\n {2}shards: must be an integer/)
  t.match(stderr, 'CONFIG_INVALID')
  t.notMatch(stderr, /\n\s+at /, 'and no stack')
})

t.test('the password of an address is hidden', async (t) => {
  const set = ['postgres.mode=external', 'postgres.url=postgresql://me:hunter2@db/ticks']
  const text = shownConfig(loadConfig({ set }).config)
  t.notMatch(text, /hunter2/)
  t.match(text, 'postgresql://me:***@db/ticks')
})
