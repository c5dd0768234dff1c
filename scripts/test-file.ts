// One test file, run as its own process, and what became of it.
//
// The process leads a group of its own, so that a time-out ends whatever the file started, and so
// that a file which leaves a process behind is found out. Its TAP is counted by leaf test points:
// the line of a sub-test that only sums up its children is not one.

import { type ChildProcess, spawn } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { Parser, type Result } from 'tap-parser'
import { stringify } from 'yaml'

export interface Outcome {
  readonly name: string
  readonly durationMs: number
  passed: number
  /** What failed, each with what is known about it. */
  readonly failures: { title: string; details: string }[]
  readonly skips: { title: string; reason: string }[]
}

/** Kept of what a process prints beside TAP; the end of it, where the trouble is. */
const NOISE_CHARS_MAX = 16_384
const LEFT_BEHIND_GRACE_MS = 2000
const POLL_MS = 50

const running = new Set<ChildProcess>()

/** Ends every process that runs now, with its group. For an interrupted run. */
export function killAll(): void {
  for (const child of running) killGroup(child)
}

/** Runs a program that says by its exit code whether it passed: one test. */
export async function runCheck(name: string, argv: string[], timeoutMs: number): Promise<Outcome> {
  const start = performance.now()
  const noise = new Tail()
  const end = await runProcess(argv, {}, timeoutMs, (text) => noise.add(text), noise)
  const outcome = emptyOutcome(name, performance.now() - start)
  if (end.code === 0 && end.problem === undefined) outcome.passed = 1
  else outcome.failures.push({ title: end.problem ?? exitText(end), details: noise.text })
  return outcome
}

/** Runs a file that prints TAP. */
export async function runTestFile(name: string, path: string, timeoutMs: number): Promise<Outcome> {
  const start = performance.now()
  const results: Result[] = []
  const noise = new Tail()
  const parser = new Parser()
  parser.on('result', (result: Result) => results.push(result))
  parser.on('extra', (text: string) => noise.add(text))
  const completed = new Promise<void>((resolve) => parser.on('complete', () => resolve()))
  const argv = [process.execPath, '--disable-warning=ExperimentalWarning', path]
  // tap's own time-out of 30 s is meant for an idle machine: the runner's is the one that counts.
  const env = { TAP: '1', TAP_TIMEOUT: String(timeoutMs / 1000), NO_COLOR: '1' }
  const end = await runProcess(argv, env, timeoutMs, (text) => parser.write(text), noise)
  parser.end()
  await completed

  const outcome = emptyOutcome(name, performance.now() - start)
  for (const result of results) addResult(outcome, result)
  const skippedWhole = parser.results?.plan.skipAll === true ? skipReason(parser) : undefined
  if (skippedWhole !== undefined)
    outcome.skips.push({ title: 'the whole file', reason: skippedWhole })
  const problem = end.problem ?? protocolProblem(outcome, parser, end)
  if (problem !== undefined) outcome.failures.push({ title: problem, details: noise.text })
  else if (outcome.failures.length > 0 && noise.text !== '') {
    outcome.failures.push({ title: 'and it printed', details: noise.text })
  }
  return outcome
}

function emptyOutcome(name: string, durationMs: number): Outcome {
  return { name, durationMs, passed: 0, failures: [], skips: [] }
}

function addResult(outcome: Outcome, result: Result): void {
  const title = result.fullname === '' ? '(unnamed)' : result.fullname
  if (result.skip !== false || result.todo !== false) {
    const text = [result.skip, result.todo].find((each) => typeof each === 'string' && each !== '')
    outcome.skips.push({ title, reason: typeof text === 'string' ? text : 'no reason was given' })
  } else if (result.ok) outcome.passed++
  else outcome.failures.push({ title, details: result.diag === null ? '' : stringify(result.diag) })
}

/** tap says "no tests found" of an empty file; that is not a reason to skip it. */
function skipReason(parser: Parser): string | undefined {
  const reason = parser.results?.plan.skipReason ?? ''
  return reason === '' || reason === 'no tests found' ? undefined : reason
}

/** What is wrong with a file whose test points alone would let it pass. */
function protocolProblem(outcome: Outcome, parser: Parser, end: End): string | undefined {
  if (parser.planStart === -1 || parser.syntheticPlan) return `printed no plan; ${exitText(end)}`
  if (outcome.failures.length > 0) return undefined
  if (parser.bailedOut !== false) return `bailed out: ${parser.bailedOut}`
  if (parser.results?.ok === false) return 'its TAP contradicts itself (a wrong plan?)'
  if (end.code !== 0) return exitText(end)
  if (outcome.passed + outcome.skips.length === 0) return 'tested nothing'
  return undefined
}

interface End {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  /** Set where the process did not just run and exit. */
  readonly problem: string | undefined
}

function exitText(end: End): string {
  return end.signal === null ? `exit code ${end.code}` : `killed by ${end.signal}`
}

function runProcess(
  argv: string[],
  env: Record<string, string>,
  timeoutMs: number,
  onOutput: (text: string) => void,
  noise: Tail,
): Promise<End> {
  const [program, ...args] = argv as [string, ...string[]]
  const child = spawn(program, args, {
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, ...env },
  })
  running.add(child)
  child.stdout.setEncoding('utf8').on('data', onOutput)
  child.stderr.setEncoding('utf8').on('data', (text: string) => noise.add(text))
  return new Promise((resolve) => {
    let problem: string | undefined
    const timer = setTimeout(() => {
      problem = `still ran after ${timeoutMs / 1000} s, and was killed`
      killGroup(child)
    }, timeoutMs)
    child.once('error', (error) => {
      problem = error.message
    })
    // 'close' waits for the pipes, which a process left behind would hold open for ever.
    let cleared: Promise<void> | undefined
    child.once('exit', () => {
      cleared = leftBehind(child).then((left) => {
        if (left.length > 0) problem ??= `left processes behind: ${left.join(', ')}`
        killGroup(child)
      })
    })
    child.once('close', async (code, signal) => {
      clearTimeout(timer)
      await cleared
      running.delete(child)
      resolve({ code, signal, problem })
    })
  })
}

function killGroup(child: ChildProcess): void {
  if (child.pid === undefined) return
  try {
    process.kill(-child.pid, 'SIGKILL')
  } catch {
    // ESRCH: the group is empty, which is what was wanted.
  }
}

/** The processes of the group that are still there after a grace. */
async function leftBehind(child: ChildProcess): Promise<string[]> {
  const deadline = performance.now() + LEFT_BEHIND_GRACE_MS
  for (;;) {
    const names = groupMembers(child.pid ?? 0)
    if (names.length === 0 || performance.now() > deadline) return names
    await new Promise((resolve) => setTimeout(resolve, POLL_MS))
  }
}

/** Names of a group's living processes. Only Linux tells; elsewhere the group is just ended. */
function groupMembers(group: number): string[] {
  if (process.platform !== 'linux') return []
  const names: string[] = []
  for (const entry of readdirSync('/proc')) {
    if (!/^\d+$/.test(entry)) continue
    try {
      // "pid (name) state ppid pgrp …"; a name may hold spaces and brackets.
      const stat = readFileSync(`/proc/${entry}/stat`, 'utf8')
      const [state, , pgrp] = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
      const name = stat.slice(stat.indexOf('(') + 1, stat.lastIndexOf(')'))
      if (Number(pgrp) === group && state !== 'Z' && state !== 'X') names.push(`${name} (${entry})`)
    } catch {
      // It ended while we looked.
    }
  }
  return names
}

/** The last part of a text that may be long. */
class Tail {
  text = ''

  add(text: string): void {
    this.text = (this.text + text).slice(-NOISE_CHARS_MAX)
  }
}
