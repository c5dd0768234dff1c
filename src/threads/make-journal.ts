// The journal agent of a shard, from the shared memory.

import { JournalAgent } from '../journal/agent.ts'
import { SEQ_MAX } from '../limits.ts'
import type { Log } from '../ops/log.ts'
import { GATING_SLOT, POSITION } from '../pipeline.ts'
import { TickRingConsumer } from '../ring/tick-ring.ts'
import type { Agent } from './agent.ts'
import type { AgentFactory } from './agents.ts'

export function makeJournalAgent(factory: AgentFactory, shard: number, log: Log): Agent {
  const { runtime, shared, clock } = factory.options
  const { ticks, marks, epoch, identity } = shared.shard(shard)
  const near = shared.nearSeq(shard)
  const postgres = shared.position(shard, POSITION.postgres)
  const flushed = shared.position(shard, POSITION.postgresFlushed)
  return new JournalAgent({
    shard,
    directory: factory.journalDirectory(shard),
    epoch,
    identity,
    settings: runtime.config.journal,
    ring: new TickRingConsumer(ticks, GATING_SLOT.journal, near, factory.bell('decode', shard)),
    marks: new TickRingConsumer(marks, GATING_SLOT.journal, 0, factory.bell('decode', shard)),
    positions: {
      written: shared.position(shard, POSITION.written),
      durable: shared.position(shard, POSITION.durable),
      oldest: shared.position(shard, POSITION.oldest),
    },
    // What the database has answered it may still lose, until it is on its disk.
    storedSeq: () => (postgres.load() === SEQ_MAX ? SEQ_MAX : flushed.load()),
    bells: factory.bells([['postgres', shard], ['source', 0], ...factory.serveRoles()]),
    clock,
    log,
    counters: shared.counters('journal', String(shard)),
    raise: factory.options.raise,
  })
}
