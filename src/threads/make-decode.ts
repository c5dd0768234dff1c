// The decode agent of a shard, from the shared memory.

import { join } from 'node:path'
import { DecodeAgent, type DecodeCounters } from '../decode/agent.ts'
import type { Decoder } from '../decode/decoder.ts'
import { createDecoder, isFrameFormat } from '../decode/formats.ts'
import type { Log } from '../ops/log.ts'
import { FRAME_PRODUCERS, GATING_SLOT } from '../pipeline.ts'
import { FeedbackSender } from '../ring/feedback.ts'
import { FrameRingConsumer } from '../ring/frame-ring.ts'
import { TickRingProducer } from '../ring/tick-ring.ts'
import { DeadLetterStore } from '../validate/dead-letters.ts'
import { Validator } from '../validate/rules.ts'
import type { Agent } from './agent.ts'
import type { AgentFactory } from './agents.ts'

export function makeDecodeAgent(factory: AgentFactory, shard: number, log: Log): Agent {
  const { runtime, shared, clock } = factory.options
  const { config, paths } = runtime
  const memory = shared.shard(shard)
  const { instruments } = shared
  const decoders = (source: number, format: number): Decoder | undefined => {
    if (!isFrameFormat(format)) return undefined
    const settings = config.sources[source]
    const venue = settings !== undefined && 'venue' in settings ? settings.venue : ''
    return createDecoder(format, { venue, instruments })
  }
  const counters = config.sources.map(({ name }) => shared.counters('decode', name))
  return new DecodeAgent({
    shard,
    inputs: FRAME_PRODUCERS.map((producer) => ({
      ring: new FrameRingConsumer(memory.frames[producer], factory.bell(producer)),
      feedback: new FeedbackSender(memory.feedback[producer], factory.bell(producer)),
    })),
    ticks: new TickRingProducer(
      memory.ticks,
      memory.firstSeq,
      Object.values(GATING_SLOT),
      factory.bells([
        ['journal', shard],
        ['aggregate', 0],
        ['serve', 0],
      ]),
    ),
    decoders,
    validator: new Validator({ config: config.validate, instruments }),
    deadLetters: new DeadLetterStore({
      directory: join(paths.deadLetters, `shard-${shard}`),
      config: config.dead_letters,
      sources: config.sources.map(({ name }) => name),
      counters: shared.counters('dead_letters', String(shard)),
      log,
    }),
    counters: (source) => counters[source] as DecodeCounters,
    clock,
    log,
  })
}
