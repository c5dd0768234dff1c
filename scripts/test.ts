// The test runner: lint, types, then every test/**/*.test.ts, each in a process of its own.
//
//   node scripts/test.ts [--jobs N] [--list] [part of a path]…
//
// With parts of paths only the files that contain one run, and neither lint nor types ("lint" and
// "types" name those two). Unit, property and integration files run JOBS at a time; torture, e2e
// and bench files run alone, after them, as they measure or race. The last line is alone and reads
// `N passed, N failed, N skipped`. Exit code 1 when anything failed or nothing ran.

import { globSync } from 'node:fs'
import { relative, resolve } from 'node:path'
import { commandLine, refuse } from './command-line.ts'
import { killAll, type Outcome, runCheck, runTestFile } from './test-file.ts'

const USAGE = 'npm test -- [--jobs N] [--list] [part of a path]…\n'
const ROOT = resolve(import.meta.dirname, '..')
const FILE_TIMEOUT_MS = 300_000
/** The reference machine has two cores. */
const JOBS = 2
/** Levels whose files must have the machine for themselves. */
const ALONE = /^test\/(torture|e2e|bench)\//

interface Job {
  readonly name: string
  readonly run: () => Promise<Outcome>
}

function program(name: string): string {
  return resolve(ROOT, 'node_modules/.bin', name)
}

const CHECKS: readonly Job[] = [
  {
    name: 'lint',
    run: () => runCheck('lint', [program('biome'), 'check', '--colors=off', '.'], FILE_TIMEOUT_MS),
  },
  {
    name: 'types',
    run: () => runCheck('types', [program('tsc'), '--noEmit', '-p', '.'], FILE_TIMEOUT_MS),
  },
  {
    // What runs in browsers, with their types and without Node's.
    name: 'types of browser code',
    run: () => {
      const argv = [program('tsc'), '--noEmit', '-p', 'tsconfig.browser.json']
      return runCheck('types of browser code', argv, FILE_TIMEOUT_MS)
    },
  },
]

function testJobs(): Job[] {
  return globSync('test/**/*.test.ts', { cwd: ROOT })
    .sort()
    .map((name) => ({
      name,
      run: () => runTestFile(name, resolve(ROOT, name), FILE_TIMEOUT_MS),
    }))
}

/** Runs the jobs, `width` at a time, in order of their beginning. */
async function runAll(jobs: readonly Job[], width: number): Promise<Outcome[]> {
  const outcomes: Outcome[] = []
  const waiting = [...jobs]
  const lane = async () => {
    for (let job = waiting.shift(); job !== undefined; job = waiting.shift()) {
      const outcome = await job.run()
      outcomes.push(outcome)
      print(outcome)
    }
  }
  await Promise.all(Array.from({ length: width }, lane))
  return outcomes
}

function print(outcome: Outcome): void {
  const mark = outcome.failures.length > 0 ? 'FAIL' : outcome.passed > 0 ? 'ok  ' : 'skip'
  const counts = [`${outcome.passed} passed`]
  if (outcome.failures.length > 0) counts.push(`${outcome.failures.length} failed`)
  if (outcome.skips.length > 0) counts.push(`${outcome.skips.length} skipped`)
  const seconds = (outcome.durationMs / 1000).toFixed(1)
  console.log(`${mark} ${outcome.name}  ${counts.join(', ')}  ${seconds} s`)
  for (const failure of outcome.failures) {
    console.log(`     not ok: ${failure.title}`)
    if (failure.details !== '') console.log(failure.details.trimEnd().replace(/^/gm, '       '))
  }
}

/** What a reader of the end of a long log wants: what was skipped, what failed, the totals. */
function printSummary(outcomes: readonly Outcome[]): void {
  const skips = outcomes.flatMap(({ name, skips }) => skips.map((skip) => ({ name, ...skip })))
  if (skips.length > 0) console.log('\nskipped:')
  for (const { name, title, reason } of skips) console.log(`  ${name}: ${title}: ${reason}`)
  const failing = outcomes.filter((outcome) => outcome.failures.length > 0)
  if (failing.length > 0) console.log('\nfailed:')
  for (const outcome of failing) {
    for (const { title } of outcome.failures) console.log(`  ${outcome.name}: ${title}`)
  }
}

function sum(outcomes: readonly Outcome[], count: (outcome: Outcome) => number): number {
  return outcomes.reduce((total, outcome) => total + count(outcome), 0)
}

async function main(): Promise<number> {
  const { values, positionals } = commandLine(
    USAGE,
    {
      jobs: { type: 'string' },
      list: { type: 'boolean', default: false },
    },
    { allowPositionals: true },
  )
  const width = values.jobs === undefined ? JOBS : Number(values.jobs)
  if (!Number.isInteger(width) || width < 1 || width > 64) {
    refuse(`--jobs must be 1 … 64, and is ${values.jobs}`, USAGE)
  }
  // A shell completes paths from where it stands; `./test/x` and absolute paths are meant too.
  const parts = positionals.map((part) => relative(ROOT, resolve(part)).replace(/^\.\.\/.*/, part))
  const wanted = [...positionals, ...parts]
  const jobs = [...CHECKS, ...testJobs()].filter(
    (job) => wanted.length === 0 || wanted.some((part) => part !== '' && job.name.includes(part)),
  )
  if (values.list) {
    for (const job of jobs) console.log(job.name)
    return 0
  }
  const outcomes = [
    ...(await runAll(
      jobs.filter((job) => !ALONE.test(job.name)),
      width,
    )),
    ...(await runAll(
      jobs.filter((job) => ALONE.test(job.name)),
      1,
    )),
  ]
  printSummary(outcomes)
  const passed = sum(outcomes, (outcome) => outcome.passed)
  const failed = sum(outcomes, (outcome) => outcome.failures.length)
  const skipped = sum(outcomes, (outcome) => outcome.skips.length)
  if (passed + failed + skipped === 0) console.log(`\nno test matches ${positionals.join(' ')}`)
  console.log(`\n${passed} passed, ${failed} failed, ${skipped} skipped`)
  return failed > 0 || passed === 0 ? 1 : 0
}

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.once(signal, () => {
    console.error(`interrupted by ${signal}`)
    process.exit(1)
  })
}
// However this process ends, what it started ends with it. A closed pipe is such an end, too.
process.once('exit', killAll)
process.exitCode = await main()
