// Starts the threads, starts and drains the agents in order, replaces a thread that died.
//
// Start: bottom of the pipeline first, so that every reader is there before its writer. Stop: top
// first, each stage drained before the next is asked, within one deadline for all.

import { Worker } from 'node:worker_threads'
import { errorText, TickdError } from '../errors.ts'
import type { IncidentReport } from '../ops/incidents.ts'
import type { Log } from '../ops/log.ts'
import type { Answer, Question } from '../ops/questions.ts'
import { PIPELINE, type StageName } from '../pipeline.ts'
import { Doorbell } from '../ring/doorbell.ts'
import { COMMAND, Lifecycle, STATE, STATE_NAMES } from './lifecycle.ts'
import type { AgentPlan, ThreadPlan } from './plan.ts'
import type { FromWorker, Runtime, ToWorker, WorkerData } from './runtime.ts'
import type { SharedMemory } from './shared-memory.ts'

const START_TIMEOUT_MS = 60_000
const CLOSE_TIMEOUT_MS = 2000
const THREAD_DEATHS_MAX = 5
/** An agent that has not finished a duty cycle for so long hangs. */
const HANG_MS = 10_000
const WATCH_MS = 1000

export interface SupervisorOptions {
  readonly runtime: Runtime
  readonly threads: readonly ThreadPlan[]
  readonly memory: SharedMemory
  readonly log: Log
  /** The daemon cannot go on: the owner stops it. Called once. */
  readonly onFatal: (error: TickdError) => void
  /** A listener is bound: 'feed' at '127.0.0.1:8080'. */
  readonly onListening: (name: string, address: string) => void
  /** A thread raises an incident. */
  readonly onIncident: (report: IncidentReport) => void
  /** A thread asks what main knows. */
  readonly onQuestion: (question: Question) => Answer
}

interface Watched extends AgentPlan {
  readonly lifecycle: Lifecycle
  readonly bell: Doorbell
  heartbeat: number
  beatAtMs: number
  hangs: boolean
}

export class Supervisor {
  readonly #options: SupervisorOptions
  readonly #agents: Watched[]
  readonly #workers = new Map<string, Worker>()
  readonly #exits = new Map<string, Promise<void>>()
  #deaths = 0
  #stopping = false
  #fatal: TickdError | undefined
  readonly #fatalSeen = Promise.withResolvers<void>()
  #watch: NodeJS.Timeout | undefined

  constructor(options: SupervisorOptions) {
    this.#options = options
    const { memory, threads } = options
    this.#agents = threads.flatMap((thread) =>
      thread.agents.map((agent) => ({
        ...agent,
        lifecycle: new Lifecycle(memory.lifecycle, agent.slot),
        bell: new Doorbell(memory.bells, thread.bell),
        heartbeat: 0,
        beatAtMs: 0,
        hangs: false,
      })),
    )
  }

  /** Resolves when every agent runs. Throws the first start failure; the caller then stops. */
  async start(): Promise<void> {
    for (const thread of this.#options.threads) this.#spawn(thread)
    for (const { stage } of [...PIPELINE].reverse()) {
      await this.#toState(stage, COMMAND.run, STATE.running, START_TIMEOUT_MS)
      if (this.#fatal !== undefined) throw this.#fatal
    }
    this.#watch = setInterval(() => this.#watchTurn(), WATCH_MS)
  }

  /** Drains and closes everything. Returns the roles that did not drain in time. */
  async stop(drainMs: number): Promise<string[]> {
    this.#stopping = true
    clearInterval(this.#watch)
    const deadline = performance.now() + drainMs
    const late: string[] = []
    for (const { stage } of PIPELINE) {
      const leftMs = Math.max(0, deadline - performance.now())
      const states = await this.#toState(stage, COMMAND.drain, STATE.drained, leftMs)
      for (const [roleName, state] of states) {
        const idle = state === STATE.drained || state === STATE.fresh || state === STATE.closed
        if (!idle) late.push(`${roleName} (${STATE_NAMES[state]})`)
      }
    }
    for (const { stage } of PIPELINE) {
      await this.#toState(stage, COMMAND.close, STATE.closed, CLOSE_TIMEOUT_MS)
    }
    const exits = Promise.all(this.#exits.values())
    const timeout = new Promise((resolve) => setTimeout(resolve, CLOSE_TIMEOUT_MS).unref())
    await Promise.race([exits, timeout])
    await Promise.all([...this.#workers.values()].map((worker) => worker.terminate()))
    return late
  }

  /** Each agent's role, state and restarts: for readiness, metrics and the status line. */
  states(): { roleName: string; state: string; restarts: number; hangs: boolean }[] {
    return this.#agents.map(({ roleName, lifecycle, hangs }) => ({
      roleName,
      state: STATE_NAMES[lifecycle.state] ?? 'unknown',
      restarts: lifecycle.restarts,
      hangs,
    }))
  }

  /** Gives a command to all agents of a stage; returns the states they reached in time. */
  async #toState(
    stage: StageName,
    command: number,
    wanted: number,
    timeoutMs: number,
  ): Promise<[roleName: string, state: number][]> {
    const agents = this.#agents.filter((agent) => agent.stage === stage)
    const fatalStates = [wanted, STATE.closed, STATE.failed]
    return await Promise.all(
      agents.map(async (agent): Promise<[string, number]> => {
        const unstarted = agent.lifecycle.state === STATE.fresh
        if (unstarted && command === COMMAND.drain) return [agent.roleName, STATE.fresh]
        agent.lifecycle.command = command
        agent.bell.ring()
        const reached = agent.lifecycle.waitState(fatalStates, timeoutMs)
        // While starting, a failure that any agent reports ends the wait at once.
        const failed = this.#fatalSeen.promise.then(() => STATE.failed)
        const state = await (command === COMMAND.run ? Promise.race([reached, failed]) : reached)
        if (command === COMMAND.run && state !== wanted) {
          this.#fail(new TickdError('AGENT_FAILED', `${agent.roleName} did not start in time`))
        }
        return [agent.roleName, state]
      }),
    )
  }

  #spawn(thread: ThreadPlan): void {
    const { runtime, threads, memory } = this.#options
    const data: WorkerData = { runtime, thread, threads, memory }
    const worker = new Worker(new URL('./worker.ts', import.meta.url), {
      workerData: data,
      name: thread.name,
    })
    this.#workers.set(thread.name, worker)
    worker.on('message', (message: FromWorker) => this.#onMessage(message, worker))
    worker.on('error', (error) => this.#onDeath(thread, error))
    const exit = new Promise<void>((resolve) => {
      worker.on('exit', () => {
        this.#workers.delete(thread.name)
        resolve()
      })
    })
    this.#exits.set(thread.name, exit)
  }

  #onMessage(message: FromWorker, worker: Worker): void {
    if (message.type === 'listening') {
      this.#options.onListening(message.name, message.address)
      return
    }
    if (message.type === 'incident') {
      this.#options.onIncident(message.report)
      return
    }
    if (message.type === 'question') {
      const answer = this.#options.onQuestion(message.question)
      worker.postMessage({ type: 'answer', id: message.id, answer } satisfies ToWorker)
      return
    }
    if (message.stack !== undefined) {
      this.#options.log.error({ role: message.roleName, stack: message.stack }, 'start failed')
    }
    this.#fail(new TickdError(message.code, message.message))
  }

  #onDeath(thread: ThreadPlan, error: unknown): void {
    const stack = error instanceof Error ? error.stack : undefined
    this.#options.log.error({ thread: thread.name, error: errorText(error), stack }, 'thread died')
    if (this.#stopping) return
    this.#deaths++
    if (this.#deaths > THREAD_DEATHS_MAX) {
      this.#fail(new TickdError('AGENT_FAILED', `thread ${thread.name} keeps dying`))
      return
    }
    this.#spawn(thread)
  }

  #watchTurn(): void {
    const nowMs = performance.now()
    for (const agent of this.#agents) {
      const { lifecycle, roleName } = agent
      if (lifecycle.state === STATE.failed) {
        this.#fail(new TickdError('AGENT_FAILED', `${roleName} failed too often; see the log`))
      }
      const beats = lifecycle.heartbeat
      if (beats !== agent.heartbeat || agent.beatAtMs === 0) {
        agent.heartbeat = beats
        agent.beatAtMs = nowMs
        agent.hangs = false
      } else if (!agent.hangs && nowMs - agent.beatAtMs > HANG_MS) {
        agent.hangs = true
        this.#options.log.error({ role: roleName, forMs: HANG_MS }, 'agent hangs')
      }
    }
  }

  #fail(error: TickdError): void {
    if (this.#fatal !== undefined) return
    this.#fatal = error
    this.#fatalSeen.resolve()
    if (!this.#stopping) this.#options.onFatal(error)
  }
}
