// Plan -> agent: gives each stage's agent what it needs from the shared memory. The only place
// where stages meet; no stage knows another.

import { join } from 'node:path'
import { AggregateAgent } from '../aggregate/agent.ts'
import type { Clock } from '../clock.ts'
import { venueNamed } from '../decode/venues.ts'
import { JournalAgent } from '../journal/agent.ts'
import { SEQ_MAX } from '../limits.ts'
import type { IncidentReport } from '../ops/incidents.ts'
import type { Log } from '../ops/log.ts'
import type { Ask } from '../ops/questions.ts'
import { type FrameProducer, GATING_SLOT, POSITION } from '../pipeline.ts'
import type { Doorbell } from '../ring/doorbell.ts'
import { FeedbackReceiver } from '../ring/feedback.ts'
import { FrameRingProducer } from '../ring/frame-ring.ts'
import { TickRingConsumer } from '../ring/tick-ring.ts'
import { SourceAgent } from '../source/agent.ts'
import { RawCapture } from '../source/raw-capture.ts'
import type { Agent } from './agent.ts'
import { latestTail } from './journal-readers.ts'
import { Lifecycle } from './lifecycle.ts'
import { makeDecodeAgent } from './make-decode.ts'
import { makeServeAgent } from './make-serve.ts'
import { makePostgresAgent, makeRedisAgent } from './make-stores.ts'
import { type AgentPlan, type ThreadPlan, threadOf } from './plan.ts'
import { durableFor } from './planted-bugs.ts'
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
  readonly ask: Ask
}

export class AgentFactory {
  readonly options: FactoryOptions

  constructor(options: FactoryOptions) {
    this.options = options
  }

  /** A fresh agent for this place in the plan; called again after a crash. */
  make(plan: AgentPlan): Agent {
    const { shared, clock, faults = [] } = this.options
    const agent = this.#make(plan)
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

  #make({ stage, shard, roleName }: AgentPlan): Agent {
    const log = this.options.log(roleName)
    switch (stage) {
      case 'source':
        return this.#source(log)
      case 'decode':
        return makeDecodeAgent(this, shard, log)
      case 'journal':
        return this.#journal(shard, log)
      case 'aggregate':
        return this.#aggregate(log)
      case 'postgres':
        return makePostgresAgent(this, shard, log)
      case 'redis':
        return makeRedisAgent(this, log)
      case 'serve':
        return makeServeAgent(this, log)
    }
  }

  /** The doorbell of the thread on which a role runs; undefined when the role does not exist. */
  bell(stage: AgentPlan['stage'], shard = 0): Doorbell | undefined {
    const thread = threadOf(this.options.threads, stage, shard)
    return thread === undefined ? undefined : this.options.shared.bell(thread)
  }

  /** The doorbells of several roles; a thread with several of them is rung once. */
  bells(roles: readonly [stage: AgentPlan['stage'], shard: number][]): Doorbell[] {
    const threads = new Set(
      roles.map(([stage, shard]) => threadOf(this.options.threads, stage, shard)),
    )
    return [...threads].flatMap((t) => (t === undefined ? [] : [this.options.shared.bell(t)]))
  }

  /** The producer's end of its frame rings, by shard. */
  producerRings(producer: FrameProducer) {
    return this.options.shared.memory.shards.map((memory, shard) => ({
      producer: new FrameRingProducer(memory.frames[producer], this.bell('decode', shard)),
      feedback: new FeedbackReceiver(memory.feedback[producer]),
    }))
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

  #source(log: Log): Agent {
    const { runtime, shared, clock, wake, faults } = this.options
    const { capture } = runtime.config
    return new SourceAgent({
      sources: runtime.config.sources.map((source) => {
        if (source.type !== 'tcp') return source
        const port = this.portOf(source.name, source.listen.port)
        return { ...source, listen: { ...source.listen, port } }
      }),
      venueNamed,
      rings: this.producerRings('source').map((rings, shard) => {
        const durable = shared.position(shard, POSITION.durable)
        const { epoch } = shared.shard(shard)
        return { ...rings, journal: { shard, epoch, durable: durableFor(faults, durable) } }
      }),
      instruments: shared.instruments,
      clock,
      log,
      counters: (index) => shared.counters('source', this.sourceName(index)),
      wake,
      onListening: this.announce,
      raise: this.options.raise,
      capture: capture.enabled
        ? new RawCapture({
            directory: capture.directory || runtime.paths.capture,
            fileBytes: capture.file_bytes,
            bytesMax: capture.bytes_max,
            clock,
            log,
          })
        : undefined,
    })
  }

  #journal(shard: number, log: Log): Agent {
    const { runtime, shared, clock } = this.options
    const { ticks, marks, epoch, identity } = shared.shard(shard)
    const near = shared.nearSeq(shard)
    const postgres = shared.position(shard, POSITION.postgres)
    const flushed = shared.position(shard, POSITION.postgresFlushed)
    return new JournalAgent({
      shard,
      directory: this.journalDirectory(shard),
      epoch,
      identity,
      settings: runtime.config.journal,
      ring: new TickRingConsumer(ticks, GATING_SLOT.journal, near, this.bell('decode', shard)),
      marks: new TickRingConsumer(marks, GATING_SLOT.journal, 0, this.bell('decode', shard)),
      positions: {
        written: shared.position(shard, POSITION.written),
        durable: shared.position(shard, POSITION.durable),
        oldest: shared.position(shard, POSITION.oldest),
      },
      // What the database has answered it may still lose, until it is on its disk.
      storedSeq: () => (postgres.load() === SEQ_MAX ? SEQ_MAX : flushed.load()),
      bells: this.bells([
        ['postgres', shard],
        ['source', 0],
        ['serve', 0],
      ]),
      clock,
      log,
      counters: shared.counters('journal', String(shard)),
      raise: this.options.raise,
    })
  }

  #aggregate(log: Log): Agent {
    const { shared } = this.options
    const redis = this.bell('redis')
    return new AggregateAgent({
      latest: shared.latest,
      onChange: () => {
        if (shared.notice.take()) redis?.ring()
      },
      counters: shared.counters('aggregate'),
      rings: this.shards().map(({ ticks }, shard) => ({
        shard,
        consumer: new TickRingConsumer(
          ticks,
          GATING_SLOT.aggregate,
          shared.nearSeq(shard),
          this.bell('decode', shard),
        ),
        tail: () => latestTail(this, shard, log),
      })),
    })
  }
}
