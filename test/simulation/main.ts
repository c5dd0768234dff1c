// The simulation from the command line.
//
//   npm run test:sim -- --seeds 100000 --seed 1 --workers 2 --out run.json
//   npm run test:sim -- --replay 4711            one seed, with every event
//   npm run test:sim -- --planted                schedules that each planted bug needs to be found
//
// `--out` keeps the sums; the same command goes on where an interrupted one stopped. Exit code 1
// when a seed failed, or a planted bug was not found within `--seeds`.

import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { Worker } from 'node:worker_threads'
import { commandLine, refuse } from '../../scripts/command-line.ts'
import type { Chunk } from './chunk-worker.ts'
import { PLANTED_BUGS } from './planted.ts'
import { runSchedule } from './schedule.ts'
import { addTally, newTally, type Tally } from './tally.ts'

const CHUNK_SEEDS = 100
const SEEDS_DEFAULT = 1000
const PLANTED_SEEDS_DEFAULT = 1000
const SAID_EVERY_MS = 10_000

const USAGE = `npm run test:sim -- [--seeds N] [--seed S] [--workers N] [--out FILE]
npm run test:sim -- --replay SEED [--bug NAME]
npm run test:sim -- --planted [--seeds N] [--seed S] [--bug NAME]
`

interface Progress {
  readonly seed: number
  readonly seeds: number
  /** Seeds from `seed` on that are in the tally, all of them. */
  done: number
  elapsedMs: number
  tally: Tally
}

async function main(): Promise<number> {
  const { values } = commandLine(USAGE, {
    seed: { type: 'string' },
    seeds: { type: 'string' },
    workers: { type: 'string', default: '1' },
    out: { type: 'string' },
    replay: { type: 'string' },
    planted: { type: 'boolean', default: false },
    bug: { type: 'string' },
  })
  for (const name of ['seed', 'seeds', 'workers', 'replay'] as const) {
    const isNumber = Number.isInteger(Number(values[name] ?? 0))
    if (!isNumber) refuse(`--${name} is a whole number, not ${values[name]}`, USAGE)
  }
  const seed = Number(values.seed ?? Math.floor(Math.random() * 2 ** 31))
  if (values.replay !== undefined) return await replay(Number(values.replay), values.bug)
  if (values.planted) {
    return await findPlanted(seed, Number(values.seeds ?? PLANTED_SEEDS_DEFAULT), values.bug)
  }
  const seeds = Number(values.seeds ?? SEEDS_DEFAULT)
  return await runSeeds(seed, seeds, Number(values.workers), values.out)
}

/** One seed, with all that happens in it. */
async function replay(seed: number, bug: string | undefined): Promise<number> {
  const wiring = PLANTED_BUGS.find(({ name }) => name === bug)?.wiring
  const outcome = await runSchedule({
    seed,
    onEvent: (text) => console.log(text),
    ...(wiring === undefined ? {} : { wiring }),
  })
  console.log(JSON.stringify({ ...outcome, failure: outcome.failure?.message }))
  if (outcome.failure !== undefined) console.log(outcome.failure.stack)
  return outcome.failure === undefined ? 0 : 1
}

async function findPlanted(
  firstSeed: number,
  seeds: number,
  only: string | undefined,
): Promise<number> {
  let missed = 0
  console.log(`seed ${firstSeed}`)
  for (const { name, what, wiring } of PLANTED_BUGS) {
    if (only !== undefined && only !== name) continue
    let found = ''
    let tried = 0
    while (found === '' && tried < seeds) {
      const { failure } = await runSchedule({ seed: firstSeed + tried++, wiring })
      if (failure !== undefined) found = failure.message
    }
    if (found === '') missed++
    const result = found === '' ? `NOT FOUND in ${tried}` : `found after ${tried}`
    console.log(`${name} (${what}): ${result}${found === '' ? '' : `: ${found}`}`)
  }
  return missed === 0 ? 0 : 1
}

async function runSeeds(
  seed: number,
  seeds: number,
  workers: number,
  out: string | undefined,
): Promise<number> {
  const progress = resumed(seed, seeds, out)
  console.log(`seeds ${seed} … ${seed + seeds - 1}, ${progress.done} of them done before`)
  const chunks: Chunk[] = []
  for (let at = progress.done; at < seeds; at += CHUNK_SEEDS) {
    chunks.push({ firstSeed: seed + at, count: Math.min(CHUNK_SEEDS, seeds - at) })
  }
  await runChunks(chunks, workers, progress, out)
  printSummary(progress)
  return progress.tally.failureCount === 0 ? 0 : 1
}

async function runChunks(
  chunks: readonly Chunk[],
  workers: number,
  progress: Progress,
  out: string | undefined,
): Promise<void> {
  const tallies: (Tally | undefined)[] = []
  let next = 0
  let added = 0
  let saidAtMs = performance.now()
  const beganMs = performance.now() - progress.elapsedMs
  // In the order of the seeds, so that what is kept is all of a range.
  const add = () => {
    for (let tally = tallies[added]; tally !== undefined; tally = tallies[added]) {
      addTally(progress.tally, tally)
      progress.done += tally.scheduleCount
      added++
    }
    progress.elapsedMs = performance.now() - beganMs
    if (out !== undefined) keep(out, progress)
    if (performance.now() - saidAtMs < SAID_EVERY_MS) return
    saidAtMs = performance.now()
    console.log(`${progress.done} schedules, ${progress.tally.failureCount} failed`)
  }
  const lane = async () => {
    if (next >= chunks.length) return
    const worker = new Worker(new URL('./chunk-worker.ts', import.meta.url))
    try {
      for (let index = next++; index < chunks.length; index = next++) {
        tallies[index] = await tallyOf(worker, chunks[index] as Chunk)
        add()
      }
    } finally {
      await worker.terminate()
    }
  }
  await Promise.all(Array.from({ length: workers }, lane))
}

function tallyOf(worker: Worker, chunk: Chunk): Promise<Tally> {
  return new Promise((resolve, reject) => {
    worker.once('error', reject)
    worker.once('message', (tally: Tally) => {
      worker.off('error', reject)
      resolve(tally)
    })
    worker.postMessage(chunk)
  })
}

function resumed(seed: number, seeds: number, out: string | undefined): Progress {
  if (out !== undefined && existsSync(out)) {
    const kept = JSON.parse(readFileSync(out, 'utf8')) as Progress
    if (kept.seed === seed) return { ...kept, seeds }
  }
  return { seed, seeds, done: 0, elapsedMs: 0, tally: newTally() }
}

function keep(out: string, progress: Progress): void {
  writeFileSync(`${out}.new`, JSON.stringify(progress))
  renameSync(`${out}.new`, out)
}

function printSummary({ seed, elapsedMs, tally }: Progress): void {
  const perMinute = Math.round((tally.scheduleCount / elapsedMs) * 60_000)
  console.log(`schedules ${tally.scheduleCount} from seed ${seed}, ${perMinute} a minute`)
  console.log(`in them   ${list(tally.stats)}`)
  console.log(`faults    ${list(tally.faults)}`)
  console.log(`hash      ${tally.hash >>> 0}`)
  for (const { seed, message } of tally.failures) {
    console.log(`FAILED seed ${seed}: ${message}\n  npm run test:sim -- --replay ${seed}`)
  }
  console.log(`${tally.failureCount} failed`)
}

function list(counts: Readonly<Record<string, number>>): string {
  return Object.entries(counts)
    .map(([name, count]) => `${name} ${count}`)
    .join(', ')
}

process.exitCode = await main()
