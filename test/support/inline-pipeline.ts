// The whole pipeline on the calling thread, under a simulated clock: real agents, real journal,
// no worker, no timer. Stores that need servers are off. Time moves only by `advance`.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { SimulatedClock } from '../../src/clock.ts'
import { type Config, configSchema } from '../../src/config/schema.ts'
import { JournalReader } from '../../src/journal/reader.ts'
import { INSTRUMENTS_MAX, SEQ_MAX } from '../../src/limits.ts'
import { silentLog } from '../../src/ops/log.ts'
import { PIPELINE, POSITION } from '../../src/pipeline.ts'
import { AgentFactory, loadMakers, type Makers } from '../../src/threads/agents.ts'
import { COMMAND, Lifecycle, STATE } from '../../src/threads/lifecycle.ts'
import { openShard } from '../../src/threads/open-shard.ts'
import { type AgentPlan, planThreads } from '../../src/threads/plan.ts'
import { Runner } from '../../src/threads/runner.ts'
import { type Runtime, statePaths } from '../../src/threads/runtime.ts'
import { createSharedMemory, Shared } from '../../src/threads/shared-memory.ts'
import { TickBatch } from '../../src/tick/batch.ts'
import { InstrumentLog } from '../../src/tick/instrument-log.ts'
import { tickToJson } from '../../src/tick/json.ts'

const SETTLE_TURNS_MAX = 100_000

export class InlinePipeline {
  readonly clock: SimulatedClock
  readonly shared: Shared
  readonly #runner: Runner
  readonly #agents: { plan: AgentPlan; lifecycle: Lifecycle }[]
  readonly #runtime: Runtime
  readonly #instrumentLog: InstrumentLog

  private constructor(runtime: Runtime, clock: SimulatedClock, makers: Makers) {
    this.clock = clock
    this.#runtime = runtime
    const { config, paths } = runtime
    const threads = planThreads(config, 1, { postgres: true, redis: true })
    const starts = Array.from({ length: config.shards }, (_, shard) =>
      openShard(paths.journal, shard, config.journal),
    )
    const memory = createSharedMemory(config, threads, starts)
    this.#instrumentLog = new InstrumentLog(paths.instruments)
    this.#instrumentLog.load(memory.instruments, INSTRUMENTS_MAX)
    this.shared = new Shared(memory, this.#instrumentLog.append)
    starts.forEach((_, shard) => {
      this.shared.position(shard, POSITION.postgres).store(SEQ_MAX)
    })
    const factory = new AgentFactory(
      {
        runtime,
        shared: this.shared,
        threads,
        clock,
        log: () => silentLog,
        wake: () => {},
        announce: () => {},
        raise: () => {},
        ask: () => Promise.resolve({ status: 503, body: '{}' }),
      },
      makers,
    )
    const [thread] = threads
    if (thread === undefined) throw new Error('compact threading plans one thread')
    this.#agents = thread.agents.map((plan) => ({
      plan,
      lifecycle: new Lifecycle(memory.lifecycle, plan.slot),
    }))
    this.#runner = new Runner({
      seats: this.#agents.map(({ plan, lifecycle }) => ({
        roleName: plan.roleName,
        make: () => factory.make(plan),
        lifecycle,
        counters: this.shared.counters('agent', plan.roleName),
      })),
      clock,
      log: silentLog,
      bell: this.shared.bell(thread),
      blocking: false,
      onStartFailure: (_, error) => {
        throw error
      },
    })
  }

  /** Starts all agents. `stateDir` is kept; see `removeState`. */
  static async start(
    settings: Record<string, unknown>,
    stateDir = mkdtempSync(join(tmpdir(), 'tickd-inline-')),
  ): Promise<InlinePipeline> {
    const config: Config = configSchema.parse({
      threads: 'compact',
      serve: { listen: { port: 0 } },
      ...settings,
    })
    const runtime: Runtime = {
      config,
      paths: statePaths(stateDir),
      logFormat: 'json',
      postgresUrl: '',
      redisTarget: undefined,
      session: 'inline',
    }
    const makers = await loadMakers(PIPELINE.map(({ stage }) => stage))
    const pipeline = new InlinePipeline(runtime, new SimulatedClock(), makers)
    for (const { stage } of [...PIPELINE].reverse()) {
      await pipeline.#command(stage, COMMAND.run, STATE.running)
    }
    return pipeline
  }

  get stateDir(): string {
    return this.#runtime.paths.state
  }

  /** Moves time by `ms` in steps, running all agents until they are idle after each step. */
  async advance(ms: number, stepMs = 10): Promise<void> {
    for (let passed = 0; passed < ms; passed += stepMs) {
      this.clock.advance(stepMs)
      await this.settle()
    }
  }

  /** Runs duty cycles until none has work. */
  async settle(): Promise<void> {
    for (let turn = 0; turn < SETTLE_TURNS_MAX; turn++) {
      if (this.#runner.turn() === 0) return
      await new Promise((resolve) => setImmediate(resolve))
    }
    throw new Error('the pipeline does not come to rest')
  }

  /** Drains and closes every agent in the order of the pipeline. */
  async stop(): Promise<void> {
    for (const { stage } of PIPELINE) await this.#command(stage, COMMAND.drain, STATE.drained)
    for (const { stage } of PIPELINE) await this.#command(stage, COMMAND.close, STATE.closed)
    this.#instrumentLog.close()
  }

  /** All durable records of a shard, as normalised JSON lines. */
  journalLines(shard = 0): string[] {
    const durable = this.shared.position(shard, POSITION.durable).load()
    const reader = new JournalReader({
      directory: join(this.#runtime.paths.journal, `shard-${shard}`),
      fromSeq: this.shared.position(shard, POSITION.oldest).load(),
      durable: () => durable,
    })
    const batch = new TickBatch(4096)
    const lines: string[] = []
    for (let seq = reader.seq; reader.read(batch) > 0; seq = reader.seq) {
      for (let i = 0; i < batch.count; i++) {
        lines.push(tickToJson(batch, i, this.shared.instruments, seq + i))
      }
    }
    reader.close()
    return lines
  }

  removeState(): void {
    rmSync(this.stateDir, { recursive: true, force: true })
  }

  async #command(stage: string, command: number, wanted: number): Promise<void> {
    const agents = this.#agents.filter(({ plan }) => plan.stage === stage)
    for (const { lifecycle } of agents) lifecycle.command = command
    for (let turn = 0; turn < SETTLE_TURNS_MAX; turn++) {
      if (agents.every(({ lifecycle }) => lifecycle.state === wanted)) return
      this.#runner.turn()
      await new Promise((resolve) => setImmediate(resolve))
    }
    throw new Error(`${stage} did not reach its state`)
  }
}
