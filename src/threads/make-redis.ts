// The Redis agent, from the shared memory.

// With the thread's other modules, not when the agent connects (connection.ts): that is waited for.
import 'ioredis'
import type { Log } from '../ops/log.ts'
import { RedisAgent } from '../storage/redis/agent.ts'
import { externalTarget, type RedisTarget } from '../storage/redis/config.ts'
import type { Agent } from './agent.ts'
import type { AgentFactory } from './agents.ts'

export function makeRedisAgent(factory: AgentFactory, _shard: number, log: Log): Agent {
  const { runtime, shared, clock, wake } = factory.options
  const { redis } = runtime.config
  return new RedisAgent({
    config: redis,
    // Looked up at each attempt to connect: a password file may have been written anew.
    target: () =>
      redis.mode === 'external' ? externalTarget(redis) : (runtime.redisTarget as RedisTarget),
    latest: shared.latest,
    notice: shared.notice,
    instruments: shared.instruments,
    clock,
    log,
    counters: shared.counters('redis'),
    board: shared.breaker('redis'),
    wake,
  })
}
