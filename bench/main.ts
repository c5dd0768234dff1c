// npm run bench -- --list | NAME… [options]: runs benchmarks, one after the other.
//
// Each bench is a file that exports a Bench. It builds its inputs outside the timed part, verifies
// its results (a fast wrong run fails), runs its yardstick beside it in the same run, and prints
// medians and spread of several rounds, as text or --json. Its sizes are options: --ticks 100000.

import { commandLine, refuse } from '../scripts/command-line.ts'
import type { Bench, BenchOptions } from './bench.ts'
import { BENCHES } from './catalog.ts'
import { machineTimes, stolenPercentSince } from './cpu.ts'
import { machine } from './machine.ts'

/** The names of all sizes, as options: subscribers, idle-seconds. */
const SIZES = [...new Set(BENCHES.flatMap(({ full }) => Object.keys(full)))]
const optionOf = (size: string) => size.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)

const USAGE = `npm run bench -- NAME… [--smoke] [--json] [--SIZE N]…
npm run bench -- --list
`
const { values, positionals } = commandLine(
  USAGE,
  {
    list: { type: 'boolean', default: false },
    smoke: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
    ...Object.fromEntries(SIZES.map((size) => [optionOf(size), { type: 'string' } as const])),
  },
  { allowPositionals: true },
)

async function main(): Promise<number> {
  if (values.list) {
    for (const bench of BENCHES) process.stdout.write(listText(bench))
    return 0
  }
  const chosen = BENCHES.filter(({ name }) => positionals.includes(name))
  const unknown = positionals.find((name) => BENCHES.every((bench) => bench.name !== name))
  if (unknown !== undefined || chosen.length === 0) {
    const what = unknown === undefined ? 'which benchmark?' : `${unknown}: no such benchmark;`
    refuse(`${what} --list shows them`, USAGE)
  }
  let failures = 0
  for (const bench of chosen) {
    const before = machineTimes()
    const found = await bench.run(options(bench))
    const stolenPercent = stolenPercentSince(before)
    const report = { bench: bench.name, machine: machine(), stolenPercent, ...found }
    process.stdout.write(values.json ? `${JSON.stringify(report)}\n` : bench.text(report))
    if (found.failure === undefined) continue
    process.stderr.write(`bench: ${bench.name}: ${found.failure}\n`)
    failures++
  }
  return failures > 0 ? 1 : 0
}

function listText({ name, summary, full }: Bench<never>): string {
  const sizes = Object.entries(full).map(([size, value]) => `--${optionOf(size)} ${value}`)
  return `${name.padEnd(10)} ${summary}\n${' '.repeat(11)}${sizes.join(' ')}\n`
}

/** The bench's sizes, with those that were given; a size that it does not have is for another. */
function options(bench: Bench<never>): BenchOptions<never> {
  const given = values as Record<string, string | boolean | undefined>
  const sizes = Object.entries<number>(values.smoke ? bench.smoke : bench.full).map(
    ([size, value]) => [size, given[optionOf(size)] === undefined ? value : numberOf(size, given)],
  )
  const progress = (text: string) => {
    if (process.stderr.isTTY) process.stderr.write(`${text}\n`)
  }
  return { ...Object.fromEntries(sizes), progress }
}

function numberOf(size: string, given: Record<string, string | boolean | undefined>): number {
  const text = given[optionOf(size)]
  const value = Number(text)
  if (Number.isFinite(value) && value >= 0) return value
  refuse(`--${optionOf(size)} must be a number from 0 on, and is ${text}`, USAGE)
}

process.exitCode = await main()
