// The pacing thread of live-load.ts: writes trades on a TCP connection when they are due.
//
// Ticks are due in groups, `groupUs` apart. A late group is written at once, and changes nothing in
// when the next is due: waiting is counted, not left out. Rate 0 = as fast as TCP takes it.
// Between groups the thread sleeps, and spins only at the end of it: the daemon needs the cores.
// A group is rendered before it is due.

import { once } from 'node:events'
import { connect } from 'node:net'
import { parentPort, workerData } from 'node:worker_threads'
import { Histogram } from './histogram.ts'
import { loadTools } from './load-tools.ts'
import { LINE_BYTES, patchLines, renderLines, timeText } from './trade-lines.ts'

export interface GeneratorTask {
  readonly host: string
  readonly port: number
  /** The ticks are of so many symbols, one after the other. */
  readonly symbols: number
  readonly firstId: number
  /** It asks for the processors before all others. */
  readonly isFirst: boolean
}

export interface Schedule {
  /** Ticks per second; 0 = as fast as they go. */
  readonly rate: number
  readonly ticks: number
  readonly groupUs: number
}

export interface GeneratorReady {
  readonly op: 'ready'
  /** It has the processors before all others. */
  readonly isFirst: boolean
}

export interface GeneratorAnswer {
  readonly op: 'started' | 'sent'
  /** Of the first tick, on the machine's monotonic clock. */
  readonly startNs: number
  readonly firstId: number
  readonly ticksPerGroup: number
  /** By how much groups were late when they were handed to the socket. */
  readonly lateness: ReturnType<Histogram['summary']>
}

const LINES_MAX = 2048
const SPIN_NS = 20_000
/** From the order to the first tick: the subscribers learn of it meanwhile. */
const START_NS = 50e6
const TIME_EVERY_NS = 1e6

const { host, port, symbols, firstId, isFirst } = workerData as GeneratorTask
const socket = connect(port, host)
await once(socket, 'connect')
socket.setNoDelay(true)
const tools = loadTools()
const { fd: descriptor } = (socket as unknown as { _handle: { fd: number } })._handle
const pause = new Int32Array(new SharedArrayBuffer(4))
const rendered = renderLines(LINES_MAX + symbols, symbols)
const lateness = new Histogram()
let nextId = firstId
let time = timeText()
let timeDueNs = 0

parentPort?.on('message', (schedule: Schedule) => void run(schedule))
const ready: GeneratorReady = { op: 'ready', isFirst: isFirst && tools?.comeFirst() === 0 }
parentPort?.postMessage(ready)

async function run({ rate, ticks, groupUs }: Schedule): Promise<void> {
  const runFirstId = nextId
  const startNs = nowNs() + START_NS
  const ticksPerGroup = rate === 0 ? LINES_MAX : Math.max(1, Math.round((rate * groupUs) / 1e6))
  const groupNs = rate === 0 ? 0 : (ticksPerGroup / rate) * 1e9
  lateness.reset()
  const answer = (op: GeneratorAnswer['op']) => {
    const summary = lateness.summary()
    parentPort?.postMessage({ op, startNs, firstId: runFirstId, ticksPerGroup, lateness: summary })
  }
  answer('started')
  for (let sent = 0; sent < ticks; ) {
    const dueNs = startNs + (sent / ticksPerGroup) * groupNs
    const lateNs = nowNs() - dueNs
    // All groups that are due by now go together.
    const due = groupNs === 0 || lateNs < 0 ? 1 : 1 + Math.floor(lateNs / groupNs)
    const count = Math.min(LINES_MAX, ticks - sent, due * ticksPerGroup)
    const lines = render(count)
    sleepUntil(dueNs)
    lateness.record((nowNs() - dueNs) / 1000)
    await write(lines)
    sent += count
  }
  answer('sent')
}

function sleepUntil(dueNs: number): void {
  tools?.sleepUntil(dueNs, SPIN_NS)
  for (;;) {
    const leftNs = dueNs - nowNs()
    if (leftNs <= 0) return
    // Nobody notifies: a sleep. Otherwise the loop itself is the wait.
    if (leftNs > SPIN_NS) Atomics.wait(pause, 0, 0, (leftNs - SPIN_NS) / 1e6)
  }
}

function render(count: number): Buffer {
  const atNs = nowNs()
  if (atNs >= timeDueNs) {
    time = timeText()
    timeDueNs = atNs + TIME_EVERY_NS
  }
  const start = ((nextId - firstId) % symbols) * LINE_BYTES
  const lines = rendered.subarray(start, start + count * LINE_BYTES)
  patchLines(lines, count, nextId, time)
  nextId += count
  return lines
}

/** Returns once the socket has taken all of it: the lines are rendered anew then. */
async function write(lines: Buffer): Promise<void> {
  if (tools === undefined) {
    await new Promise((resolve) => socket.write(lines, resolve))
    return
  }
  for (let at = 0; at < lines.length; ) {
    const count = tools.sendSome(descriptor, lines, at, lines.length)
    if (count < 0) throw new Error(`the source's connection failed: error ${-count}`)
    at += count
  }
}

function nowNs(): number {
  return Number(process.hrtime.bigint())
}
