// hot path
// The two ends of a ring in the ring bench: a thread that writes, and one that reads and checks.
//
// Each message is a round: the writer answers when it began (ns of the machine's monotonic clock),
// the reader when it had the last record. They wait as the daemon's blocking agents do, on their
// doorbells, and count what passes as they do. A record carries its sequence modulo
// `cycleTicks`, which does not divide the ring's capacity: a stale slot differs from what is due.

import { parentPort, workerData } from 'node:worker_threads'
import { CounterSet } from '../src/ops/counters.ts'
import { Doorbell } from '../src/ring/doorbell.ts'
import { FrameRingConsumer, FrameRingProducer } from '../src/ring/frame-ring.ts'
import { TickRingConsumer, TickRingLapper, TickRingProducer } from '../src/ring/tick-ring.ts'
import { TickBatch } from '../src/tick/batch.ts'
import { TICK_BYTES, TICK_WORDS, WORD } from '../src/tick/layout.ts'

const BELL = Object.freeze({ writer: 0, reader: 1 })
const LAPPER_READ_TICKS = 1024
/** As runners do: the longest sleep without a ring. */
const SLEEP_MS = 10

export interface RingTask {
  role: 'tick writer' | 'gated reader' | 'lapping reader' | 'frame writer' | 'frame reader'
  ring: SharedArrayBuffer
  bells: SharedArrayBuffer
  /** Records in a publication; bytes of a frame. */
  size: number
  /** Records prepared for writing, over and over. */
  cycleTicks: number
  /** Of the gating consumers. */
  slots: readonly number[]
}

export interface RingOutcome {
  /** Writer: before the first record. Reader: after the last one. */
  timeNs: number
  /** Records or frames; of a reader, without the lost ones. */
  count: number
  /** Records or frames that were not what was written. */
  wrong: number
  /** Overrun before they were read. */
  lost: number
}

/** A round of `count` records or frames. */
type Round = (count: number) => RingOutcome

const task = workerData as RingTask
const CYCLE = task.cycleTicks
const bell = new Doorbell(task.bells, task.role.endsWith('writer') ? BELL.writer : BELL.reader)
const otherBell = new Doorbell(task.bells, task.role.endsWith('writer') ? BELL.reader : BELL.writer)
const counters = new CounterSet(['records', 'batches'], new SharedArrayBuffer(128))
const { values } = counters

function nowNs(): number {
  return Number(process.hrtime.bigint())
}

function count(records: number): void {
  values[0] = (values[0] as number) + records
  values[1] = (values[1] as number) + 1
}

function preparedBatch(): TickBatch {
  const batch = new TickBatch(CYCLE)
  for (let i = 0; i < CYCLE; i++) {
    batch.words.fill(i ^ 0x5a5a, i * TICK_WORDS, (i + 1) * TICK_WORDS)
    batch.words[i * TICK_WORDS + WORD.p2] = i
  }
  batch.count = CYCLE
  return batch
}

/** Of `records` ticks from `first`, those that do not carry sequences from `seq` on. */
function wrongTicks(words: Int32Array, first: number, records: number, seq: number): number {
  let expected = seq % CYCLE
  let wrong = 0
  for (let at = first * TICK_WORDS, i = 0; i < records; i++, at += TICK_WORDS) {
    if (words[at + WORD.p2] !== expected) wrong++
    expected = expected + 1 === CYCLE ? 0 : expected + 1
  }
  return wrong
}

function tickWriter(): Round {
  const ring = new TickRingProducer(task.ring, 0, task.slots, [otherBell])
  const batch = preparedBatch()
  return (ticks) => {
    const timeNs = nowNs()
    const end = ring.seq + ticks
    while (ring.seq < end) {
      const from = ring.seq % CYCLE
      while (ring.publish(batch, from, task.size) === -1) {
        bell.prepare()
        // The second look, as in the runner.
        if (ring.available() < task.size) bell.wait(SLEEP_MS)
        bell.wake()
      }
      count(task.size)
    }
    return { timeNs, count: ticks, wrong: 0, lost: 0 }
  }
}

function gatedReader(): Round {
  const ring = new TickRingConsumer(task.ring, task.slots[0] as number, 0, otherBell)
  const words = new Int32Array(ring.bytes.buffer, ring.bytes.byteOffset)
  return (ticks) => {
    const end = ring.seq + ticks
    let wrong = 0
    while (ring.seq < end) {
      const run = ring.run()
      if (run === 0) {
        bell.prepare()
        if (ring.available() === 0) bell.wait(SLEEP_MS)
        bell.wake()
        continue
      }
      wrong += wrongTicks(words, ring.offset() / TICK_BYTES, run, ring.seq)
      ring.advance(run)
      count(run)
    }
    return { timeNs: nowNs(), count: ticks, wrong, lost: 0 }
  }
}

function lappingReader(): Round {
  const ring = new TickRingLapper(task.ring, 0)
  const out = new TickBatch(LAPPER_READ_TICKS)
  return (ticks) => {
    const end = ring.seq + ticks
    const lostBefore = ring.lostCount
    let wrong = 0
    let read = 0
    while (ring.seq < end) {
      const seq = ring.read(out)
      if (out.count === 0) {
        bell.prepare()
        if (ring.lag() === 0) bell.wait(SLEEP_MS)
        bell.wake()
        continue
      }
      wrong += wrongTicks(out.words, 0, out.count, seq)
      read += out.count
      count(out.count)
    }
    return { timeNs: nowNs(), count: read, wrong, lost: ring.lostCount - lostBefore }
  }
}

function frameWriter(): Round {
  const ring = new FrameRingProducer(task.ring, otherBell)
  const payload = new Uint8Array(task.size).fill(0x5a)
  const meta = { source: 1, format: 3, flags: 0, token: 0, recvSec: 4, recvNsec: 5 }
  return (frames) => {
    const timeNs = nowNs()
    for (let i = 0; i < frames; i++) {
      meta.token = (meta.token + 1) >>> 0
      payload[0] = meta.token
      payload[task.size - 1] = meta.token >>> 8
      while (!ring.tryWrite(meta, payload, 0, task.size)) {
        bell.prepare()
        const isWritten = ring.tryWrite(meta, payload, 0, task.size)
        if (!isWritten) bell.wait(SLEEP_MS)
        bell.wake()
        if (isWritten) break
      }
      count(1)
    }
    return { timeNs, count: frames, wrong: 0, lost: 0 }
  }
}

function frameReader(): Round {
  const ring = new FrameRingConsumer(task.ring, otherBell)
  let token = 0
  return (frames) => {
    let wrong = 0
    for (let i = 0; i < frames; i++) {
      while (!ring.poll()) {
        bell.prepare()
        if (!ring.poll()) bell.wait(SLEEP_MS)
        bell.wake()
      }
      token = (token + 1) >>> 0
      const isWhole = ring.meta.token === token && ring.end - ring.start === task.size
      const isFirst = ring.bytes[ring.start] === (token & 0xff)
      if (!isWhole || !isFirst || ring.bytes[ring.end - 1] !== ((token >>> 8) & 0xff)) wrong++
      ring.release()
      count(1)
    }
    return { timeNs: nowNs(), count: frames, wrong, lost: 0 }
  }
}

const ROUNDS: Readonly<Record<RingTask['role'], () => Round>> = {
  'tick writer': tickWriter,
  'gated reader': gatedReader,
  'lapping reader': lappingReader,
  'frame writer': frameWriter,
  'frame reader': frameReader,
}

if (parentPort !== null) {
  const round = ROUNDS[task.role]()
  parentPort.on('message', (records: number) => parentPort?.postMessage(round(records)))
  parentPort.postMessage('ready')
}
