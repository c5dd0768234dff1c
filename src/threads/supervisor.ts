// Starts the threads, starts and drains the agents in order, and makes a thread anew that died,
// stood still or held too much memory.
//
// Start: bottom of the pipeline first, so that every reader is there before its writer. Stop: top
// first, each stage drained before the next is asked, within one deadline for all. In between:
// watch. A thread that does not move on is ended (thread-watch.ts judges), what it left behind is
// set right (repair.ts), and its agents go on in a new one where the shared memory says they stood.

import type { Worker } from 'node:worker_threads'
import { TickdError } from '../errors.ts'
import { THREAD_END_MS_MAX } from '../limits.ts'
import { systemAddon } from '../native/addon.ts'
import type { IncidentReport } from '../ops/incidents.ts'
import type { Log } from '../ops/log.ts'
import type { AccountsQuestion, Answer, Question } from '../ops/questions.ts'
import { PIPELINE, START_ORDER, type StageName } from '../pipeline.ts'
import { Doorbell } from '../ring/doorbell.ts'
import type { EarlyWorkers } from './early-workers.ts'
import { COMMAND, Lifecycle, STATE, STATE_NAMES } from './lifecycle.ts'
import { MemoryWatch } from './memory-watch.ts'
import type { AgentPlan, ThreadPlan } from './plan.ts'
import { repairAfter } from './repair.ts'
import { RollCall } from './roll-call.ts'
import type { FromWorker, Runtime, ToWorker } from './runtime.ts'
import { Shared, type SharedMemory } from './shared-memory.ts'
import { cuts, testFaults } from './test-faults.ts'
import { ThreadWatch, WATCH_MS } from './thread-watch.ts'
import { hangText, WorkerThread } from './worker-thread.ts'

const START_TIMEOUT_MS = 60_000
const CLOSE_TIMEOUT_MS = 2000
/** Of the time to drain, what one stage that does not come to an end leaves to those after it. */
const DRAIN_RESERVE = 0.25

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
  /** Workers that were made before. */
  readonly early?: EarlyWorkers
  /** Ports to bind where any free one would do, by the listener's name; it adds to them. */
  readonly ports: Map<string, number>
  /** True while a profile of the thread is taken: it may stand still for that. */
  readonly isProfiled?: (thread: string) => boolean
}

interface Supervised extends AgentPlan {
  readonly lifecycle: Lifecycle
  readonly bell: Doorbell
}

export class Supervisor {
  readonly #options: SupervisorOptions
  readonly #shared: Shared
  readonly #agents: readonly Supervised[]
  readonly #threads: readonly WorkerThread[]
  readonly #watches = new Map<WorkerThread, ThreadWatch>()
  readonly #memoryWatch: MemoryWatch
  readonly #rollCall = new RollCall()
  readonly #cutTimers: NodeJS.Timeout[] = []
  #stopping = false
  #fatal: TickdError | undefined
  readonly #fatalSeen = Promise.withResolvers<void>()
  #watch: NodeJS.Timeout | undefined
  #healthyMs = 0

  constructor(options: SupervisorOptions) {
    this.#options = options
    const { memory, threads, runtime } = options
    this.#shared = new Shared(memory)
    this.#agents = threads.flatMap((thread) =>
      thread.agents.map((agent) => ({
        ...agent,
        lifecycle: new Lifecycle(memory.lifecycle, agent.slot),
        bell: new Doorbell(memory.bells, thread.bell),
      })),
    )
    this.#threads = threads.map((plan) => this.#makeThread(plan))
    this.#memoryWatch = new MemoryWatch(threads, this.#shared, runtime.config.supervise)
  }

  /** Resolves when every agent runs. Throws the first start failure; the caller then stops. */
  async start(): Promise<void> {
    for (const thread of this.#threads) this.#spawn(thread)
    // From the first: an agent that hangs must not keep those from starting that share its thread.
    this.#watch = setInterval(() => this.#watchTurn(), WATCH_MS)
    for (const stages of START_ORDER) {
      await Promise.all(
        stages.map((stage) => this.#toState(stage, COMMAND.run, STATE.running, START_TIMEOUT_MS)),
      )
      if (this.#fatal !== undefined) throw this.#fatal
    }
    this.#healthyMs = performance.now()
    this.#armCuts()
  }

  /** Drains and closes everything. Returns the roles that did not drain in time. */
  async stop(drainMs: number): Promise<string[]> {
    this.#stopping = true
    clearInterval(this.#watch)
    for (const timer of this.#cutTimers) clearTimeout(timer)
    const deadline = performance.now() + drainMs
    const late: string[] = []
    for (const [index, { stage }] of PIPELINE.entries()) {
      const reserveMs = index === PIPELINE.length - 1 ? 0 : drainMs * DRAIN_RESERVE
      // One that is out of time already is still asked: it may have nothing left to do.
      const leftMs = Math.max(late.length > 0 ? 100 : 0, deadline - performance.now() - reserveMs)
      const states = await this.#toState(stage, COMMAND.drain, STATE.drained, leftMs)
      for (const [roleName, state] of states) {
        const idle = state === STATE.drained || state === STATE.fresh || state === STATE.closed
        if (!idle) late.push(`${roleName} (${STATE_NAMES[state]})`)
      }
    }
    await this.#close()
    return late
  }

  /** Threads that cannot be ended: only the end of the process ends them. */
  get stuck(): string[] {
    return this.#threads.flatMap(({ isAlive, plan }) => (isAlive ? [plan.name] : []))
  }

  /** True while every thread moves on: what a watchdog outside is told. */
  isHealthy(nowMs: number): boolean {
    return nowMs - this.#healthyMs < 3 * WATCH_MS
  }

  /** For a line of text: which agents do not run. */
  status(): string {
    const away = this.#agents.filter(({ lifecycle }) => lifecycle.state !== STATE.running)
    const names = away.map(
      ({ roleName, lifecycle }) => `${roleName} ${STATE_NAMES[lifecycle.state]}`,
    )
    return names.length === 0 ? `running, ${this.#agents.length} agents` : names.join(', ')
  }

  /** All stages at once, within one bound: they have nothing more to wait for. */
  async #close(): Promise<void> {
    const closing = PIPELINE.map(({ stage }) =>
      this.#toState(stage, COMMAND.close, STATE.closed, CLOSE_TIMEOUT_MS),
    )
    await Promise.all(closing)
    await this.#untilEnded(CLOSE_TIMEOUT_MS)
    for (const thread of this.#threads) if (canEnd(thread.plan)) thread.end('stop')
    await this.#untilEnded(CLOSE_TIMEOUT_MS)
  }

  async #untilEnded(timeoutMs: number): Promise<void> {
    const timeout = new Promise((resolve) => setTimeout(resolve, timeoutMs).unref())
    await Promise.race([Promise.all(this.#threads.map(({ ended }) => ended)), timeout])
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

  #makeThread(plan: ThreadPlan): WorkerThread {
    const { runtime, threads, memory, log, ports, early } = this.#options
    return new WorkerThread({
      plan,
      begin: () => ({ type: 'begin', runtime, threads, memory, ports }),
      early,
      heapBytes: runtime.config.supervise.heap_bytes,
      log,
      onMessage: (message, worker) => this.#onMessage(message, worker),
      onEnd: (thread) => this.#onEnd(thread),
    })
  }

  #spawn(thread: WorkerThread): void {
    const { supervise } = this.#options.runtime.config
    const { lifecycle } = this.#options.memory
    thread.start()
    this.#watches.set(thread, new ThreadWatch(thread.plan, lifecycle, supervise, performance.now()))
  }

  #onMessage(message: FromWorker, worker: Worker): void {
    if (message.type === 'listening') {
      this.#options.ports.set(message.name, Number(/\d+$/.exec(message.address)?.[0] ?? 0))
      this.#options.onListening(message.name, message.address)
      return
    }
    if (message.type === 'incident') {
      this.#options.onIncident(message.report)
      return
    }
    if (message.type === 'question') {
      void this.#answer(message.id, message.question, worker)
      return
    }
    if (message.type === 'accounts') {
      this.#rollCall.onTold(message.id, message.role, message.subscribers)
      return
    }
    if (message.stack !== undefined) {
      this.#options.log.error({ role: message.roleName, stack: message.stack }, 'start failed')
    }
    this.#fail(new TickdError(message.code, message.message))
  }

  async #answer(id: number, question: Question | AccountsQuestion, worker: Worker): Promise<void> {
    const { onQuestion } = this.#options
    const answer =
      question.about === 'subscribers'
        ? await this.#callRoll(question.max, worker)
        : onQuestion(question)
    worker.postMessage({ type: 'answer', id, answer } satisfies ToWorker)
  }

  /** All threads that serve but the one that asks. */
  async #callRoll(max: number, asking: Worker): Promise<Answer> {
    const others = this.#threads.flatMap((thread) => {
      const agent = thread.plan.agents.find(({ stage }) => stage === 'serve')
      if (agent === undefined || thread.owns(asking)) return []
      return [{ role: agent.roleName, tell: (message: ToWorker) => thread.tell(message) }]
    })
    return { status: 200, body: JSON.stringify(await this.#rollCall.ask(others, max)) }
  }

  /** A thread's end is complete: as it should at a stop, or it is made anew. */
  #onEnd(thread: WorkerThread): void {
    const { log, runtime, onIncident } = this.#options
    const { name, agents } = thread.plan
    const isOver = agents.every(({ slot }) => {
      const { state } = new Lifecycle(this.#shared.memory.lifecycle, slot)
      return state === STATE.closed || state === STATE.failed
    })
    if (isOver) return
    const called = this.#watches.get(thread)?.called()?.roleName
    const why = thread.deathReason()
    const fields = { thread: name, why, called, stack: thread.stack }
    log.error(fields, this.#stopping ? 'thread ended' : 'thread ended; making it anew')
    this.#shared.counters('thread', name).add('deaths')
    repairAfter(thread.plan, this.#shared, runtime.paths.instruments, this.#stopping)
    if (this.#stopping) return
    onIncident({
      kind: 'agent_restarted',
      severity: 'warning',
      summary: `thread ${name} ended and was made anew`,
      evidence: { why, called, roles: agents.map(({ roleName }) => roleName) },
    })
    if (thread.mayLiveAgain(performance.now())) this.#spawn(thread)
    else this.#fail(new TickdError('AGENT_FAILED', `thread ${name} ends too often: ${why}`))
  }

  #watchTurn(): void {
    const nowMs = performance.now()
    const { isProfiled = () => false } = this.#options
    for (const { lifecycle, roleName } of this.#agents) {
      if (lifecycle.state !== STATE.failed) continue
      this.#fail(new TickdError('AGENT_FAILED', `${roleName} failed too often; see the log`))
    }
    let isHealthy = true
    for (const thread of this.#threads) {
      const hang = this.#watches.get(thread)?.look(nowMs, isProfiled(thread.plan.name))
      if (thread.looksCutOff()) this.#end(thread, 'its heap is nearly full')
      const toldMs = thread.toldMs(nowMs)
      if (hang === undefined && toldMs === undefined) continue
      isHealthy = false
      if (toldMs === undefined && hang !== undefined) {
        this.#shared.counters('thread', thread.plan.name).add('hangs')
        this.#end(thread, hangText(hang))
      } else if ((toldMs ?? 0) > THREAD_END_MS_MAX) this.#giveUp(thread)
    }
    const held = this.#memoryWatch.look(nowMs, process.memoryUsage.rss())
    const holder = this.#threads.find(({ plan }) => plan === held?.thread)
    if (held !== undefined) {
      if (holder === undefined) this.#options.log.error({ why: held.why }, 'too much memory')
      else this.#end(holder, held.why)
    }
    if (isHealthy) this.#healthyMs = nowMs
  }

  #end(thread: WorkerThread, why: string): void {
    this.#options.log.error({ thread: thread.plan.name, why }, 'ending a thread')
    if (canEnd(thread.plan)) thread.end(why)
    else {
      const text = 'and cannot be ended alone without the native addon (sh scripts/build-native)'
      this.#fail(new TickdError('AGENT_FAILED', `thread ${thread.plan.name}: ${why}, ${text}`))
    }
  }

  #giveUp({ plan }: WorkerThread): void {
    const text = `thread ${plan.name} does not end: it is in a system call or in native code`
    this.#fail(new TickdError('AGENT_FAILED', `${text}; see the disk and the kernel's log`))
  }

  /** For tests: threads that are ended at a time of the test's choosing. */
  #armCuts(): void {
    for (const { role, afterMs } of cuts(testFaults(process.env))) {
      const thread = this.#threads.find(({ plan }) =>
        plan.agents.some(({ roleName }) => roleName === role),
      )
      this.#cutTimers.push(setTimeout(() => thread?.end('a fault on demand'), afterMs))
    }
  }

  #fail(error: TickdError): void {
    if (this.#fatal !== undefined) return
    this.#fatal = error
    this.#fatalSeen.resolve()
    if (!this.#stopping) this.#options.onFatal(error)
  }
}

/**
 * True where the thread can be ended without ending the process: uWebSockets.js leaves its sockets
 * open, and only the addon can close them (see guardLoop in native/addon.cc).
 */
function canEnd({ agents }: ThreadPlan): boolean {
  return agents.every(({ stage }) => stage !== 'serve') || systemAddon() !== undefined
}
