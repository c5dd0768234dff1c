// The dead letters of an agent that writes some, from the shared memory.

import { join } from 'node:path'
import type { Log } from '../ops/log.ts'
import { DeadLetterStore } from '../validate/dead-letters.ts'
import type { AgentFactory } from './agents.ts'

/**
 * The dead letters of one writing thread: `shard-<n>` for decode, `store-<n>` for the database
 * writer of a shard. Its owner calls `flush` now and then, and `close`.
 */
export function makeDeadLetters(factory: AgentFactory, series: string, log: Log): DeadLetterStore {
  const { config, paths } = factory.options.runtime
  return new DeadLetterStore({
    directory: join(paths.deadLetters, series),
    config: config.dead_letters,
    sources: config.sources.map(({ name }) => name),
    counters: factory.options.shared.counters('dead_letters', series.replace('shard-', '')),
    log,
  })
}
