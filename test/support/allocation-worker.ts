// How much JavaScript heap a tick costs: a stage runs over millions of ticks in an isolate whose
// young generation is so large that nothing is collected meanwhile. What the heap has grown by is
// then what was allocated, garbage included.
//
// workerData: AllocationTask. Answers AllocationReport.

import { PerformanceObserver } from 'node:perf_hooks'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { parentPort, workerData } from 'node:worker_threads'
import { LINE_BYTES, renderLines } from '../../bench/trade-lines.ts'
import { DecodeTally } from '../../src/decode/decoder.ts'
import { chooseKernels } from '../../src/decode/kernels.ts'
import { IGNORE_REASONS, REJECT_REASONS } from '../../src/ledger/reasons.ts'
import { chooseAddon } from '../../src/native/addon.ts'
import { BatchPlan } from '../../src/storage/postgres/batch-plan.ts'
import { copyKernelOf } from '../../src/storage/postgres/copy-kernel.ts'
import { ROW_BYTES_MAX } from '../../src/storage/postgres/tables.ts'
import { TickBatch } from '../../src/tick/batch.ts'
import { InstrumentTable } from '../../src/tick/instruments.ts'
import { KIND } from '../../src/tick/layout.ts'
import { InlinePipeline } from './inline-pipeline.ts'

export interface AllocationTask {
  readonly stage: 'decode' | 'copy' | 'pipeline'
  readonly kernels: 'js' | 'native'
  readonly ticks: number
}

export interface AllocationReport {
  readonly ticks: number
  readonly bytes: number
  /** More than none: `bytes` says nothing. */
  readonly collections: number
}

interface Stage {
  /** Runs over so many ticks, about; returns how many. */
  readonly pass: (ticks: number) => number | Promise<number>
  readonly end?: () => Promise<void>
}

const FRAME_LINES = 512
/** Enough for every function on the way to be compiled. */
const WARMUP_TICKS = 500_000
const META = { source: 0, format: 0, flags: 0, token: 0, recvSec: 1_700_000_000, recvNsec: 2 }
const task = workerData as AllocationTask
setFlagsFromString('--expose-gc')
const collect = runInNewContext('gc') as () => void

function decoding(): Stage {
  const instruments = new InstrumentTable(InstrumentTable.create(64), 64)
  const decoder = chooseKernels(task.kernels).ndjson({ venue: '', instruments })
  const batch = new TickBatch(FRAME_LINES)
  const tally = new DecodeTally(IGNORE_REASONS, REJECT_REASONS, FRAME_LINES)
  const bytes = new Uint8Array(new SharedArrayBuffer(FRAME_LINES * LINE_BYTES))
  bytes.set(renderLines(FRAME_LINES))
  const pass = (ticks: number) => {
    let done = 0
    for (; done < ticks; done += batch.count) {
      batch.count = 0
      tally.reset()
      decoder.decode(bytes, 0, bytes.length, META, batch, tally)
      if (batch.count !== FRAME_LINES) throw new Error(`${batch.count} of ${FRAME_LINES} lines`)
    }
    return done
  }
  return { pass }
}

function copying(): Stage {
  const kernel = copyKernelOf(chooseAddon(task.kernels))
  const batch = new TickBatch(4096)
  batch.count = batch.capacity
  for (let i = 0; i < batch.count; i++) batch.setKindSide(i, KIND.trade, 0)
  const plan = new BatchPlan(batch.capacity)
  const out = new DataView(new ArrayBuffer(batch.capacity * (ROW_BYTES_MAX[KIND.trade] as number)))
  const pass = (ticks: number) => {
    let done = 0
    for (; done < ticks; done += batch.count) {
      plan.build(batch, 0, 0, 1)
      kernel.encode(KIND.trade, batch, plan.order, 0, batch.count, 0, done, out, 0)
    }
    return done
  }
  return { pass }
}

/** Source, decode, validate, both rings, journal, aggregate, serve: at 1 M ticks/s of its clock. */
async function flowing(): Promise<Stage> {
  const rate = 1_000_000
  const pipeline = await InlinePipeline.start({
    sources: [{ name: 'synthetic', type: 'synthetic', rate, seed: 7 }],
    journal: { retain_ms: 0, retain_bytes: 2 ** 20 },
  })
  const counters = pipeline.shared.counters('decode', 'synthetic')
  const pass = async (ticks: number) => {
    const before = counters.get('records_accepted')
    await pipeline.advance((ticks / rate) * 1000)
    return counters.get('records_accepted') - before
  }
  const end = async () => {
    await pipeline.stop()
    pipeline.removeState()
  }
  return { pass, end }
}

const stages = { decode: decoding, copy: copying, pipeline: flowing }
const { pass, end } = await stages[task.stage]()
await pass(WARMUP_TICKS)
collect()
let collections = 0
const beganMs = performance.now()
const observer = new PerformanceObserver((list) => {
  for (const { startTime } of list.getEntries()) if (startTime >= beganMs) collections++
})
observer.observe({ entryTypes: ['gc'] })
const before = process.memoryUsage().heapUsed
const ticks = await pass(task.ticks)
const bytes = process.memoryUsage().heapUsed - before
// Entries are delivered by the event loop.
await new Promise((resolve) => setTimeout(resolve, 10))
await end?.()
parentPort?.postMessage({ ticks, bytes, collections } satisfies AllocationReport)
process.exit()
