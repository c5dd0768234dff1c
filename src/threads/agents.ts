// Plan -> agent: gives each stage's agent what it needs from the shared memory. Only here and in
// the make-*.ts beside it do stages meet; no stage knows another.
//
// A thread loads the modules of its own stages and no others: the journal's has no use for a
// PostgreSQL client, and loading all of them took each thread half a second of a start.

import { join } from 'node:path'
import type { Clock } from '../clock.ts'
import type { IncidentReport } from '../ops/incidents.ts'
import type { Log } from '../ops/log.ts'
import type { AskAny } from '../ops/questions.ts'
import type { FrameProducer, StageName } from '../pipeline.ts'
import type { Doorbell } from '../ring/doorbell.ts'
import { FeedbackReceiver } from '../ring/feedback.ts'
import { FrameRingProducer } from '../ring/frame-ring.ts'
import type { SubscriberAccount } from '../serve/feed/account.ts'
import type { Agent } from './agent.ts'
import { Lifecycle } from './lifecycle.ts'
import { type AgentPlan, type ThreadPlan, threadOf } from './plan.ts'
import type { Runtime } from './runtime.ts'
import type { ShardMemory, Shared } from './shared-memory.ts'
import { type TestFault, withFault } from './test-faults.ts'

export interface FactoryOptions {
  readonly runtime: Runtime
  readonly shared: Shared
  readonly threads: readonly ThreadPlan[]
  readonly clock: Clock
  readonly log: (roleName: string) => Log
  /** Runs a duty cycle of this thread soon. */
  readonly wake: () => void
  /** Tells the supervisor of a bound listener. */
  readonly announce: (name: string, address: string) => void
  /** Ports of listeners that were bound before, by name: an agent made anew binds the same. */
  readonly ports?: Map<string, number> | undefined
  /** For tests of supervision. */
  readonly faults?: readonly TestFault[] | undefined
  /** Raises an incident: what an operator must know of. For rare events; any thread. */
  readonly raise: (report: IncidentReport) => void
  /** Asks the main thread; only agents with an event loop hear the answer. */
  readonly ask: AskAny
  /** Who on this thread tells main of subscribers' accounts when main asks (roll-call.ts). */
  readonly tellsAccounts?: (tell: TellAccounts) => void
}

/** Of the serve agent of that role, accounts of up to `max` subscribers. */
export type TellAccounts = (max: number) => {
  readonly role: string
  readonly subscribers: readonly SubscriberAccount[]
}

/** Makes an agent of one stage. */
type Make = (factory: AgentFactory, instance: number, log: Log) => Agent

export type Makers = ReadonlyMap<StageName, Make>

const MAKERS: Readonly<Record<StageName, () => Promise<Make>>> = {
  source: async () => (await import('./make-source.ts')).makeSourceAgent,
  decode: async () => (await import('./make-decode.ts')).makeDecodeAgent,
  journal: async () => (await import('./make-journal.ts')).makeJournalAgent,
  aggregate: async () => (await import('./make-aggregate.ts')).makeAggregateAgent,
  postgres: async () => (await import('./make-postgres.ts')).makePostgresAgent,
  redis: async () => (await import('./make-redis.ts')).makeRedisAgent,
  serve: async () => (await import('./make-serve.ts')).makeServeAgent,
}

/** Loads what makes the agents of these stages. */
export async function loadMakers(stages: readonly StageName[]): Promise<Makers> {
  const load = async (stage: StageName) => [stage, await MAKERS[stage]()] as const
  return new Map(await Promise.all([...new Set(stages)].map(load)))
}

export class AgentFactory {
  readonly options: FactoryOptions
  readonly #makers: Makers

  constructor(options: FactoryOptions, makers: Makers) {
    this.options = options
    this.#makers = makers
  }

  /** A fresh agent for this place in the plan; called again after a crash. */
  make(plan: AgentPlan): Agent {
    const { shared, clock, faults = [] } = this.options
    const make = this.#makers.get(plan.stage)
    if (make === undefined) throw new Error(`the maker of stage ${plan.stage} is not loaded`)
    const agent = make(this, plan.instance, this.options.log(plan.roleName))
    const life = new Lifecycle(shared.memory.lifecycle, plan.slot).restarts
    return faults.length === 0 ? agent : withFault(agent, faults, life, clock)
  }

  /** The port to bind: the one that was bound before, where any free one would do. */
  portOf(name: string, configured: number): number {
    return configured === 0 ? (this.options.ports?.get(name) ?? 0) : configured
  }

  /** Tells the supervisor, and our successors on this thread. */
  readonly announce = (name: string, address: string): void => {
    this.options.ports?.set(name, Number(/\d+$/.exec(address)?.[0] ?? 0))
    this.options.announce(name, address)
  }

  /** The doorbell of the thread on which a role runs; undefined when the role does not exist. */
  bell(stage: AgentPlan['stage'], instance = 0): Doorbell | undefined {
    const thread = threadOf(this.options.threads, stage, instance)
    return thread === undefined ? undefined : this.options.shared.bell(thread)
  }

  /** The doorbells of several roles; a thread with several of them is rung once. */
  bells(roles: readonly [stage: AgentPlan['stage'], instance: number][]): Doorbell[] {
    const threads = new Set(
      roles.map(([stage, instance]) => threadOf(this.options.threads, stage, instance)),
    )
    return [...threads].flatMap((t) => (t === undefined ? [] : [this.options.shared.bell(t)]))
  }

  /** All serve agents, for `bells`. */
  serveRoles(): [stage: 'serve', instance: number][] {
    const { serveThreads } = this.options.shared.memory
    return Array.from({ length: serveThreads }, (_, instance) => ['serve', instance])
  }

  /** The producer's end of its frame rings, by shard. */
  producerRings(producer: FrameProducer, instance = 0) {
    return this.shards().map((_, shard) => {
      const { frames, feedback } = this.options.shared.way(shard, producer, instance)
      return {
        producer: new FrameRingProducer(frames, this.bell('decode', shard)),
        feedback: new FeedbackReceiver(feedback),
      }
    })
  }

  /** Index of a source in the configuration, by its name. */
  sourceName(index: number): string {
    return this.options.runtime.config.sources[index]?.name ?? ''
  }

  journalDirectory(shard: number): string {
    return join(this.options.runtime.paths.journal, `shard-${shard}`)
  }

  shards(): readonly ShardMemory[] {
    return this.options.shared.memory.shards
  }
}
