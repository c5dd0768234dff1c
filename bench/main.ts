// npm run bench -- --list | NAME [options]: runs one benchmark, or all with --smoke.
//
// Each bench is a file that exports a Bench. It builds its inputs outside the timed part, verifies
// its results (a fast wrong run fails), runs its yardstick beside it in the same run, and prints
// medians and spread of several rounds, as text or --json.

import { parseArgs } from 'node:util'
import type { Bench, BenchOptions } from './bench.ts'
import { e2eBench } from './e2e.ts'
import { machine } from './machine.ts'
import { postgresCopyBench } from './postgres-copy.ts'

const BENCHES: readonly Bench[] = [e2eBench, postgresCopyBench]

const { values, positionals } = parseArgs({
  allowPositionals: true,
  strict: true,
  options: {
    list: { type: 'boolean', default: false },
    smoke: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
    rounds: { type: 'string' },
    ticks: { type: 'string' },
    subscribers: { type: 'string' },
    help: { type: 'boolean', default: false },
  },
})

const USAGE = `npm run bench -- NAME [--smoke] [--json] [--rounds N] [--ticks N] [--subscribers N]
npm run bench -- --list
`

async function main(): Promise<number> {
  if (values.help) {
    process.stdout.write(USAGE)
    return 0
  }
  if (values.list) {
    for (const { name, summary } of BENCHES) process.stdout.write(`${name.padEnd(10)} ${summary}\n`)
    return 0
  }
  const chosen = BENCHES.filter(({ name }) => positionals.includes(name))
  const unknown = positionals.find((name) => BENCHES.every((bench) => bench.name !== name))
  if (unknown !== undefined || chosen.length === 0) {
    process.stderr.write(`bench: ${unknown ?? 'no'} such benchmark; --list shows them\n${USAGE}`)
    return 2
  }
  for (const bench of chosen) {
    const report = { bench: bench.name, machine: machine(), ...(await bench.run(options(bench))) }
    process.stdout.write(values.json ? `${JSON.stringify(report)}\n` : bench.text(report))
  }
  return 0
}

function options(bench: Bench): BenchOptions {
  const number = (text: string | undefined, otherwise: number) =>
    text === undefined ? otherwise : Number(text)
  const defaults = values.smoke ? bench.smoke : bench.full
  return {
    rounds: number(values.rounds, defaults.rounds),
    ticks: number(values.ticks, defaults.ticks),
    subscribers: number(values.subscribers, defaults.subscribers),
    progress: (text) => {
      if (process.stderr.isTTY) process.stderr.write(`${text}\n`)
    },
  }
}

process.exitCode = await main()
