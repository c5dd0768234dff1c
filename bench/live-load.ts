// Source and subscribers of a live bench in one process, on one clock: what goes in is timed when
// it comes out.
//
// argv: JSON of LoadTask. Connects all subscribers and the generator's thread, says 'ready'. Then
// 'run' begins a run, 'done' asks if it is over, 'sample' asks for what came since the last sample.
// A tick's latency is from when it was due to be sent to when the subscriber read it from its
// socket, whatever delayed it; it is counted for each subscriber.

import { Worker } from 'node:worker_threads'
import { OFFSET, TICK_BYTES } from '../src/tick/layout.ts'
import { FeedReader, type FeedTally } from './feed-reader.ts'
import { Histogram, type LatencySummary } from './histogram.ts'
import type { GeneratorAnswer, GeneratorTask, Schedule } from './live-generator.ts'
import { type SymbolSets, setOf, symbolsOf } from './symbol-sets.ts'
import { FIRST_ID, idOfLine, LINE_BYTES, SYMBOLS } from './trade-lines.ts'
import { WsReader } from './ws-reader.ts'

export interface LoadTask {
  /** tickd: the feed's binary sub-protocol. relay: the lines as they were sent. */
  readonly target: 'tickd' | 'relay'
  readonly host: string
  readonly port: number
  readonly url: string
  readonly subscribers: number
  /** tickd: each subscriber has symbols of its own. Absent = each has all. */
  readonly sets?: SymbolSets
  /** Id of the first tick: FIRST_ID, unless another load was there before. */
  readonly firstId?: number
}

export interface RunOrder extends Schedule {
  readonly op: 'run'
  /** Ticks at the start whose latency is not counted. */
  readonly warmupTicks: number
}

export interface Sample {
  /** Since the last sample. */
  readonly latency: LatencySummary
  /** Of the run. */
  readonly lateness: LatencySummary | undefined
  /** All has been sent, and has reached every subscriber or been declared as missing. */
  readonly isDone: boolean
  readonly startNs: number
  /** Of all subscribers, since the process began. */
  readonly tally: FeedTally
  /** Ticks ordered, since the process began. */
  readonly ticks: number
}

interface Subscriber {
  readonly tally: FeedTally
  /** Records that it has, or was told that it will not have. */
  settled(): number
  /** Of all ticks, those that it is to get. */
  readonly share: number
}

const NS_PER_S = 1e9
/** Connections that are made at once. */
const CONNECTING_MAX = 100
const task = JSON.parse(process.argv[2] as string) as LoadTask
const { firstId = FIRST_ID, sets } = task
const latency = new Histogram()
/** The present run. */
let run = { startNs: 0, firstIndex: 0, ticksPerGroup: 1, groupNs: 0, warmupTicks: 0, isSent: true }
let lateness: LatencySummary | undefined
let ticks = 0

const subscribers: Subscriber[] = []
while (subscribers.length < task.subscribers) {
  const count = Math.min(CONNECTING_MAX, task.subscribers - subscribers.length)
  const nths = Array.from({ length: count }, (_, i) => subscribers.length + i)
  const open = task.target === 'tickd' ? (sets === undefined ? openFeed : openSet) : openRelay
  subscribers.push(...(await Promise.all(nths.map(open))))
}
const generator = await startGenerator()
process.on('message', (order: RunOrder | { op: 'sample' | 'done' }) => {
  if (order.op === 'run') begin(order)
  else process.send?.(order.op === 'done' ? isDone() : sample())
})
process.on('disconnect', () => process.exit())
process.send?.('ready')

function openFeed(): Promise<Subscriber> {
  return new Promise((resolve) => {
    const onTicks = (data: Buffer, start: number, count: number) => {
      const nowNs = Number(process.hrtime.bigint())
      // Ids wrap at 2^32 here; so does the difference.
      for (let at = start + OFFSET.p2; at < start + count * TICK_BYTES; at += TICK_BYTES) {
        note((data.readInt32LE(at) - firstId) >>> 0, 1, nowNs)
      }
    }
    const onReady = () => resolve({ tally, settled: () => reader.settled, share: 1 })
    const reader = new FeedReader({ url: task.url, onTicks, onReady })
    const { tally } = reader
  })
}

/** A subscriber with symbols of its own: other ticks, and those out of order, count as holes. */
function openSet(nth: number): Promise<Subscriber> {
  const { symbols } = sets as SymbolSets
  const set = setOf(sets as SymbolSets, nth)
  const isMember = Uint8Array.from({ length: symbols }, (_, i) => (set.has(i) ? 1 : 0))
  return new Promise((resolve) => {
    let last = -1
    const onTicks = (data: Buffer, start: number, count: number) => {
      const nowNs = Number(process.hrtime.bigint())
      for (let at = start + OFFSET.p2; at < start + count * TICK_BYTES; at += TICK_BYTES) {
        const index = (data.readInt32LE(at) - firstId) >>> 0
        if (index <= last || isMember[index % symbols] !== 1) tally.holes++
        last = index
        note(index, 1, nowNs)
      }
    }
    const share = set.size / symbols
    const onReady = () => resolve({ tally, settled: () => reader.settled, share })
    const reader = new FeedReader({ url: task.url, symbols: symbolsOf(set), onTicks, onReady })
    const { tally } = reader
  })
}

function openRelay(): Promise<Subscriber> {
  return new Promise((resolve) => {
    const tally = { records: 0, frames: 0, bytes: 0, declared: 0, holes: 0 }
    const subscriber = { tally, settled: () => tally.records, share: 1 }
    new WsReader({
      url: task.url,
      headBytes: Number.POSITIVE_INFINITY,
      onText: () => resolve(subscriber),
      onBinary: (data, start, end, length) => {
        const nowNs = Number(process.hrtime.bigint())
        for (let at = start; at < end; at += LINE_BYTES) {
          const index = idOfLine(data, at) - FIRST_ID
          if (index !== tally.records) tally.holes++
          tally.records++
          note(index, 1, nowNs)
        }
        tally.frames++
        tally.bytes += length
      },
    })
  })
}

/** Counts the latency of tick `index`, counted from the begin of the process. */
function note(index: number, times: number, nowNs: number): void {
  const nth = index - run.firstIndex
  if (nth < run.warmupTicks || run.groupNs === 0) return
  const dueNs = run.startNs + Math.floor(nth / run.ticksPerGroup) * run.groupNs
  latency.record((nowNs - dueNs) / 1000, times)
}

function startGenerator(): Promise<Worker> {
  return new Promise((resolve, reject) => {
    const { host, port } = task
    const { symbols = SYMBOLS } = sets ?? {}
    const worker = new Worker(new URL('./live-generator.ts', import.meta.url), {
      workerData: { host, port, symbols, firstId } satisfies GeneratorTask,
    })
    worker.on('error', reject)
    worker.on('message', (message: 'ready' | GeneratorAnswer) => {
      if (message === 'ready') return resolve(worker)
      lateness = message.lateness
      if (message.op === 'sent') run.isSent = true
      else {
        const { startNs, ticksPerGroup } = message
        run = { ...run, startNs, ticksPerGroup, firstIndex: message.firstId - firstId }
        process.send?.({ startNs })
      }
    })
  })
}

function begin({ rate, ticks: count, groupUs, warmupTicks }: RunOrder): void {
  latency.reset()
  const ticksPerGroup = Math.max(1, Math.round((rate * groupUs) / 1e6))
  const groupNs = rate === 0 ? 0 : (ticksPerGroup / rate) * NS_PER_S
  run = { startNs: 0, firstIndex: 0, ticksPerGroup, groupNs, warmupTicks, isSent: false }
  ticks += count
  generator.postMessage({ rate, ticks: count, groupUs } satisfies Schedule)
}

function isDone(): boolean {
  return (
    run.isSent && subscribers.every(({ settled, share }) => settled() === Math.round(ticks * share))
  )
}

function sample(): Sample {
  const tally = { records: 0, frames: 0, bytes: 0, declared: 0, holes: 0 }
  for (const subscriber of subscribers) {
    for (const field of Object.keys(tally) as (keyof FeedTally)[]) {
      tally[field] += subscriber.tally[field]
    }
  }
  const { startNs } = run
  const answer = { latency: latency.summary(), lateness, isDone: isDone(), startNs, tally, ticks }
  latency.reset()
  return answer
}
