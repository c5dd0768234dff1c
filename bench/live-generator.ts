// The pacing thread of live-load.ts: writes trades on a TCP connection when they are due.
//
// Ticks are due in groups, `groupUs` apart. A late group is written at once, and changes nothing in
// when the next is due: waiting is counted, not left out. Rate 0 = as fast as TCP takes it.
// Between groups the thread sleeps, and spins only at the end of it: the daemon needs the cores.

import { once } from 'node:events'
import { connect } from 'node:net'
import { parentPort, workerData } from 'node:worker_threads'
import { Histogram } from './histogram.ts'
import { LINE_BYTES, patchLines, renderLines, timeText } from './trade-lines.ts'

export interface GeneratorTask {
  readonly host: string
  readonly port: number
  /** The ticks are of so many symbols, one after the other. */
  readonly symbols: number
  readonly firstId: number
}

export interface Schedule {
  /** Ticks per second; 0 = as fast as they go. */
  readonly rate: number
  readonly ticks: number
  readonly groupUs: number
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
const SPIN_US = 30
/** From the order to the first tick: the subscribers learn of it meanwhile. */
const START_NS = 50e6
const TIME_EVERY_NS = 1e6

const { host, port, symbols, firstId } = workerData as GeneratorTask
const socket = connect(port, host)
await once(socket, 'connect')
socket.setNoDelay(true)
const pause = new Int32Array(new SharedArrayBuffer(4))
/** Rendered buffers that are not being written now. */
const free: Buffer[] = []
const lateness = new Histogram()
let nextId = firstId
let time = timeText()
let timeDueNs = 0

parentPort?.on('message', (schedule: Schedule) => void run(schedule))
parentPort?.postMessage('ready')

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
    sleepUntil(dueNs)
    const beganNs = nowNs()
    lateness.record((beganNs - dueNs) / 1000)
    // All groups that are due by now go together.
    const due = groupNs === 0 ? 1 : 1 + Math.floor((beganNs - dueNs) / groupNs)
    const end = Math.min(ticks, sent + due * ticksPerGroup)
    for (; sent < end; sent += Math.min(LINES_MAX, end - sent)) {
      write(Math.min(LINES_MAX, end - sent), beganNs)
      if (socket.writableNeedDrain) await once(socket, 'drain')
    }
    await new Promise((resolve) => setImmediate(resolve))
  }
  answer('sent')
}

function sleepUntil(dueNs: number): void {
  for (;;) {
    const leftUs = (dueNs - nowNs()) / 1000
    if (leftUs <= 0) return
    // Nobody notifies: a sleep. Otherwise the loop itself is the wait.
    if (leftUs > SPIN_US) Atomics.wait(pause, 0, 0, (leftUs - SPIN_US) / 1000)
  }
}

function write(count: number, atNs: number): void {
  if (atNs >= timeDueNs) {
    time = timeText()
    timeDueNs = atNs + TIME_EVERY_NS
  }
  const rendered = free.pop() ?? renderLines(LINES_MAX + symbols, symbols)
  const start = ((nextId - firstId) % symbols) * LINE_BYTES
  const lines = rendered.subarray(start, start + count * LINE_BYTES)
  patchLines(lines, count, nextId, time)
  nextId += count
  socket.write(lines, () => free.push(rendered))
}

function nowNs(): number {
  return Number(process.hrtime.bigint())
}
