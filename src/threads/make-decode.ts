// The decode agent of a shard, from the shared memory.

import { DecodeAgent, type DecodeCounters } from '../decode/agent.ts'
import { BookRequests } from '../decode/book-requests.ts'
import type { Decoder } from '../decode/decoder.ts'
import { createDecoder, isFrameFormat } from '../decode/formats.ts'
import { PoisonList } from '../decode/poison-list.ts'
import { PushedBatches } from '../decode/pushed-batches.ts'
import { counterNames } from '../ops/counter-catalog.ts'
import type { Log } from '../ops/log.ts'
import { GATING_SLOT } from '../pipeline.ts'
import { FeedbackReceiver, FeedbackSender } from '../ring/feedback.ts'
import { FrameRingConsumer } from '../ring/frame-ring.ts'
import { GroupCommit } from '../ring/group-commit.ts'
import { TickRingProducer } from '../ring/tick-ring.ts'
import { Validator } from '../validate/rules.ts'
import type { Agent } from './agent.ts'
import type { AgentFactory } from './agents.ts'
import { makeDeadLetters } from './make-dead-letters.ts'
import { batchIdsFor } from './planted-bugs.ts'
import { withPoison } from './test-faults.ts'

export function makeDecodeAgent(factory: AgentFactory, shard: number, log: Log): Agent {
  const { runtime, shared, clock } = factory.options
  const { config } = runtime
  const memory = shared.shard(shard)
  const { instruments } = shared
  const decoders = (source: number, format: number): Decoder | undefined => {
    if (!isFrameFormat(format)) return undefined
    const settings = config.sources[source]
    const venue = settings !== undefined && 'venue' in settings ? settings.venue : ''
    return withPoison(createDecoder(format, { venue, instruments }), factory.options.faults ?? [])
  }
  const counters = config.sources.map(({ name }) => shared.counters('decode', name))
  const inputs = memory.ways.map(({ producer, instance, frames, feedback }) => {
    // Who drives dead letters again looks for room and receipts by itself.
    const bell = producer === 'letters' ? undefined : factory.bell(producer, instance)
    return {
      producer,
      ring: new FrameRingConsumer(frames, bell),
      feedback: new FeedbackSender(feedback, bell),
    }
  })
  const source = inputs.find(({ producer }) => producer === 'source')?.feedback as FeedbackSender
  const ticks = new TickRingProducer(
    memory.ticks,
    shared.nearSeq(shard),
    Object.values(GATING_SLOT),
    factory.bells([['journal', shard], ['aggregate', 0], ...factory.serveRoles()]),
  )
  return new DecodeAgent({
    shard,
    inputs,
    isSuccessor: ticks.seq > memory.firstSeq,
    bookRequests: new BookRequests({
      wanted: memory.wantedBooks.map((wanted) => new FeedbackReceiver(wanted)),
      source,
    }),
    ticks,
    poison: new PoisonList(memory.poison),
    onPoison: (source, frameBytes) => {
      const name = config.sources[source]?.name
      factory.options.raise({
        kind: 'poison_frame',
        severity: 'warning',
        summary: `a frame of source ${name} crashed decode twice and is a dead letter`,
        evidence: { shard, source: name, frameBytes },
      })
    },
    commit: new GroupCommit(memory.groups, counterNames('decode').length),
    decoders,
    batches: new PushedBatches({
      marks: new TickRingProducer(memory.marks, 0, [GATING_SLOT.journal]),
      ids: batchIdsFor(factory.options.faults, memory.batchIds, config.journal.batch_ids),
    }),
    validator: new Validator({ config: config.validate, instruments }),
    deadLetters: makeDeadLetters(factory, `shard-${shard}`, log),
    counters: (source) => counters[source] as DecodeCounters,
    clock,
    log,
  })
}
