// No stage allocates per tick: over millions of ticks the heap grows by far less than the smallest
// object for each would cost. (What is left is per frame, batch, file operation or turn.)

import { once } from 'node:events'
import { setFlagsFromString } from 'node:v8'
import { Worker } from 'node:worker_threads'
import t from 'tap'
import { chooseAddon } from '../../src/native/addon.ts'
import type { AllocationReport, AllocationTask } from '../support/allocation-worker.ts'

/**
 * A boxed double costs 12, an object without fields more. What turns of the loop and batches cost,
 * those of the pipeline's harness included, was 4 to 11 where it was measured.
 */
const BYTES_PER_TICK_MAX = 14
const YOUNG_MIB = 1536
// Heaps grow to their limit by collections: the threads' begin there.
setFlagsFromString(`--min-semi-space-size=${YOUNG_MIB / 3}`)

const hasNative = chooseAddon('auto').name === 'native'

async function measure(task: AllocationTask): Promise<AllocationReport> {
  const worker = new Worker(new URL('../support/allocation-worker.ts', import.meta.url), {
    workerData: task,
    resourceLimits: { maxYoungGenerationSizeMb: YOUNG_MIB },
  })
  const exited = once(worker, 'exit')
  const [report] = (await once(worker, 'message')) as [AllocationReport]
  await exited
  return report
}

const TASKS: AllocationTask[] = [
  { stage: 'decode', kernels: 'js', ticks: 2_000_000 },
  { stage: 'decode', kernels: 'native', ticks: 2_000_000 },
  { stage: 'copy', kernels: 'js', ticks: 2_000_000 },
  { stage: 'copy', kernels: 'native', ticks: 2_000_000 },
  { stage: 'pipeline', kernels: 'js', ticks: 2_000_000 },
]

for (const task of TASKS) {
  const needsNative = task.kernels === 'native'
  const skip = needsNative && !hasNative ? 'the native kernels are not built' : false
  t.test(`${task.stage} (${task.kernels}) allocates nothing per tick`, { skip }, async (t) => {
    const { ticks, bytes, collections } = await measure(task)
    t.ok(ticks >= task.ticks * 0.99, `${ticks} ticks`)
    t.equal(collections, 0, 'nothing was collected meanwhile')
    const perTick = bytes / ticks
    t.ok(perTick < BYTES_PER_TICK_MAX, `${perTick.toFixed(3)} bytes a tick`)
  })
}
