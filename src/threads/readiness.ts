// Is the daemon ready, and what of each dependency? Read from shared memory by any thread.
//
// Ready = every agent runs and the journal takes records: ticks come in, become durable, go out.
// A database or cache that is away makes it `degraded`, and not unready: ingest and feed go on, and
// a daemon that were taken out of service would answer nobody. It shows as its own dependency, with
// its lag and its circuit breaker.

import { SEQ_MAX } from '../limits.ts'
import { POSITION } from '../pipeline.ts'
import { type BreakerReport, breakerReport } from '../storage/breaker.ts'
import { Lifecycle, STATE, STATE_NAMES } from './lifecycle.ts'
import type { ThreadPlan } from './plan.ts'
import { historyBreaker, type Shared } from './shared-memory.ts'

export interface Dependency extends Partial<BreakerReport> {
  readonly ready: boolean
  readonly detail: string
  /** Records durable in the journal and not yet there. */
  readonly lag?: number
}

export interface Readiness {
  /** Ticks come in, become durable, go out: what the status code says. */
  readonly ready: boolean
  /** degraded: ready, and a dependency is not. */
  readonly status: 'ready' | 'degraded' | 'unready'
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
      detail: holding ? heldBack(shared, shard) : `durable to ${durable}`,
      lag: Math.max(0, written - durable),
    }
    isHeld ||= holding
    dependencies[`postgres-${shard}`] = postgresDependency(shared, shard, durable)
  })
  const redisOn = threads.some((thread) => thread.agents.some(({ stage }) => stage === 'redis'))
  dependencies.redis = redisOn
    ? connection(shared, 'redis', shared.counters('redis').get('connected') === 1)
    : { ready: true, detail: 'off' }
  for (let instance = 0; instance < shared.memory.serveThreads; instance++) {
    const name = historyBreaker(instance)
    const history = breakerReport(shared.breaker(name))
    if (history.since === undefined) continue
    const detail = 'HTTP queries, replays of the feed'
    dependencies[name] = { ready: history.state === 'closed', detail, ...history }
  }
  const ready = agents.ready && !isHeld
  const isWhole = Object.values(dependencies).every((dependency) => dependency.ready)
  return { ready, status: ready ? (isWhole ? 'ready' : 'degraded') : 'unready', dependencies }
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
  const dependency = connection(shared, `postgres-${shard}`, connected)
  // Until it has told its position, that is 0, and a journal may begin far beyond.
  const from = Math.max(stored, shared.position(shard, POSITION.oldest).load())
  return { ...dependency, lag: Math.max(0, durable - from) }
}

/** Usable = connected, and its breaker lets work through. */
function connection(shared: Shared, name: string, connected: boolean): Dependency {
  const report = breakerReport(shared.breaker(name))
  return {
    ready: connected && report.state === 'closed',
    detail: connected ? 'connected' : 'not connected',
    ...report,
  }
}

function heldBack(shared: Shared, shard: number): string {
  const isBudget = shared.counters('journal', String(shard)).get('over_budget') === 1
  return isBudget
    ? 'the journal has reached its budget of the disk: ingest is held back'
    : 'the disk takes no more: ingest is held back'
}
