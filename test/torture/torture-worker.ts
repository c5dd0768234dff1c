// The threads of the torture tests: each plays one role and posts what came of it.
//
// Waits are long on purpose: a wake-up that is lost shows as a wait that ran out though there was
// work, and is counted.

import { parentPort, workerData } from 'node:worker_threads'
import { Doorbell } from '../../src/ring/doorbell.ts'
import { FrameRingConsumer, FrameRingProducer } from '../../src/ring/frame-ring.ts'
import { TickRingConsumer, TickRingLapper, TickRingProducer } from '../../src/ring/tick-ring.ts'
import { TickBatch } from '../../src/tick/batch.ts'
import { InstrumentLog } from '../../src/tick/instrument-log.ts'
import { InstrumentTable } from '../../src/tick/instruments.ts'
import { TICK_WORDS } from '../../src/tick/layout.ts'
import {
  fillFrame,
  fillTick,
  frameSizeOf,
  instrumentName,
  isFrame,
  isTick,
  Random,
} from './pattern.ts'

/** A wait this long with work at its end was not woken. */
const WAIT_MS = 3000

export interface TortureTask {
  role: keyof typeof ROLES
  seed: number
  /** Records, frames, rounds or names in all. */
  count: number
  /** The ring, or the table. */
  memory: SharedArrayBuffer
  /** Doorbells: 0 = the producer's thread, 1 … = the consumers'. */
  bells: SharedArrayBuffer
  ownBell: number
  firstSeq?: number
  sizeMax?: number
  slot?: number
  logPath?: string
  /** One word: the position that a lapping reader has reached, for a producer to stay near it. */
  pace?: SharedArrayBuffer
}

export interface TortureOutcome {
  done: number
  /** Contents that were not what was written. */
  corrupt: number
  /** Numbers that did not follow. */
  disordered: number
  lost: number
  lostWakeups: number
  ids?: number[]
}

const task = workerData as TortureTask
const outcome: TortureOutcome = { done: 0, corrupt: 0, disordered: 0, lost: 0, lostWakeups: 0 }
const random = new Random(task.seed)

/** Sleeps until `step` succeeds, as a runner does: prepare, look again, wait. */
function waitUntil(bell: Doorbell, step: () => boolean): void {
  let done = step()
  while (!done) {
    bell.prepare()
    done = step()
    if (!done) {
      const began = performance.now()
      bell.wait(WAIT_MS)
      const ranOut = performance.now() - began >= WAIT_MS
      done = step()
      if (ranOut && done) outcome.lostWakeups++
    }
    bell.wake()
  }
}

const ROLES = {
  'frame producer': () => {
    const { memory, bells, count, sizeMax = 1000 } = task
    const bell = new Doorbell(bells, 0)
    const ring = new FrameRingProducer(memory, new Doorbell(bells, 1))
    const bytes = new Uint8Array(sizeMax + 8)
    const meta = { source: 1, format: 2, flags: 3, token: 0, recvSec: 4, recvNsec: 5 }
    for (let token = 0; token < count; token++) {
      const size = frameSizeOf(random, sizeMax)
      fillFrame(bytes, token, size)
      meta.token = token
      const cut = random.below(size)
      waitUntil(bell, () => ring.tryWrite(meta, bytes, 0, cut, bytes, cut, size))
      outcome.done++
    }
  },

  /** Keeps up to a few frames before it releases them, and checks them only then. */
  'frame consumer': () => {
    const { memory, bells, count, sizeMax = 1000, seed } = task
    const bell = new Doorbell(bells, 1)
    const ring = new FrameRingConsumer(memory, new Doorbell(bells, 0))
    const cuts = new Random(seed)
    const choice = new Random(seed + 1)
    const kept: { start: number; end: number; token: number }[] = []
    while (outcome.done < count) {
      waitUntil(bell, () => ring.poll())
      const size = frameSizeOf(cuts, sizeMax)
      cuts.below(size)
      const { start, end, meta } = ring
      if (meta.token !== outcome.done || end - start !== size) outcome.disordered++
      kept.push({ start, end, token: meta.token })
      ring.keep()
      outcome.done++
      if (choice.below(4) > 0 && ring.poll()) continue
      for (const frame of kept) {
        if (!isFrame(ring.bytes, frame.start, frame.end, frame.token)) outcome.corrupt++
      }
      kept.length = 0
      ring.releaseKept()
    }
  },

  'tick producer': () => {
    const { memory, bells, count, firstSeq = 0, slot } = task
    const bell = new Doorbell(bells, 0)
    const gating = slot === undefined ? [] : [slot]
    const consumers = [new Doorbell(bells, 1), new Doorbell(bells, 2)]
    const ring = new TickRingProducer(memory, firstSeq, gating, consumers)
    const pace = task.pace === undefined ? undefined : new Int32Array(task.pace)
    const batch = new TickBatch(256)
    while (outcome.done < count) {
      const size = Math.min(1 + random.below(256), count - outcome.done)
      const ahead = ring.capacity + random.below(256)
      // Stays about a ring ahead of the reader, so that most of its reads are on the brink.
      while (pace !== undefined && ((ring.seq - Atomics.load(pace, 0)) | 0) > ahead);
      for (let i = 0; i < size; i++) fillTick(batch.words, i, ring.seq + i)
      waitUntil(bell, () => ring.publish(batch, 0, size) !== -1)
      outcome.done += size
    }
  },

  'tick consumer': () => {
    const { memory, bells, count, firstSeq = 0, slot = 0 } = task
    const bell = new Doorbell(bells, 1)
    const ring = new TickRingConsumer(memory, slot, firstSeq, new Doorbell(bells, 0))
    const words = new Int32Array(ring.bytes.buffer, ring.bytes.byteOffset)
    while (outcome.done < count) {
      waitUntil(bell, () => ring.available() > 0)
      const run = Math.min(ring.run(), 1 + random.below(300))
      const first = ring.offset() / (TICK_WORDS * 4)
      for (let i = 0; i < run; i++) {
        if (!isTick(words, first + i, firstSeq + outcome.done + i)) outcome.corrupt++
      }
      if (ring.seq !== firstSeq + outcome.done) outcome.disordered++
      ring.advance(run)
      outcome.done += run
    }
  },

  /**
   * Lets the producer come to the brink of overrunning it, and beyond, before it reads; checks that
   * what it reads is whole.
   */
  'tick lapper': () => {
    const { memory, bells, count, firstSeq = 0, ownBell } = task
    const bell = new Doorbell(bells, ownBell)
    const ring = new TickRingLapper(memory, firstSeq)
    const pace = task.pace === undefined ? undefined : new Int32Array(task.pace)
    const out = new TickBatch(200)
    parentPort?.postMessage('ready')
    let expected = ring.seq
    while (ring.seq < firstSeq + count) {
      waitUntil(bell, () => ring.lag() > 0)
      const lostBefore = ring.lostCount
      const seq = ring.read(out)
      if (seq - expected !== ring.lostCount - lostBefore) outcome.disordered++
      for (let i = 0; i < out.count; i++) if (!isTick(out.words, i, seq + i)) outcome.corrupt++
      outcome.done += out.count
      expected = seq + out.count
      // Lets a paced producer go on: pairs with its load.
      if (pace !== undefined) Atomics.store(pace, 0, ring.seq | 0)
      const brink = ring.capacity - random.below(300)
      while (ring.lag() < brink && ring.seq + ring.lag() < firstSeq + count);
    }
    outcome.lost = ring.lostCount
  },

  /** Wakes the other side and sleeps until woken, over and over. */
  'bell player': () => {
    const { memory, bells, count, ownBell } = task
    const bell = new Doorbell(bells, ownBell)
    const other = new Doorbell(bells, 1 - ownBell)
    const words = new Int32Array(memory)
    for (let round = 0; round < count; round++) {
      const mine = round * 2 + ownBell
      // Pairs with the store below on the other thread: it is our turn when the word is ours.
      waitUntil(bell, () => Atomics.load(words, 0) === mine)
      for (let spin = random.below(200); spin > 0; spin--) random.below(2)
      // Publishes the turn: pairs with the load above.
      Atomics.store(words, 0, mine + 1)
      other.ring()
      outcome.done++
    }
  },

  'instrument adder': () => {
    const { memory, count, logPath = '' } = task
    const log = new InstrumentLog(logPath)
    const table = new InstrumentTable(memory, 1024, log.append)
    const ids = new Array<number>(count).fill(0)
    const order = ids.map((_, i) => i)
    for (let i = count - 1; i > 0; i--) {
      const k = random.below(i + 1)
      const swapped = order[i] as number
      order[i] = order[k] as number
      order[k] = swapped
    }
    parentPort?.postMessage('ready')
    for (const number of order) {
      const name = instrumentName(number)
      const found = table.idOf('venue', name)
      const id = table.add('venue', name, `${name}.v`)
      if (found !== 0 && found !== id) outcome.disordered++
      if (table.idOf('venue', `${name}.v`) !== id) outcome.lost++
      if (table.get(id)?.symbol !== name) outcome.corrupt++
      ids[number] = id
      outcome.done++
    }
    log.close()
    outcome.ids = ids
  },
}

ROLES[task.role]()
parentPort?.postMessage(outcome)
