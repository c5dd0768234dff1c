// A board of usage under threads that change their columns all the time: what does not change is
// read right at every look.

import { once } from 'node:events'
import { Worker } from 'node:worker_threads'
import t from 'tap'
import { UsageBoard } from '../../src/serve/access/usage-board.ts'
import type { TortureData } from './usage-board-worker.ts'

const COLUMNS = 3
const ROUNDS = 200_000
const STEADY = 7
/** Few, so that names of all threads meet in the same windows. */
const SLOTS = 64
const seed = Number(process.env.TICKD_SEED ?? Date.now() % 2 ** 31)
t.comment(`TICKD_SEED=${seed}`)
t.setTimeout(120_000)

t.test('what is steady is read right while all else comes and goes', async (t) => {
  const memory = UsageBoard.create(COLUMNS, SLOTS)
  const workers = Array.from({ length: COLUMNS }, (_, own) => {
    const shared = { memory, columns: COLUMNS, own, steady: STEADY, rounds: ROUNDS }
    const workerData: TortureData = { ...shared, seed: seed + own }
    return new Worker(new URL('./usage-board-worker.ts', import.meta.url), { workerData })
  })
  await Promise.all(workers.map((worker) => once(worker, 'message')))
  const results = workers.map((worker) => once(worker, 'message'))
  for (const worker of workers) worker.postMessage('go')
  for (const [result] of await Promise.all(results)) {
    t.same(result, { wrong: 0, count: STEADY * COLUMNS })
  }
})
