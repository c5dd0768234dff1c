// Each check is seen to find the trouble that it is for, on the real machine.

import { mkdirSync, utimesSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { type Finding, runChecks } from '../../../src/cli/doctor-checks.ts'
import { loadConfig } from '../../../src/config/load.ts'

/** Nothing of the machine that is not ours: free ports, a directory of the test. */
function base(t: Test): string[] {
  return [
    `state_dir=${join(t.testdir(), 'state')}`,
    'serve.listen.port=0',
    'sources=[{name: synthetic, type: synthetic}]',
  ]
}

async function finding(check: string, set: string[]): Promise<Finding | undefined> {
  const findings = await runChecks(loadConfig({ set }).config)
  return findings.find((each) => each.check === check)
}

t.test('a machine that will do has no failed check', async (t) => {
  const findings = await runChecks(loadConfig({ set: base(t) }).config)
  t.same(
    findings.filter(({ verdict }) => verdict === 'failed'),
    [],
  )
  t.match(
    findings.find(({ check }) => check === 'state directory'),
    { text: /will be made/ },
  )
})

t.test('a port that is taken is named with its option', async (t) => {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => server.close())
  const address = server.address()
  const port = typeof address === 'object' ? address?.port : undefined
  const found = await finding('ports', [...base(t), `serve.listen.port=${port}`])
  t.match(found, { verdict: 'failed', text: /serve\.listen 127\.0\.0\.1:\d+: .*EADDRINUSE/ })
})

t.test('a state directory that cannot be one', async (t) => {
  const set = base(t)
  const path = join(t.testdirName, 'file')
  writeFileSync(path, '')
  const found = await finding('state directory', [...set, `state_dir=${path}`])
  t.match(found, { verdict: 'failed', text: /not a directory/ })
})

t.test('a clock that has gone back', async (t) => {
  const set = base(t)
  const directory = join(t.testdirName, 'state')
  mkdirSync(directory)
  const path = join(directory, 'instruments.jsonl')
  writeFileSync(path, '')
  t.match(await finding('clock', set), { verdict: 'ok' })
  const tomorrow = Date.now() / 1000 + 86_400
  utimesSync(path, tomorrow, tomorrow)
  t.match(await finding('clock', set), { verdict: 'failed', text: /clock has gone back/ })
})

t.test('less space than the journal may take is a warning', async (t) => {
  const sizes = [`journal.retain_bytes=${2 ** 50}`, `journal.bytes_max=${2 ** 50}`]
  const found = await finding('free space', [...base(t), ...sizes])
  t.match(found, { verdict: 'warning', text: /journal\.retain_bytes/ })
})

t.test('stores elsewhere that do not answer, without showing a password', async (t) => {
  const set = [
    'postgres.mode=external',
    'postgres.url=postgresql://me:hunter2@127.0.0.1:1/ticks',
    'redis.mode=external',
    'redis.url=redis://:hunter2@127.0.0.1:1/0',
  ]
  for (const store of ['postgres', 'redis']) {
    const found = await finding(store, [...base(t), ...set])
    t.match(found, { verdict: 'failed', text: /ECONNREFUSED|does not answer/ })
    t.notMatch(found?.text, /hunter2/)
  }
})

t.test('stores that are off need nothing', async (t) => {
  const set = [...base(t), 'postgres.mode=off', 'redis.mode=off']
  t.match(await finding('postgres', set), { verdict: 'ok', text: 'off' })
  t.match(await finding('redis', set), { verdict: 'ok', text: 'off' })
})

t.test('a redis-server that is missing fails embedded, and warns auto', async (t) => {
  const { PATH } = process.env
  const set = base(t)
  process.env.PATH = t.testdirName
  t.teardown(() => {
    process.env.PATH = PATH
  })
  t.match(await finding('redis', [...set, 'redis.mode=embedded']), { verdict: 'failed' })
  t.match(await finding('redis', [...set, 'redis.mode=auto']), { verdict: 'warning' })
})

t.test('more serve threads than cores is a warning', async (t) => {
  t.match(await finding('serve threads', base(t)), { verdict: 'ok', text: '1' })
  if (process.platform !== 'linux' || availableParallelism() >= 16) return
  const found = await finding('serve threads', [...base(t), 'serve.threads=16'])
  t.match(found, { verdict: 'warning', text: /^16 on \d+ cores/ })
})

t.test('fewer files than subscribers is a warning', async (t) => {
  if (process.platform !== 'linux') {
    t.comment('needs /proc')
    return
  }
  const found = await finding('open files', [...base(t), 'serve.subscribers_max=100000'])
  const [limit] = /^\d+/.exec(found?.text ?? '') ?? ['0']
  t.equal(found?.verdict, Number(limit) >= 100_512 ? 'ok' : 'warning')
})
