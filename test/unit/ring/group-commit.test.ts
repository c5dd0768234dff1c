// A decode agent that ends at any step of the end of a group: its successor finishes or repeats.

import t from 'tap'
import { FrameRingConsumer, FrameRingProducer } from '../../../src/ring/frame-ring.ts'
import { frameRingBytes } from '../../../src/ring/frame-ring-layout.ts'
import { GroupCommit } from '../../../src/ring/group-commit.ts'
import { TickRingProducer } from '../../../src/ring/tick-ring.ts'
import { createTickRing } from '../../../src/ring/tick-ring-layout.ts'
import { TickBatch } from '../../../src/tick/batch.ts'

const COUNTERS = 3
const META = { source: 0, format: 0, flags: 0, token: 0, recvSec: 0, recvNsec: 0 }

class Ended extends Error {}

/** All that survives a thread. */
function sharedState() {
  const frames = new SharedArrayBuffer(frameRingBytes(4096))
  const producer = new FrameRingProducer(frames)
  for (let i = 0; i < 4; i++) producer.tryWrite(META, Buffer.from(`frame ${i}`), 0, 7)
  return {
    frames,
    ticks: createTickRing(64, 5),
    commit: new SharedArrayBuffer(GroupCommit.bytes(COUNTERS)),
    counters: new Float64Array(COUNTERS),
  }
}

/** One life: finishes what was left, then takes two frames; ends before step `endAt`. */
function live(state: ReturnType<typeof sharedState>, tickCount: number, endAt: number): void {
  let at = 0
  const step = (work: () => void) => {
    if (at++ === endAt) throw new Ended()
    work()
  }
  const ring = new FrameRingConsumer(state.frames)
  const ticks = new TickRingProducer(state.ticks, 5, [])
  const commit = new GroupCommit(state.commit, COUNTERS)
  const finish = (framePosition: number) => {
    for (let i = 0; i < COUNTERS; i++) {
      step(() => {
        state.counters[i] = commit.after[i] as number
      })
    }
    step(() => ring.passOver(framePosition))
    step(() => commit.done())
  }
  const pending = commit.pending(ticks.position)
  if (pending !== undefined) finish(pending.framePosition)
  if (!ring.poll()) return
  ring.keep()
  ring.poll()
  ring.keep()
  for (let i = 0; i < COUNTERS; i++) {
    step(() => {
      commit.after[i] = (state.counters[i] as number) + 1
    })
  }
  const end = { input: 0, framePosition: ring.keptPosition, source: 0 }
  step(() => commit.prepare((ticks.position + tickCount) | 0, end))
  const batch = new TickBatch(8)
  batch.count = tickCount
  if (tickCount > 0) step(() => t.not(ticks.publish(batch, 0, tickCount), -1))
  step(() => {})
  for (let i = 0; i < COUNTERS; i++) {
    step(() => {
      state.counters[i] = commit.after[i] as number
    })
  }
  step(() => ring.releaseKept())
  step(() => commit.done())
}

for (const tickCount of [3, 0]) {
  t.test(`a group of ${tickCount} records happens once, wherever its thread ends`, async (t) => {
    const steps = 3 + 1 + 1 + 1 + 3 + 2
    for (let first = 0; first < steps; first++) {
      for (let second = 0; second < steps; second++) {
        const state = sharedState()
        for (const endAt of [first, second]) {
          try {
            live(state, tickCount, endAt)
          } catch (error) {
            if (!(error instanceof Ended)) throw error
          }
        }
        // Undisturbed lives, until no frame is left.
        for (let life = 0; life < 3; life++) live(state, tickCount, Number.POSITIVE_INFINITY)
        const ring = new FrameRingConsumer(state.frames)
        const groups = 2
        const where = `ended at ${first} and ${second}`
        if (ring.poll()) t.fail(`a frame is left: ${where}`)
        const published = new TickRingProducer(state.ticks, 5, []).seq - 5
        if (published !== groups * tickCount) t.fail(`${published} records: ${where}`)
        if (!state.counters.every((n) => n === groups)) t.fail(`${state.counters}: ${where}`)
      }
    }
    t.pass(`${steps * steps} pairs of ends`)
  })
}

t.test('nothing is pending at first, nor when a group is done', async (t) => {
  const commit = new GroupCommit(new SharedArrayBuffer(GroupCommit.bytes(1)), 1)
  t.equal(commit.pending(0), undefined)
  commit.prepare(7, { input: 1, framePosition: 64, source: 2 })
  t.equal(commit.pending(6), undefined, 'not published: the group is done again')
  t.same(commit.pending(7), { input: 1, framePosition: 64, source: 2 })
  commit.done()
  t.equal(commit.pending(7), undefined)
})

t.test('a position is passed over once, and never backward', async (t) => {
  const state = sharedState()
  const ring = new FrameRingConsumer(state.frames)
  ring.poll()
  ring.keep()
  const position = ring.keptPosition
  const next = new FrameRingConsumer(state.frames)
  next.passOver(position)
  next.passOver(position - 8)
  next.poll()
  t.equal(Buffer.from(next.bytes.slice(next.start, next.end)).toString(), 'frame 1')
})

t.test('frames whose work went well are no suspects when the thread ends later', async (t) => {
  const state = sharedState()
  const first = new FrameRingConsumer(state.frames)
  first.poll()
  t.equal(first.beginAttempt(), 1)
  first.keep()
  first.endAttempts()
  const second = new FrameRingConsumer(state.frames)
  second.poll()
  t.notOk(second.recovering)
  t.equal(second.beginAttempt(), 1, 'not the second time')
})
