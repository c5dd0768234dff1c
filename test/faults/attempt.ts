// One run from its beginning to its end, whichever that is: a summary, or what failed, with the
// state kept. Nothing that it started outlives the process.

import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { errorText } from '../../src/errors.ts'
import type { PlantedBug } from '../../src/threads/planted-bugs.ts'
import { makeStateDir } from '../support/daemon.ts'
import { FaultRun, type RunSummary } from './fault-run.ts'

export interface AttemptOptions {
  readonly rounds: number
  readonly seed: number
  readonly planted?: PlantedBug | undefined
  /** No round begins so long after the first. */
  readonly budgetMs?: number
  readonly progress: (text: string) => void
}

export interface Attempt {
  readonly failure?: string
  /** The last one, from 1. */
  readonly round: number
  /** Where the state is kept after a failure. */
  readonly directory: string
  readonly summary?: RunSummary
}

export async function attempt(options: AttemptOptions): Promise<Attempt> {
  const { rounds, seed, planted, progress, budgetMs = Number.POSITIVE_INFINITY } = options
  const directory = makeStateDir()
  const run = await FaultRun.open({ directory, seed, planted, progress })
  const endMs = performance.now() + budgetMs
  const killAll = () => run.killAll()
  process.once('exit', killAll)
  let round = 0
  try {
    while (round < rounds && performance.now() < endMs) {
      round++
      await run.round()
    }
    await run.finish()
    await run.close(true)
    return { round, directory, summary: run.summary() }
  } catch (thrown) {
    const failure = errorText(thrown)
    writeFileSync(join(directory, 'failure.txt'), `seed ${seed} round ${round}\n${failure}\n`)
    writeFileSync(join(directory, 'daemon.log'), run.daemonOutput())
    // What was planted is known: nothing of it is kept.
    await run.close(planted !== undefined)
    return { failure, round, directory }
  } finally {
    process.removeListener('exit', killAll)
  }
}
