// The test runner must not let anything pass that it should not: each way to fail is tried here.

import { readFileSync, writeFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { setImmediate as nextTurn } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { type Outcome, runCheck, runTestFile } from '../../../scripts/test-file.ts'

const TAP = resolve(import.meta.dirname, '../../../node_modules/tap/dist/esm/index.js')
const PATIENT_MS = 60_000

async function run(t: Test, source: string, timeoutMs = PATIENT_MS): Promise<Outcome> {
  const path = resolve(t.testdir(), 'sample.test.ts')
  writeFileSync(path, source)
  return await runTestFile('sample', path, timeoutMs)
}

/** A zombie that waits for its new parent is as dead as one can be. */
function isAlive(pid: number): boolean {
  try {
    return !/\) [ZX] /.test(readFileSync(`/proc/${pid}/stat`, 'utf8'))
  } catch {
    return false
  }
}

const titles = (outcome: Outcome): string[] => outcome.failures.map((failure) => failure.title)

t.test('leaf test points are counted, lines that sum up a sub-test are not', async (t) => {
  const outcome = await run(
    t,
    `import t from '${TAP}'
    t.test('a group', async (t) => {
      t.ok(true, 'one')
      await t.test('inner', async (t) => { t.ok(true, 'two') })
    })
    t.pass('three')`,
  )
  t.equal(outcome.passed, 3)
  t.same(outcome.failures, [])
  t.same(outcome.skips, [])
})

t.test('a failing assertion is reported with its path and its difference', async (t) => {
  const outcome = await run(
    t,
    `import t from '${TAP}'
    t.test('a group', async (t) => { t.equal(1, 2, 'one is two') })`,
  )
  t.equal(outcome.passed, 0)
  t.same(titles(outcome), ['a group > one is two'])
  t.match(outcome.failures[0]?.details, /\+1/)
})

t.test('a skipped test is counted with its reason, and is not a pass', async (t) => {
  const outcome = await run(
    t,
    `import t from '${TAP}'
    t.test('needs a thing', { skip: 'no thing here' }, () => {})
    t.pass('x')`,
  )
  t.equal(outcome.passed, 1)
  t.same(outcome.skips, [{ title: 'needs a thing', reason: 'no thing here' }])
})

t.test('a file skipped as a whole says why', async (t) => {
  const outcome = await run(t, `import t from '${TAP}'\nt.plan(0, 'no captures here')`)
  t.same(outcome.skips, [{ title: 'the whole file', reason: 'no captures here' }])
  t.same(outcome.failures, [])
})

t.test('a file without a test fails', async (t) => {
  const outcome = await run(t, `import t from '${TAP}'\nt.comment('nothing')`)
  t.equal(outcome.passed, 0)
  t.equal(outcome.failures.length, 1)
})

t.test('a file that prints no TAP at all fails', async (t) => {
  const outcome = await run(t, `console.log('all is well')`)
  t.match(titles(outcome), [/printed no plan/])
  t.match(outcome.failures[0]?.details, /all is well/)
})

t.test('a file that ends before its plan is printed fails', async (t) => {
  const outcome = await run(t, `console.log('ok 1 - so far'); process.exit(0)`)
  t.match(titles(outcome), [/printed no plan/])
})

t.test('a plan that does not match fails', async (t) => {
  const outcome = await run(t, `console.log('ok 1 - one'); console.log('1..2')`)
  t.not(outcome.failures.length, 0)
})

t.test('an exit code counts although each assertion passed', async (t) => {
  const outcome = await run(t, `console.log('ok 1 - one\\n1..1'); process.exitCode = 3`)
  t.same(titles(outcome), ['exit code 3'])
})

t.test('what a failing file wrote to stderr is shown', async (t) => {
  const outcome = await run(t, `console.error('the reason'); process.exit(1)`)
  t.match(outcome.failures[0]?.details, /the reason/)
})

t.test('a file that hangs is killed, and said to have hung', async (t) => {
  const outcome = await run(t, `setInterval(() => {}, 1000)`, 300)
  t.match(titles(outcome), [/still ran after 0.3 s/])
})

t.test('a process left behind is a failure, and is ended', async (t) => {
  if (process.platform !== 'linux') {
    t.plan(0, 'needs /proc')
    return
  }
  const outcome = await run(
    t,
    `import { spawn } from 'node:child_process'
    const child = spawn('sleep', ['60'], { stdio: 'ignore' })
    child.unref()
    console.log('ok 1 - ' + child.pid + '\\n1..1')`,
  )
  const [title] = titles(outcome)
  t.match(title, /left processes behind: sleep \(\d+\)/)
  const pid = Number(/\((\d+)\)/.exec(title ?? '')?.[1])
  const deadline = performance.now() + PATIENT_MS
  while (isAlive(pid) && performance.now() < deadline) await nextTurn()
  t.notOk(isAlive(pid), 'it was ended')
})

t.test('a check passes by its exit code', async (t) => {
  t.equal((await runCheck('true', ['true'], PATIENT_MS)).passed, 1)
  const failed = await runCheck('sh', ['sh', '-c', 'echo broken; exit 4'], PATIENT_MS)
  t.same(failed.failures, [{ title: 'exit code 4', details: 'broken\n' }])
})

t.test('a check whose program is missing fails', async (t) => {
  const outcome = await runCheck('none', ['/nonexistent/program'], PATIENT_MS)
  t.match(titles(outcome), [/ENOENT/])
})
