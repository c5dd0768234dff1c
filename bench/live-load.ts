// Source and subscribers of a live bench in one process, on one clock: what goes in is timed when
// it comes out.
//
// argv: JSON of LoadTask. Connects all subscribers and the generator's thread, says 'ready'. Then
// 'run' begins a run, 'done' asks if it is over, 'sample' asks for what came since the last sample.
// A tick's latency is from when it was due to be sent to when it came to the subscriber's socket,
// whatever delayed it; it is counted for each subscriber. Once all have subscribed a thread of its
// own reads their sockets (socket-pump.ts); what was read is looked at here later, at a lower
// priority than the daemon's: on another machine it would cost it nothing. Without the native part
// Node reads the sockets, and a latency ends when it does.

import { setPriority } from 'node:os'
import { Worker } from 'node:worker_threads'
import { OFFSET, TICK_BYTES } from '../src/tick/layout.ts'
import { FeedReader, type FeedTally } from './feed-reader.ts'
import { Histogram, type LatencySummary } from './histogram.ts'
import type { GeneratorAnswer, GeneratorReady, GeneratorTask, Schedule } from './live-generator.ts'
import { loadTools } from './load-tools.ts'
import { SocketPump } from './socket-pump.ts'
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
  /** Sending and reading come before all other threads of the machine, where that is allowed. */
  readonly isFirst?: boolean
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
  /** A native thread reads the sockets; latencies end when the system got the bytes for them. */
  readonly isLean: boolean
  /** Sending and reading do come first. */
  readonly isFirst: boolean
}

interface Subscriber {
  readonly tally: FeedTally
  readonly socket: WsReader
  /** Records that it has, or was told that it will not have. */
  settled(): number
  /** Of all ticks, those that it is to get. */
  readonly share: number
}

const NS_PER_S = 1e9
/** What is read and not looked at yet: seconds of it. */
const RING_BYTES = 256 * 2 ** 20
const DRAIN_MS = 10
/** Of the thread that looks at what was read; the daemon's threads are at 0. */
const NICE = 10
/** Connections that are made at once. */
const CONNECTING_MAX = 100
const task = JSON.parse(process.argv[2] as string) as LoadTask
const { firstId = FIRST_ID, sets, isFirst: isFirstWanted = false } = task
const latency = new Histogram()
/** The present run. */
let run = { startNs: 0, firstIndex: 0, ticksPerGroup: 1, groupNs: 0, warmupTicks: 0, isSent: true }
let lateness: LatencySummary | undefined
let ticks = 0
/** When what is looked at came to its socket; 0 = just now. */
let cameNs = 0
let isFirst = false

const subscribers: Subscriber[] = []
while (subscribers.length < task.subscribers) {
  const count = Math.min(CONNECTING_MAX, task.subscribers - subscribers.length)
  const nths = Array.from({ length: count }, (_, i) => subscribers.length + i)
  const open = task.target === 'tickd' ? (sets === undefined ? openFeed : openSet) : openRelay
  subscribers.push(...(await Promise.all(nths.map(open))))
}
const pump = startPump()
const generator = await startGenerator()
process.on('message', (order: RunOrder | { op: 'sample' | 'done' }) => {
  if (order.op === 'run') begin(order)
  else process.send?.(order.op === 'done' ? isDone() : sample())
})
process.on('disconnect', () => {
  pump?.stop()
  process.exit()
})
process.send?.('ready')

function openFeed(): Promise<Subscriber> {
  return new Promise((resolve) => {
    const onTicks = (data: Buffer, start: number, count: number) => {
      const idAt = start + OFFSET.p2
      const first = data.readInt32LE(idAt)
      for (let i = 1; i < count; i++) {
        if (data.readInt32LE(idAt + i * TICK_BYTES) !== ((first + i) | 0)) tally.holes++
      }
      // Ids wrap at 2^32 here; so does the difference.
      noteRun((first - firstId) >>> 0, count, arrivalNs())
    }
    const onReady = () => resolve({ tally, socket, settled: () => reader.settled, share: 1 })
    const reader = new FeedReader({ url: task.url, onTicks, onReady })
    const { tally, socket } = reader
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
      const nowNs = arrivalNs()
      for (let at = start + OFFSET.p2; at < start + count * TICK_BYTES; at += TICK_BYTES) {
        const index = (data.readInt32LE(at) - firstId) >>> 0
        if (index <= last || isMember[index % symbols] !== 1) tally.holes++
        last = index
        noteRun(index, 1, nowNs)
      }
    }
    const share = set.size / symbols
    const onReady = () => resolve({ tally, socket, settled: () => reader.settled, share })
    const reader = new FeedReader({ url: task.url, symbols: symbolsOf(set), onTicks, onReady })
    const { tally, socket } = reader
  })
}

function openRelay(): Promise<Subscriber> {
  return new Promise((resolve) => {
    const tally = { records: 0, frames: 0, bytes: 0, declared: 0, holes: 0 }
    const socket = new WsReader({
      url: task.url,
      headBytes: Number.POSITIVE_INFINITY,
      onText: () => resolve({ tally, socket, settled: () => tally.records, share: 1 }),
      onBinary: (data, start, end, length) => {
        const first = tally.records
        for (let at = start; at < end; at += LINE_BYTES) {
          if (idOfLine(data, at) - FIRST_ID !== tally.records) tally.holes++
          tally.records++
        }
        noteRun(first, tally.records - first, arrivalNs())
        tally.frames++
        tally.bytes += length
      },
    })
  })
}

/** Undefined where there is none: then Node reads the sockets, each by itself. */
function startPump(): SocketPump | undefined {
  if (loadTools() === undefined) return undefined
  const descriptors = subscribers.map(({ socket }) => socket.handOver())
  const started = new SocketPump(descriptors, RING_BYTES, isFirstWanted, onRead)
  setPriority(NICE)
  setInterval(() => started.drain(), DRAIN_MS)
  return started
}

function onRead(index: number, data: Buffer, start: number, end: number, atNs: number): void {
  cameNs = atNs
  subscribers[index]?.socket.take(data, start, end)
}

function arrivalNs(): number {
  return cameNs || Number(process.hrtime.bigint())
}

/** Counts the latency of `count` ticks from `index` on, counted from the begin of the process. */
function noteRun(index: number, count: number, nowNs: number): void {
  if (run.groupNs === 0) return
  const end = index + count - run.firstIndex
  let nth = Math.max(index - run.firstIndex, run.warmupTicks)
  while (nth < end) {
    const group = Math.floor(nth / run.ticksPerGroup)
    const next = Math.min(end, (group + 1) * run.ticksPerGroup)
    latency.record((nowNs - run.startNs - group * run.groupNs) / 1000, next - nth)
    nth = next
  }
}

function startGenerator(): Promise<Worker> {
  return new Promise((resolve, reject) => {
    const { host, port } = task
    const { symbols = SYMBOLS } = sets ?? {}
    const worker = new Worker(new URL('./live-generator.ts', import.meta.url), {
      workerData: { host, port, symbols, firstId, isFirst: isFirstWanted } satisfies GeneratorTask,
    })
    worker.on('error', reject)
    worker.on('message', (message: GeneratorReady | GeneratorAnswer) => {
      if (message.op === 'ready') {
        isFirst = message.isFirst && pump !== undefined
        return resolve(worker)
      }
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
  pump?.drain()
  return (
    run.isSent && subscribers.every(({ settled, share }) => settled() === Math.round(ticks * share))
  )
}

function sample(): Sample {
  pump?.drain()
  const tally = { records: 0, frames: 0, bytes: 0, declared: 0, holes: 0 }
  for (const subscriber of subscribers) {
    for (const field of Object.keys(tally) as (keyof FeedTally)[]) {
      tally[field] += subscriber.tally[field]
    }
  }
  const { startNs } = run
  const facts = { isDone: isDone(), startNs, tally, ticks, isLean: pump !== undefined, isFirst }
  const answer = { latency: latency.summary(), lateness, ...facts }
  latency.reset()
  return answer
}
