// One life of the daemon on the calling thread: recovery, start in order, duty cycles, death.
//
// Each agent has a runner of its own, so that the schedule decides whose turn it is. Its death is
// that nobody calls it any more: whatever it held in memory is gone, as after kill -9.

import type { Clock } from '../../src/clock.ts'
import type { Log } from '../../src/ops/log.ts'
import { Doorbell } from '../../src/ring/doorbell.ts'
import { TickRingLapper } from '../../src/ring/tick-ring.ts'
import type { Visitor } from '../../src/serve/access/feed-gate.ts'
import type { Random } from '../../src/source/random.ts'
import { COMMAND, Lifecycle, STATE } from '../../src/threads/lifecycle.ts'
import { Runner } from '../../src/threads/runner.ts'
import type { Instrument } from '../../src/tick/instruments.ts'
import { Fuse, fused } from './fuse.ts'
import { LifeAgents, type LifeSettings } from './life-agents.ts'
import { LifeMemory } from './life-memory.ts'
import type { DiskProcess } from './simulated-disk.ts'
import type { SimulatedPostgres } from './simulated-postgres.ts'
import { SimulatedWeb } from './simulated-web.ts'
import type { Wiring } from './wiring.ts'

/** Order of start: readers before writers, as the supervisor has it. */
export const STAGES = ['serve', 'postgres', 'aggregate', 'journal', 'decode', 'source'] as const
export type SimulatedStage = (typeof STAGES)[number]
export const FUSES = [...STAGES, 'validate', 'publish'] as const
export type FuseName = (typeof FUSES)[number]

export interface DaemonOptions {
  readonly disk: DiskProcess
  readonly postgres: SimulatedPostgres
  readonly clock: Clock
  readonly random: Random
  readonly wiring: Wiring
  readonly settings: LifeSettings
  /** The durable instruments. */
  readonly instruments: Instrument[]
  readonly log: Log
}

interface Seat {
  readonly stage: SimulatedStage
  readonly runner: Runner
  readonly lifecycle: Lifecycle
}

export class Daemon {
  readonly memory: LifeMemory
  readonly agents: LifeAgents
  readonly fuses: Readonly<Record<FuseName, Fuse>>
  /** Sees what decode publishes. */
  readonly tap: TickRingLapper
  /** The web server, while serve is up. */
  web: SimulatedWeb<Visitor> | undefined
  /** Why it cannot go on; undefined while it can. */
  failure: unknown
  readonly #options: DaemonOptions
  readonly #seats: readonly Seat[]
  #startedCount = 0

  /** Recovers the journal. Throws what would stop the real daemon's start. */
  constructor(options: DaemonOptions) {
    this.#options = options
    const disk = options.wiring.disk(options.disk)
    const start = LifeAgents.openShard(options.settings, disk)
    this.memory = new LifeMemory(start, options.instruments)
    this.tap = new TickRingLapper(this.memory.ticks, this.memory.firstSeq)
    this.fuses = Object.fromEntries(FUSES.map((name) => [name, new Fuse()])) as Daemon['fuses']
    const { random } = options
    this.agents = new LifeAgents({
      ...options,
      disk,
      memory: this.memory,
      random: () => random.fraction(),
      validateFuse: this.fuses.validate,
      publishFuse: this.fuses.publish,
      createServer: (server) => {
        this.web = new SimulatedWeb(server, options.wiring.toSubscriber)
        return this.web
      },
    })
    const lifecycles = new SharedArrayBuffer(Lifecycle.bytes(STAGES.length))
    this.#seats = STAGES.map((stage, slot) => this.#seat(stage, new Lifecycle(lifecycles, slot)))
  }

  /** True once every agent has started. */
  get isUp(): boolean {
    return this.#startedCount === this.#seats.length
  }

  /** True unless the agent is down, or has yet to start. */
  isRunning(stage: SimulatedStage): boolean {
    const seat = this.#seats.find((candidate) => candidate.stage === stage) as Seat
    return seat.lifecycle.state === STATE.running
  }

  /** True when it ended within a call to the disk. */
  get isEnded(): boolean {
    return this.#options.disk.isEnded
  }

  /** True when nothing lies on a ring that its reader has not taken. */
  get isDrained(): boolean {
    const { source, decode } = this.memory.counters
    const received = source.reduce((sum, counters) => sum + counters.get('frames'), 0)
    const taken = decode.reduce((sum, counters) => sum + counters.get('frames'), 0)
    return received === taken
  }

  /** A duty cycle of one agent, if it is its time already. Returns the work done. */
  turn(stage: SimulatedStage): number {
    this.#startNext()
    const seat = this.#seats.find((candidate) => candidate.stage === stage) as Seat
    if (seat.lifecycle.command === COMMAND.idle) return 0
    const work = seat.runner.turn()
    if (seat.lifecycle.state === STATE.failed) this.failure ??= new Error(`${stage} gave up`)
    return work
  }

  /** Nothing of it is called again, and its sockets are gone. */
  die(): void {
    this.#options.disk.die()
    this.web?.vanish()
  }

  /** Commands the next stage to start once those before it run. */
  #startNext(): void {
    const next = this.#seats[this.#startedCount]
    if (next === undefined) return
    if (next.lifecycle.command === COMMAND.idle) next.lifecycle.command = COMMAND.run
    if (next.lifecycle.state === STATE.running) this.#startedCount++
  }

  #seat(stage: SimulatedStage, lifecycle: Lifecycle): Seat {
    const { clock, log } = this.#options
    const bells = new SharedArrayBuffer(Doorbell.bytes(1))
    const runner = new Runner({
      seats: [
        {
          roleName: stage,
          lifecycle,
          make: () => fused(this.agents[stage](), this.fuses[stage]),
        },
      ],
      clock,
      log,
      bell: new Doorbell(bells, 0),
      blocking: false,
      onStartFailure: (_, error) => {
        this.failure ??= error
      },
    })
    return { stage, runner, lifecycle }
  }
}
