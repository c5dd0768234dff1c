// The aggregate's part in the redis bench: writes ticks into the latest table at a steady rate.
//
// A message is a rate: it writes until the stop word is set, then answers with what it has written.
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
  /** One word: not 0 = end the round. */
  readonly stop: SharedArrayBuffer
}

export interface TableAnswer {
  readonly ticks: number
  /** Sequence of the next tick. */
  readonly nextSeq: number
  readonly ms: number
}

/** Ticks of a run, at most: as the aggregate takes them from a ring. */
const RUN_TICKS_MAX = 4096
const PAUSE_MS = 1

const task = workerData as TableTask
const writer = new LatestWriter(new LatestTable(task.table, task.capacity))
const batch = new TickBatch(RUN_TICKS_MAX)
const stop = new Int32Array(task.stop)
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

parentPort?.on('message', (rate: number) => {
  const beganMs = performance.now()
  const began = seq
  // Set by the bench; the sleep below ends early when it is. Stale = one more run.
  while (Atomics.load(stop, 0) === 0) {
    const due = began + Math.floor(((performance.now() - beganMs) * rate) / 1000)
    if (due > seq) run(Math.min(due - seq, RUN_TICKS_MAX))
    // Woken by the bench's notify, or by the time.
    else Atomics.wait(stop, 0, 0, PAUSE_MS)
  }
  const answer: TableAnswer = { ticks: seq - began, nextSeq: seq, ms: performance.now() - beganMs }
  parentPort?.postMessage(answer)
})
parentPort?.postMessage('ready')
