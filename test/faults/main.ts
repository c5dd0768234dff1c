// npm run test:faults: the real daemon with real servers, under load, broken at random.
//
//   npm run test:faults -- --rounds 200 --seed 7       rounds of random faults
//   npm run test:faults -- --planted [--rounds 40]     bugs on purpose: each must be found
//   npm run test:faults -- --scenario NAME [--smoke]   one of the scenarios; --list names them
//
// Exit code 0: all as promised. 1: not; the seed and the round are printed, and the directory with
// the daemon's state is kept.

import { commandLine, refuse } from '../../scripts/command-line.ts'
import { PLANTED_BUGS } from '../../src/threads/planted-bugs.ts'
import { attempt } from './attempt.ts'
import type { RunSummary } from './fault-run.ts'
import { SCENARIOS } from './scenarios.ts'

const USAGE = `npm run test:faults -- [--rounds N] [--seed S] [--quiet]
npm run test:faults -- --planted [BUG…] [--rounds N] [--seed S]
npm run test:faults -- --scenario NAME [--smoke] [--SIZE N]…
npm run test:faults -- --list
`
const ROUNDS = 20
const SEED_MAX = 2 ** 32

const sizes = Object.fromEntries(
  SCENARIOS.flatMap(({ full }) => Object.keys(full)).map((size) => [
    size,
    { type: 'string' } as const,
  ]),
)
const { values, positionals } = commandLine(
  USAGE,
  {
    rounds: { type: 'string' },
    seed: { type: 'string', default: process.env.TICKD_SEED ?? '' },
    planted: { type: 'boolean', default: false },
    scenario: { type: 'string', default: '' },
    smoke: { type: 'boolean', default: false },
    quiet: { type: 'boolean', default: false },
    list: { type: 'boolean', default: false },
    ...sizes,
  },
  { allowPositionals: true },
)

function print(text: string): void {
  process.stdout.write(`${text}\n`)
}

const progress = (text: string) => {
  if (!values.quiet) print(text)
}

async function main(): Promise<number> {
  const rounds = Number(values.rounds ?? ROUNDS)
  const seed = values.seed === '' ? Date.now() % SEED_MAX : Number(values.seed)
  if (!Number.isInteger(rounds) || rounds < 1) refuse('--rounds is a number from 1 on', USAGE)
  if (!Number.isInteger(seed)) refuse('--seed is a whole number', USAGE)
  if (values.list) {
    for (const { name, summary, full } of SCENARIOS) {
      const options = Object.entries(full).map(([size, value]) => `--${size} ${value}`)
      print(`${name.padEnd(20)} ${summary}\n${' '.repeat(21)}${options.join(' ')}`)
    }
    return 0
  }
  if (values.scenario !== '') return await runScenario(values.scenario, seed)
  if (values.planted) return await runPlanted(rounds, seed)
  return await runRounds(rounds, seed)
}

async function runRounds(rounds: number, seed: number): Promise<number> {
  print(`seed ${seed}, ${rounds} rounds`)
  const beganMs = performance.now()
  const outcome = await attempt({ rounds, seed, progress })
  if (outcome.failure !== undefined) {
    process.stderr.write(`FAILED in round ${outcome.round} of seed ${seed}: ${outcome.failure}\n`)
    process.stderr.write(`kept: ${outcome.directory}\n`)
    process.stderr.write(`again: npm run test:faults -- --rounds ${rounds} --seed ${seed}\n`)
    return 1
  }
  printSummary(outcome.summary as RunSummary, seed, performance.now() - beganMs)
  return 0
}

/** Each bug must be found within the rounds. */
async function runPlanted(rounds: number, seed: number): Promise<number> {
  let missed = 0
  const chosen = PLANTED_BUGS.filter((bug) => positionals.length === 0 || positionals.includes(bug))
  for (const bug of chosen) {
    const { failure, round } = await attempt({ rounds, seed, planted: bug, progress })
    if (failure === undefined) missed++
    const what = failure === undefined ? `NOT FOUND in ${rounds} rounds` : `found in round ${round}`
    print(`${bug}: ${what}${failure === undefined ? '' : `: ${failure.slice(0, 200)}`}`)
  }
  if (chosen.length === 0) refuse(`the bugs are ${PLANTED_BUGS.join(', ')}`, USAGE)
  return missed === 0 ? 0 : 1
}

function printSummary(summary: RunSummary, seed: number, ms: number): void {
  const { faults, startsMs, ...counts } = summary
  const sorted = [...startsMs].sort((a, b) => a - b)
  const p50 = Math.round(sorted[sorted.length >> 1] ?? 0)
  const max = Math.round(sorted.at(-1) ?? 0)
  print(`seed ${seed}: ${Math.round(ms / 1000)} s`)
  for (const [name, count] of Object.entries(counts)) print(`  ${name.padEnd(20)} ${count}`)
  print(`  ${'daemon starts'.padEnd(20)} ${startsMs.length}: p50 ${p50} ms, max ${max} ms`)
  for (const [name, count] of Object.entries(faults).sort()) print(`  ${name.padEnd(20)} ${count}`)
}

async function runScenario(name: string, seed: number): Promise<number> {
  const scenario = SCENARIOS.find((one) => one.name === name)
  if (scenario === undefined) refuse(`no scenario ${name}; --list names them`, USAGE)
  const given = values as Record<string, string | boolean | undefined>
  const chosen = Object.entries(values.smoke ? scenario.smoke : scenario.full).map(
    ([size, value]) => [size, given[size] === undefined ? value : Number(given[size])] as const,
  )
  return (await scenario.run({ ...Object.fromEntries(chosen), seed }, print)) ? 0 : 1
}

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGALRM'] as const) {
  process.once(signal, () => process.exit(1))
}
process.exitCode = await main()
