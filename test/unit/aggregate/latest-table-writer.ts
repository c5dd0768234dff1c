// The writing thread of latest-table.test.ts: payload words all equal the sequence.
//
// `kernels`: whose writer it is, js or native.

import { workerData } from 'node:worker_threads'
import { LatestTable } from '../../../src/aggregate/latest-table.ts'
import { LatestWriter } from '../../../src/aggregate/latest-writer.ts'
import { chooseAddon } from '../../../src/native/addon.ts'
import { TickBatch } from '../../../src/tick/batch.ts'
import { KIND, TICK_WORDS, WORD } from '../../../src/tick/layout.ts'

const { memory, stop, kernels } = workerData as {
  memory: SharedArrayBuffer
  stop: SharedArrayBuffer
  kernels: string
}
const writer = new LatestWriter(new LatestTable(memory, 1), chooseAddon(kernels))
const stopped = new Int32Array(stop)
const batch = new TickBatch(1)
batch.setKindSide(0, KIND.trade, 0)
batch.setInstrument(0, 1)
let seq = 0
// Pairs with the store of the test when it has seen enough.
while (Atomics.load(stopped, 0) === 0) {
  for (let i = 0; i < 10; i++) {
    batch.words.fill(++seq, WORD.p0, TICK_WORDS)
    writer.apply(batch, 0, 1, seq)
  }
  // A breath, as between batches: the reader is not to be starved, only disturbed.
  for (let i = 0; i < 200; i++) batch.words.fill(0, WORD.p0, TICK_WORDS)
}
