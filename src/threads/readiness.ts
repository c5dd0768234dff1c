// Is the daemon ready, and what of each dependency? Read from shared memory by any thread.
//
// Ready = every agent runs and the journal takes records: ticks come in, become durable, go out.
// A database or cache that is away does not make the daemon unready (ingest and feed go on): it
// shows as its own dependency with its lag.

import { SEQ_MAX } from '../limits.ts'
import { POSITION } from '../pipeline.ts'
import { Lifecycle, STATE, STATE_NAMES } from './lifecycle.ts'
import type { ThreadPlan } from './plan.ts'
import type { Shared } from './shared-memory.ts'

export interface Dependency {
  readonly ready: boolean
  readonly detail: string
  /** Records durable in the journal and not yet there. */
  readonly lag?: number
}

export interface Readiness {
  readonly ready: boolean
  readonly dependencies: Readonly<Record<string, Dependency>>
}

export function readiness(shared: Shared, threads: readonly ThreadPlan[]): Readiness {
  const agents = agentsDependency(shared, threads)
  const dependencies: Record<string, Dependency> = { agents }
  let isHeld = false
  shared.memory.shards.forEach((_, shard) => {
    const written = shared.position(shard, POSITION.written).load()
    const durable = shared.position(shard, POSITION.durable).load()
    const holding = shared.counters('journal', String(shard)).get('holding') === 1
    dependencies[`journal-${shard}`] = {
      ready: !holding,
      detail: holding ? 'the disk is full: ingest is held back' : `durable to ${durable}`,
      lag: Math.max(0, written - durable),
    }
    isHeld ||= holding
    dependencies[`postgres-${shard}`] = postgresDependency(shared, shard, durable)
  })
  const redisOn = threads.some((thread) => thread.agents.some(({ stage }) => stage === 'redis'))
  dependencies.redis = redisOn
    ? connection(shared.counters('redis').get('connected') === 1)
    : { ready: true, detail: 'off' }
  return { ready: agents.ready && !isHeld, dependencies }
}

function agentsDependency(shared: Shared, threads: readonly ThreadPlan[]): Dependency {
  const waiting: string[] = []
  for (const agent of threads.flatMap((thread) => thread.agents)) {
    const { state } = new Lifecycle(shared.memory.lifecycle, agent.slot)
    if (state !== STATE.running) waiting.push(`${agent.roleName} is ${STATE_NAMES[state]}`)
  }
  return { ready: waiting.length === 0, detail: waiting.join(', ') || 'all running' }
}

function postgresDependency(shared: Shared, shard: number, durable: number): Dependency {
  const stored = shared.position(shard, POSITION.postgres).load()
  if (stored === SEQ_MAX) return { ready: true, detail: 'off' }
  const connected = shared.counters('postgres', String(shard)).get('connected') === 1
  return { ...connection(connected), lag: Math.max(0, durable - stored) }
}

function connection(connected: boolean): Dependency {
  return { ready: connected, detail: connected ? 'connected' : 'not connected' }
}
