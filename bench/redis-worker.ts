// The aggregate's part in the redis bench: writes ticks into the latest table at a steady rate.
//
// Rounds come as {rate, ms}: it answers with the ticks that it wrote and the sequence it is at.
// Instruments take turns, so that each has changed whenever the table is looked at.

import { parentPort, workerData } from 'node:worker_threads'
import { LatestTable } from '../src/aggregate/latest-table.ts'
import { LatestWriter } from '../src/aggregate/latest-writer.ts'
import { TickBatch } from '../src/tick/batch.ts'
import { writeInteger, writeSplit } from '../src/tick/fixed-point.ts'
import { KIND, SIDE, TICK_WORDS, WORD } from '../src/tick/layout.ts'

export interface TableTask {
  readonly table: SharedArrayBuffer
  readonly capacity: number
  readonly instruments: number
}

export interface TableRound {
  readonly rate: number
  readonly ms: number
}

/** Ticks of a run, at most: as the aggregate takes them from a ring. */
const RUN_TICKS_MAX = 4096
const PAUSE_MS = 1

const task = workerData as TableTask
const writer = new LatestWriter(new LatestTable(task.table, task.capacity))
const batch = new TickBatch(RUN_TICKS_MAX)
const pause = new Int32Array(new SharedArrayBuffer(4))
/** Sequence of the next tick; that of instrument i is i modulo the count of instruments. */
let seq = 0

for (let i = 0; i < RUN_TICKS_MAX; i++) {
  batch.clear(i)
  batch.setKindSide(i, KIND.trade, SIDE.buy)
  writeSplit(batch.words, i * TICK_WORDS + WORD.ts_event, false, 1_700_000_000, 0)
}

function run(count: number): void {
  for (let i = 0; i < count; i++) {
    const at = i * TICK_WORDS
    batch.setInstrument(i, 1 + ((seq + i) % task.instruments))
    writeSplit(batch.words, at + WORD.p0, false, 20_000 + ((seq + i) % 997), 0)
    writeInteger(batch.words, at + WORD.p1, 100_000_000)
    writeInteger(batch.words, at + WORD.p2, seq + i)
  }
  writer.apply(batch, 0, count, seq)
  seq += count
}

parentPort?.on('message', ({ rate, ms }: TableRound) => {
  const beganMs = performance.now()
  const began = seq
  const ticks = Math.round((rate * ms) / 1000)
  while (seq - began < ticks) {
    const dueNow = Math.min(ticks, Math.floor(((performance.now() - beganMs) * rate) / 1000))
    const missing = began + dueNow - seq
    if (missing > 0) run(Math.min(missing, RUN_TICKS_MAX))
    // Nobody notifies: a sleep.
    else Atomics.wait(pause, 0, 0, PAUSE_MS)
  }
  // All instruments are written at the end: their last values are known.
  parentPort?.postMessage({ ticks, nextSeq: seq, ms: performance.now() - beganMs })
})
parentPort?.postMessage('ready')
