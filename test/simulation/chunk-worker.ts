// A worker thread: runs chunks of consecutive seeds, as it is told, and answers with their tally.

import { parentPort } from 'node:worker_threads'
import { runSchedule } from './schedule.ts'
import { addOutcome, newTally } from './tally.ts'

export interface Chunk {
  readonly firstSeed: number
  readonly count: number
}

parentPort?.on('message', async ({ firstSeed, count }: Chunk) => {
  const tally = newTally()
  for (let seed = firstSeed; seed < firstSeed + count; seed++) {
    addOutcome(tally, await runSchedule({ seed }))
  }
  parentPort?.postMessage(tally)
})
