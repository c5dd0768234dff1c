import { once } from 'node:events'
import { createServer } from 'node:net'
import t, { type Test } from 'tap'
import { SimulatedClock } from '../../../src/clock.ts'
import { configSchema } from '../../../src/config/schema.ts'
import { venueNamed } from '../../../src/decode/venues.ts'
import { counterNames } from '../../../src/ops/counter-catalog.ts'
import { CounterSet } from '../../../src/ops/counters.ts'
import { silentLog } from '../../../src/ops/log.ts'
import { FeedbackReceiver, FeedbackSender } from '../../../src/ring/feedback.ts'
import { FrameRingConsumer, FrameRingProducer } from '../../../src/ring/frame-ring.ts'
import { frameRingBytes } from '../../../src/ring/frame-ring-layout.ts'
import { SourceAgent, type SourceAgentOptions } from '../../../src/source/agent.ts'
import type { SourceCounters } from '../../../src/source/source.ts'
import { InstrumentTable } from '../../../src/tick/instruments.ts'
import { emptyJournal } from '../../support/source-bench.ts'

const CAPACITY = 64
const RING_BYTES = 256 * 1024

function setUp(t: Test, sources: object[], shards = 1) {
  const clock = new SimulatedClock()
  const counters: SourceCounters[] = sources.map(() => new CounterSet(counterNames('source')))
  const memories = Array.from({ length: shards }, () => ({
    frames: new SharedArrayBuffer(frameRingBytes(RING_BYTES)),
    feedback: new SharedArrayBuffer(frameRingBytes(RING_BYTES)),
  }))
  const listening: string[] = []
  const options: SourceAgentOptions = {
    sources: configSchema.parse({ sources, shards }).sources,
    rings: memories.map(({ frames, feedback }) => ({
      producer: new FrameRingProducer(frames),
      feedback: new FeedbackReceiver(feedback),
      journal: emptyJournal,
    })),
    instruments: new InstrumentTable(InstrumentTable.create(CAPACITY), CAPACITY),
    clock,
    log: silentLog,
    counters: (index) => counters[index] as SourceCounters,
    wake: () => {},
    venueNamed,
    onListening: (name) => listening.push(name),
  }
  const agent = new SourceAgent(options)
  t.teardown(() => agent.onClose())
  return {
    agent,
    clock,
    counters,
    listening,
    consumers: memories.map(({ frames }) => new FrameRingConsumer(frames)),
    feedback: memories.map(({ feedback }) => new FeedbackSender(feedback)),
  }
}

const synthetic = (name: string, more: object = {}) => ({ name, type: 'synthetic', ...more })
const tcp = (name: string, port: number) => ({ name, type: 'tcp', listen: { port } })

t.test('each source puts its frames on the ring of its shard, under its index', async (t) => {
  const sources = [
    { name: 'push', type: 'http' },
    synthetic('a', { shard: 1 }),
    synthetic('b', { shard: 0, seed: 2 }),
  ]
  const { agent, clock, counters, consumers } = setUp(t, sources, 2)
  await agent.onStart()
  clock.advance(100)
  t.ok(agent.doWork() > 0)
  for (const [shard, index] of [
    [0, 2],
    [1, 1],
  ] as const) {
    const ring = consumers[shard] as FrameRingConsumer
    t.ok(ring.poll(), `shard ${shard}`)
    t.equal(ring.meta.source, index)
    t.equal(counters[index]?.get('frames'), 1)
  }
  t.equal(counters[0]?.get('frames'), 0, 'the http source is served elsewhere')
})

t.test('feedback is drained, whatever source it is for', async (t) => {
  const { agent, feedback } = setUp(t, [synthetic('a')])
  await agent.onStart()
  const [sender] = feedback as [FeedbackSender]
  const receipt = {
    token: 1,
    source: 0,
    firstSeq: 0,
    accepted: 1,
    duplicate: 0,
    rejected: 0,
    repeated: 0,
    isReused: false,
  }
  t.ok(sender.receipt(receipt))
  t.ok(sender.resync(0, 5))
  t.ok(sender.resync(99, 5), 'a source that is not there')
  t.ok(agent.doWork() >= 3)
})

t.test(
  'listeners are announced; a taken address stops the start and names its option',
  async (t) => {
    const first = setUp(t, [tcp('lines', 0)])
    await first.agent.onStart()
    t.same(first.listening, ['lines'])

    const other = createServer().listen(0, '127.0.0.1')
    await once(other, 'listening')
    t.teardown(() => other.close())
    const address = other.address()
    const port = address !== null && typeof address === 'object' ? address.port : 0
    const second = setUp(t, [synthetic('a'), tcp('lines', port)])
    await t.rejects(second.agent.onStart(), {
      code: 'ADDRESS_IN_USE',
      message: /sources\[1\]\.listen\.port/,
    })
  },
)

t.test('drain stops the intake and is done when nothing waits', async (t) => {
  const { agent, clock, consumers } = setUp(t, [synthetic('a', { rate: 100_000 })])
  await agent.onStart()
  clock.advance(1000)
  agent.doWork()
  t.notOk(agent.drain(), 'a chunk waits for room on the ring')
  const [ring] = consumers as [FrameRingConsumer]
  let frames = 0
  const takeAll = () => {
    while (ring.poll()) {
      ring.release()
      frames++
    }
  }
  takeAll()
  const before = frames
  clock.advance(1000)
  agent.doWork()
  t.ok(agent.drain())
  takeAll()
  t.equal(frames, before + 1, 'what waited went out, and nothing new was made')
})

t.test(
  'a venue without a decoder is wrong configuration, said before anything starts',
  async (t) => {
    const sources = [{ name: 'r', type: 'replay', venue: 'nowhere', paths: ['x'] }]
    t.throws(() => setUp(t, sources), { code: 'USAGE', message: /nowhere/ })
  },
)
