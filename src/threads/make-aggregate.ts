// The aggregate agent, from the shared memory.

import { AggregateAgent } from '../aggregate/agent.ts'
import type { Log } from '../ops/log.ts'
import { GATING_SLOT } from '../pipeline.ts'
import { TickRingConsumer } from '../ring/tick-ring.ts'
import type { Agent } from './agent.ts'
import type { AgentFactory } from './agents.ts'
import { latestTail } from './journal-readers.ts'

export function makeAggregateAgent(factory: AgentFactory, _shard: number, log: Log): Agent {
  const { shared } = factory.options
  const redis = factory.bell('redis')
  return new AggregateAgent({
    latest: shared.latest,
    onChange: () => {
      if (shared.notice.take()) redis?.ring()
    },
    counters: shared.counters('aggregate'),
    rings: factory.shards().map(({ ticks }, shard) => ({
      shard,
      consumer: new TickRingConsumer(
        ticks,
        GATING_SLOT.aggregate,
        shared.nearSeq(shard),
        factory.bell('decode', shard),
      ),
      tail: () => latestTail(factory, shard, log),
    })),
  })
}
