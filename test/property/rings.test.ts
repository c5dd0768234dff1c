// Rings against simple models: any order of operations, from positions near the wrap-around.

import fc from 'fast-check'
import t from 'tap'
import { type FrameMeta, FrameRingConsumer, FrameRingProducer } from '../../src/ring/frame-ring.ts'
import { FRAME_WORD, frameRingBytes, frameSize } from '../../src/ring/frame-ring-layout.ts'
import { TickRingConsumer, TickRingLapper, TickRingProducer } from '../../src/ring/tick-ring.ts'
import { createTickRing } from '../../src/ring/tick-ring-layout.ts'
import { TickBatch } from '../../src/tick/batch.ts'
import { TICK_BYTES, TICK_WORDS } from '../../src/tick/layout.ts'

const seed = Number(process.env.TICKD_SEED ?? Date.now() % 2 ** 31)
t.comment(`TICKD_SEED=${seed}`)
const RUNS = { seed, numRuns: 300 }
const FRAME_CAPACITY = 512
const TICK_CAPACITY = 32

const frameStart = fc.constantFrom(0, 2 ** 31 - 512, 2 ** 31 - 8, 2 ** 32 - 64, 2 ** 32 - 8)
const firstSeqs = fc.constantFrom(0, 2 ** 31 - 9, 2 ** 32 - 9, 2 ** 47 - 9, 2 ** 40 + 2 ** 31)

type FrameStep =
  | { do: 'write'; size: number }
  | { do: 'poll' | 'keep' | 'release' | 'restart' | 'restart producer' }

const frameSteps = fc.array(
  fc.oneof(
    { weight: 4, arbitrary: fc.record({ do: fc.constant('write' as const), size: fc.nat(224) }) },
    {
      weight: 4,
      arbitrary: fc.record({
        do: fc.constantFrom('poll', 'keep', 'release', 'restart', 'restart producer'),
      }),
    },
  ),
  { maxLength: 200 },
) as fc.Arbitrary<FrameStep[]>

/** Frames written and not released, oldest first; the first `kept` of them are kept. */
interface FrameModel {
  /** taken: bytes in the ring, with the pad before it. */
  frames: { token: number; size: number; taken: number }[]
  position: number
  kept: number
  written: number
}

t.test('a frame ring is a bounded queue of frames, whatever the order of operations', async (t) => {
  fc.assert(
    fc.property(frameStart, frameSteps, (start, steps) => {
      const memory = new SharedArrayBuffer(frameRingBytes(FRAME_CAPACITY))
      const words = new Int32Array(memory)
      words[FRAME_WORD.producerPosition] = start | 0
      words[FRAME_WORD.consumerPosition] = start | 0
      const ends = {
        producer: new FrameRingProducer(memory),
        consumer: new FrameRingConsumer(memory),
      }
      const model: FrameModel = { frames: [], position: start, kept: 0, written: 0 }
      for (const step of steps) frameStep(memory, ends, model, step)
    }),
    RUNS,
  )
  t.pass(`${RUNS.numRuns} runs`)
})

function frameStep(
  memory: SharedArrayBuffer,
  ends: { producer: FrameRingProducer; consumer: FrameRingConsumer },
  model: FrameModel,
  step: FrameStep,
): void {
  const { consumer } = ends
  if (step.do === 'write') {
    const token = model.written
    const done = ends.producer.tryWrite(metaOf(token), payloadOf(token, step.size), 0, step.size)
    const toEnd = FRAME_CAPACITY - (model.position % FRAME_CAPACITY)
    const pad = frameSize(step.size) > toEnd ? toEnd : 0
    const taken = frameSize(step.size) + pad
    const used = model.frames.reduce((sum, frame) => sum + frame.taken, 0)
    must(done === used + taken <= FRAME_CAPACITY, 'written exactly when there is room')
    if (done) {
      model.frames.push({ token, size: step.size, taken })
      model.position += taken
      model.written++
    }
  } else if (step.do === 'restart') {
    ends.consumer = new FrameRingConsumer(memory)
    model.kept = 0
  } else if (step.do === 'restart producer') {
    ends.producer = new FrameRingProducer(memory)
  } else {
    const next = model.frames[model.kept]
    must(consumer.poll() === (next !== undefined), 'a frame is there when one was written')
    if (next === undefined) return
    must(consumer.meta.token === next.token, 'frames come in order')
    const bytes = consumer.bytes.subarray(consumer.start, consumer.end)
    must(Buffer.compare(bytes, payloadOf(next.token, next.size)) === 0, 'bytes are whole')
    if (step.do === 'keep') {
      consumer.keep()
      model.kept++
    } else if (step.do === 'release') {
      consumer.release()
      model.frames.splice(0, model.kept + 1)
      model.kept = 0
    }
  }
}

type TickStep =
  | { do: 'publish'; count: number }
  | { do: 'advance'; slot: number; count: number }
  | { do: 'read'; count: number }
  | { do: 'restart' }

const tickSteps = fc.array(
  fc.oneof(
    {
      weight: 4,
      arbitrary: fc.record({
        do: fc.constant('publish' as const),
        count: fc.integer({ min: 1, max: TICK_CAPACITY }),
      }),
    },
    {
      weight: 4,
      arbitrary: fc.record({
        do: fc.constant('advance' as const),
        slot: fc.nat(1),
        count: fc.nat(TICK_CAPACITY),
      }),
    },
    {
      weight: 3,
      arbitrary: fc.record({
        do: fc.constant('read' as const),
        count: fc.integer({ min: 1, max: TICK_CAPACITY }),
      }),
    },
    { weight: 1, arbitrary: fc.record({ do: fc.constant('restart' as const) }) },
  ),
  { maxLength: 200 },
) as fc.Arbitrary<TickStep[]>

t.test(
  'a tick ring shows each gating consumer every record, and counts a lapper’s losses',
  async (t) => {
    fc.assert(
      fc.property(firstSeqs, fc.boolean(), tickSteps, (firstSeq, gated, steps) => {
        const model = new TickModel(firstSeq, gated)
        for (const step of steps) model.step(step)
      }),
      RUNS,
    )
    t.pass(`${RUNS.numRuns} runs`)
  },
)

class TickModel {
  readonly #memory: SharedArrayBuffer
  readonly #firstSeq: number
  readonly #slots: number[]
  #producer: TickRingProducer
  #consumers: TickRingConsumer[]
  readonly #lapper: TickRingLapper
  #published: number
  readonly #read: number[]

  constructor(firstSeq: number, gated: boolean) {
    this.#firstSeq = firstSeq
    this.#slots = gated ? [0, 1] : []
    this.#memory = createTickRing(TICK_CAPACITY, firstSeq)
    this.#producer = new TickRingProducer(this.#memory, firstSeq, this.#slots)
    this.#consumers = this.#attach()
    this.#lapper = new TickRingLapper(this.#memory, firstSeq)
    this.#published = firstSeq
    this.#read = this.#slots.map(() => firstSeq)
  }

  step(step: TickStep): void {
    if (step.do === 'publish') this.#publish(step.count)
    else if (step.do === 'advance') this.#advance(step.slot, step.count)
    else if (step.do === 'read') this.#lap(step.count)
    else {
      this.#producer = new TickRingProducer(this.#memory, this.#firstSeq, this.#slots)
      this.#consumers = this.#attach()
    }
  }

  #attach(): TickRingConsumer[] {
    return this.#slots.map((slot) => new TickRingConsumer(this.#memory, slot, this.#firstSeq))
  }

  #publish(count: number): void {
    const batch = new TickBatch(count)
    for (let i = 0; i < count * TICK_WORDS; i++) {
      batch.words[i] = this.#published + Math.floor(i / TICK_WORDS)
    }
    const slowest = Math.min(this.#published, ...this.#read)
    const fits = this.#published - slowest + count <= TICK_CAPACITY
    must(this.#producer.seq === this.#published, 'the producer knows its sequence')
    const seq = this.#producer.publish(batch, 0, count)
    must(seq === (fits ? this.#published : -1), 'published exactly when all consumers have room')
    if (fits) this.#published += count
  }

  #advance(slot: number, atMost: number): void {
    const consumer = this.#consumers[slot]
    const read = this.#read[slot]
    if (consumer === undefined || read === undefined) return
    must(consumer.seq === read, 'a consumer knows its sequence')
    must(consumer.available() === this.#published - read, 'all that is published can be read')
    const count = Math.min(atMost, consumer.run())
    const words = new Int32Array(count * TICK_WORDS)
    const at = consumer.offset()
    new Uint8Array(words.buffer).set(consumer.bytes.subarray(at, at + count * TICK_BYTES))
    must(isRun(words, read, count), 'records are whole')
    consumer.advance(count)
    this.#read[slot] = read + count
  }

  #lap(capacity: number): void {
    const lapper = this.#lapper
    const before = { seq: lapper.seq, lost: lapper.lostCount }
    const lag = this.#published - before.seq
    const out = new TickBatch(capacity)
    const seq = lapper.read(out)
    must(seq - before.seq === lapper.lostCount - before.lost, 'losses are exact')
    const lost = lag > TICK_CAPACITY ? lag - TICK_CAPACITY / 2 : 0
    must(lapper.lostCount - before.lost === lost, 'lost only when lapped')
    must(out.count === Math.min(capacity, lag - lost), 'all there is, up to the room')
    must(isRun(out.words, seq, out.count), 'records are whole')
    must(lapper.seq === seq + out.count, 'the next read goes on behind')
  }
}

function metaOf(token: number): FrameMeta {
  return { source: 1, format: 1, flags: 0, token, recvSec: 0, recvNsec: 0 }
}

function payloadOf(token: number, size: number): Uint8Array {
  return Uint8Array.from({ length: size }, (_, i) => (token * 31 + i) & 0xff)
}

function isRun(words: Int32Array, seq: number, count: number): boolean {
  for (let i = 0; i < count * TICK_WORDS; i++) {
    if (words[i] !== ((seq + Math.floor(i / TICK_WORDS)) | 0)) return false
  }
  return true
}

function must(condition: boolean, rule: string): void {
  if (!condition) throw new Error(rule)
}
