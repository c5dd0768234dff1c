// Rings, doorbell and instrument table between real threads.
//
//   allowed    a lapping reader loses records, and knows how many; a full ring holds its producer
//   forbidden  a record or frame torn, changed, missing, twice or out of order; a wake-up lost; a
//              loss that is not counted; a name with two ids, or an id with two names

import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { Worker } from 'node:worker_threads'
import t, { type Test } from 'tap'
import { Doorbell } from '../../src/ring/doorbell.ts'
import { FRAME_WORD, frameRingBytes } from '../../src/ring/frame-ring-layout.ts'
import { createTickRing } from '../../src/ring/tick-ring-layout.ts'
import { InstrumentLog } from '../../src/tick/instrument-log.ts'
import { InstrumentTable } from '../../src/tick/instruments.ts'
import { instrumentName } from './pattern.ts'
import type { TortureOutcome, TortureTask } from './torture-worker.ts'

const seed = Number(process.env.TICKD_SEED ?? Date.now() % 2 ** 31)
t.comment(`TICKD_SEED=${seed}`)
const TIMEOUT_MS = 60_000
t.setTimeout(TIMEOUT_MS)

const worker = new URL('./torture-worker.ts', import.meta.url)

interface Thread {
  ready: Promise<void>
  outcome: Promise<TortureOutcome>
}

/** Starts a thread of the test; it is ended with the test, whatever comes. */
function start(t: Test, task: Omit<TortureTask, 'seed'> & { seed?: number }): Thread {
  const thread = new Worker(worker, { workerData: { seed, ...task } })
  t.teardown(() => thread.terminate())
  let ready = (): void => {}
  const readiness = new Promise<void>((resolve) => {
    ready = resolve
  })
  const outcome = new Promise<TortureOutcome>((resolve, reject) => {
    thread.on('message', (message: TortureOutcome | 'ready') => {
      if (message === 'ready') ready()
      else resolve(message)
    })
    thread.on('error', reject)
    thread.on('exit', () => reject(new Error(`${task.role} ended without a word`)))
  })
  return { ready: readiness, outcome }
}

const GOOD = { corrupt: 0, disordered: 0, lostWakeups: 0 }

t.test(
  'frames cross between threads whole and in order, through a ring that is often full',
  async (t) => {
    const count = 200_000
    const memory = new SharedArrayBuffer(frameRingBytes(4096))
    const words = new Int32Array(memory)
    words[FRAME_WORD.producerPosition] = 2 ** 31 - 40_000
    words[FRAME_WORD.consumerPosition] = 2 ** 31 - 40_000
    const bells = new SharedArrayBuffer(Doorbell.bytes(2))
    const task = { count, memory, bells, sizeMax: 1500 }
    const consumer = start(t, { ...task, role: 'frame consumer', ownBell: 1 })
    const producer = start(t, { ...task, role: 'frame producer', ownBell: 0 })
    t.match(await producer.outcome, { ...GOOD, done: count })
    t.match(await consumer.outcome, { ...GOOD, done: count })
  },
)

t.test('a gating consumer sees every record, whole and in order, across 2^32', async (t) => {
  const count = 500_000
  const firstSeq = 2 ** 32 - 100_000
  const task = {
    count,
    firstSeq,
    slot: 1,
    memory: createTickRing(1024, firstSeq),
    bells: new SharedArrayBuffer(Doorbell.bytes(3)),
  }
  const consumer = start(t, { ...task, role: 'tick consumer', ownBell: 1 })
  const producer = start(t, { ...task, role: 'tick producer', ownBell: 0 })
  t.match(await producer.outcome, { ...GOOD, done: count })
  t.match(await consumer.outcome, { ...GOOD, done: count })
})

t.test('lapping readers read only whole records, and count exactly what they lost', async (t) => {
  const count = 1_500_000
  const firstSeq = 2 ** 31 - 500_000
  const task = {
    count,
    firstSeq,
    memory: createTickRing(1024, firstSeq),
    bells: new SharedArrayBuffer(Doorbell.bytes(3)),
  }
  const lappers = [1, 2].map((ownBell) =>
    start(t, { ...task, role: 'tick lapper', ownBell, seed: seed + ownBell }),
  )
  for (const lapper of lappers) await lapper.ready
  const producer = start(t, { ...task, role: 'tick producer', ownBell: 0 })
  t.match(await producer.outcome, { ...GOOD, done: count })
  for (const lapper of lappers) {
    const outcome = await lapper.outcome
    t.match(outcome, GOOD)
    t.equal(outcome.done + outcome.lost, count, 'read and lost make all')
    t.ok(outcome.lost > 0, `it was overrun (${outcome.lost} of ${count})`)
    t.ok(outcome.done > 0, `and read ${outcome.done}`)
  }
})

t.test('a read on the brink of being overrun is whole, or known to be lost', async (t) => {
  const count = 150_000
  const firstSeq = 2 ** 32 - 75_000
  const pace = new SharedArrayBuffer(4)
  new Int32Array(pace)[0] = firstSeq | 0
  const task = {
    count,
    firstSeq,
    pace,
    memory: createTickRing(1024, firstSeq),
    bells: new SharedArrayBuffer(Doorbell.bytes(3)),
  }
  const lapper = start(t, { ...task, role: 'tick lapper', ownBell: 1 })
  await lapper.ready
  const producer = start(t, { ...task, role: 'tick producer', ownBell: 0 })
  t.match(await producer.outcome, { ...GOOD, done: count })
  const outcome = await lapper.outcome
  t.match(outcome, GOOD)
  t.equal(outcome.done + outcome.lost, count, 'read and lost make all')
  t.ok(outcome.lost > 0, `it was overrun (${outcome.lost} of ${count})`)
  t.ok(outcome.done > 0, `and read ${outcome.done}`)
})

t.test('a sleeper is always woken', async (t) => {
  const count = 20_000
  const task = {
    count,
    memory: new SharedArrayBuffer(4),
    bells: new SharedArrayBuffer(Doorbell.bytes(2)),
  }
  const players = [0, 1].map((ownBell) =>
    start(t, { ...task, role: 'bell player', ownBell, seed: seed + ownBell }),
  )
  for (const player of players) t.match(await player.outcome, { ...GOOD, done: count })
})

t.test('three threads that add the same names give each one id, without holes', async (t) => {
  const count = 600
  const capacity = 1024
  const directory = mkdtempSync(path.join(tmpdir(), 'tickd-instruments-'))
  t.teardown(() => rmSync(directory, { recursive: true }))
  const logPath = path.join(directory, 'instruments.jsonl')
  const memory = InstrumentTable.create(capacity)
  const bells = new SharedArrayBuffer(Doorbell.bytes(1))
  const threads = [1, 2, 3].map((n) =>
    start(t, {
      role: 'instrument adder',
      count,
      memory,
      bells,
      ownBell: 0,
      seed: seed + n,
      logPath,
    }),
  )
  const outcomes = await Promise.all(threads.map(({ outcome }) => outcome))
  for (const outcome of outcomes) {
    t.match(outcome, { ...GOOD, lost: 0, done: count })
    t.same(outcome.ids, outcomes[0]?.ids, 'the same name has the same id for all')
  }
  const ids = [...(outcomes[0]?.ids ?? [])].sort((a, b) => a - b)
  t.same(
    ids,
    Array.from({ length: count }, (_, i) => i + 1),
  )
  t.equal(readFileSync(logPath, 'utf8').split('\n').length - 1, count, 'each is logged once')
  const fresh = InstrumentTable.create(capacity)
  new InstrumentLog(logPath).load(fresh, capacity)
  const table = new InstrumentTable(fresh, capacity)
  const reloaded = Array.from({ length: count }, (_, i) => table.idOf('venue', instrumentName(i)))
  t.same(reloaded, outcomes[0]?.ids, 'a restart gives the same ids')
})
