// The agents of the stores, from the shared memory.

import type { Log } from '../ops/log.ts'
import { POSITION } from '../pipeline.ts'
import { PostgresAgent } from '../storage/postgres/agent.ts'
import { RedisAgent } from '../storage/redis/agent.ts'
import type { Agent } from './agent.ts'
import type { AgentFactory } from './agents.ts'

export function makePostgresAgent(factory: AgentFactory, shard: number, log: Log): Agent {
  const { runtime, shared, clock, wake } = factory.options
  const durable = shared.position(shard, POSITION.durable)
  const oldest = shared.position(shard, POSITION.oldest)
  return new PostgresAgent({
    shard,
    config: runtime.config.postgres,
    url: () => runtime.postgresUrl,
    openReader: (fromSeq) => factory.openReader(shard, fromSeq),
    durable: () => durable.load(),
    oldest: () => oldest.load(),
    stored: shared.position(shard, POSITION.postgres),
    instruments: shared.instruments,
    clock,
    log,
    counters: shared.counters('postgres', String(shard)),
    wake,
  })
}

export function makeRedisAgent(factory: AgentFactory, log: Log): Agent {
  const { runtime, shared, clock, wake } = factory.options
  return new RedisAgent({
    config: runtime.config.redis,
    url: () => runtime.redisUrl,
    latest: shared.latest,
    instruments: shared.instruments,
    clock,
    log,
    counters: shared.counters('redis'),
    wake,
  })
}
