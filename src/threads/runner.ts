// The loop of a thread: starts its agents, runs their duty cycles, idles, catches, restarts.
//
// The same agents run on one thread or eight. `turn()` is one pass over all agents and does not
// sleep: production calls it from `run()`, tests and the simulation call it directly.
//
// An agent that throws is closed, made anew by its factory, and started again after a back-off;
// the others on its thread go on. Too many failures with no work done between them and the agent is
// FAILED: the supervisor then stops the daemon.

import type { Clock } from '../clock.ts'
import { errorText } from '../errors.ts'
import { type CounterName, counterNames } from '../ops/counter-catalog.ts'
import { CounterSet } from '../ops/counters.ts'
import type { Log } from '../ops/log.ts'
import { DutyMeter } from '../ops/profiling/duty-meter.ts'
import type { ThreadMeter } from '../ops/profiling/thread-meter.ts'
import type { Doorbell } from '../ring/doorbell.ts'
import { type Agent, IDLE_MS_MAX } from './agent.ts'
import { COMMAND, KEEP_ALIVE_MS, type Lifecycle, STATE } from './lifecycle.ts'

/** Failures with neither work nor RECOVERED_MS between them, before an agent is given up. */
const FAILURES_MAX = 5
const RECOVERED_MS = 30_000
const BACKOFF_FIRST_MS = 50
const BACKOFF_MS_MAX = 5000
/** Longest sleep that nothing ends: commands wait for as long. */
const NAP_MS_MAX = 10
/** A duty cycle longer than this is said once per occurrence at debug level. */
const DUTY_SAID_MS = 250

/** What a runner needs to know of an agent. */
export interface SeatOptions {
  readonly roleName: string
  readonly make: () => Agent
  readonly lifecycle: Lifecycle
  /** Where its duty cycles and restarts are counted; not at all when not given. */
  readonly counters?: CounterSet<CounterName<'agent'>>
}

/** An agent's place in a runner: how to make it, and what has become of it. */
interface Seat extends SeatOptions {
  readonly counters: CounterSet<CounterName<'agent'>>
  readonly duty: DutyMeter
  agent: Agent | undefined
  /** True while an asynchronous start or close is under way. */
  busy: boolean
  failures: number
  failedAtMs: number
  retryAtMs: number
}

export interface RunnerOptions {
  readonly seats: readonly SeatOptions[]
  readonly clock: Clock
  readonly log: Log
  readonly bell: Doorbell
  readonly blocking: boolean
  /** The thread's own line: it beats with each turn of the loop. */
  readonly pulse?: Lifecycle | undefined
  /** Its first element is 1 within a turn, 0 in whatever else the thread runs: handlers, say. */
  readonly inTurn?: Int32Array
  /** An agent failed, and will be made anew. */
  readonly onFailure?: ((roleName: string, error: unknown) => void) | undefined
  /** All agents run, for the first time. */
  readonly onRunning?: (() => void) | undefined
  /** A failed first start: the supervisor reports it and stops the daemon. */
  readonly onStartFailure: (roleName: string, error: unknown) => void
}

export class Runner {
  readonly #seats: Seat[]
  readonly #options: RunnerOptions
  /** Asynchronous starts and closes under way. */
  readonly #pending = new Set<Promise<void>>()
  #hasRun = false
  /** When the turn began, or its last duty cycle ended: where the next one begins. */
  #atMs = 0

  constructor(options: RunnerOptions) {
    this.#options = options
    this.#seats = options.seats.map(({ counters = agentCounters(), ...seat }) => ({
      ...seat,
      counters,
      duty: new DutyMeter(counters),
      agent: undefined,
      busy: false,
      failures: 0,
      failedAtMs: 0,
      retryAtMs: 0,
    }))
  }

  /** True when every agent is closed or failed: the thread may end. */
  get finished(): boolean {
    return this.#seats.every(
      ({ lifecycle, busy }) =>
        !busy && (lifecycle.state === STATE.closed || lifecycle.state === STATE.failed),
    )
  }

  /** One pass over all agents. Returns the work done. */
  turn(): number {
    const { inTurn } = this.#options
    if (inTurn !== undefined) inTurn[0] = 1
    let work = 0
    this.#atMs = this.#options.clock.monoMs()
    for (const seat of this.#seats) {
      if (seat.busy) continue
      seat.lifecycle.enter()
      work += this.#seatTurn(seat)
      seat.lifecycle.leave()
    }
    if (inTurn !== undefined) inTurn[0] = 0
    return work
  }

  /** Longest sleep that suits every agent here, milliseconds. */
  idleMsMax(): number {
    let idleMs = IDLE_MS_MAX
    for (const { agent } of this.#seats) {
      const wantedMs = agent?.idleMsMax?.()
      if (wantedMs !== undefined && wantedMs < idleMs) idleMs = wantedMs
    }
    return idleMs
  }

  /** Runs until all agents are closed. `meter` is told how the thread spends its time. */
  async run(meter?: ThreadMeter): Promise<void> {
    // A pending waitAsync does not keep the event loop alive: a timer must.
    const keepAlive = setInterval(() => {}, KEEP_ALIVE_MS)
    try {
      await this.#loop(meter)
    } finally {
      clearInterval(keepAlive)
    }
  }

  async #loop(meter: ThreadMeter | undefined): Promise<void> {
    const { bell, blocking, clock } = this.#options
    while (!this.finished) {
      this.#options.pulse?.leave()
      meter?.turn(clock.monoMs())
      const work = this.turn()
      if (work > 0 && blocking) continue
      if (this.#pending.size > 0) {
        await Promise.race([...this.#pending, ...(blocking ? [] : [nextTurn()])])
        continue
      }
      if (blocking && this.#nap(meter)) continue
      bell.prepare()
      // The second look: whatever was published before prepare() is seen here.
      const isBusy = this.turn() > 0
      if (!isBusy && blocking) this.#sleep(meter)
      else if (!isBusy) await bell.waitAsync(this.idleMsMax())
      bell.wake()
      // Handlers get their turn between ours.
      if (isBusy && !blocking) await nextTurn()
    }
  }

  /** Blocks until the bell is rung, at most for as long as suits every agent here. */
  #sleep(meter: ThreadMeter | undefined): void {
    const { bell, clock } = this.#options
    const asleepMs = clock.monoMs()
    bell.wait(this.idleMsMax())
    meter?.slept(clock.monoMs() - asleepMs)
  }

  /** Sleeps unheard while every agent here gathers. False when one of them does not. */
  #nap(meter: ThreadMeter | undefined): boolean {
    let napMs = NAP_MS_MAX
    for (const { agent, lifecycle } of this.#seats) {
      const wantedMs = lifecycle.command === COMMAND.run ? agent?.napMs?.() : 0
      napMs = Math.min(napMs, wantedMs ?? 0)
    }
    if (napMs <= 0) return false
    const { bell, clock } = this.#options
    const asleepMs = clock.monoMs()
    bell.nap(napMs)
    meter?.slept(clock.monoMs() - asleepMs)
    return true
  }

  #seatTurn(seat: Seat): number {
    const { command, state } = seat.lifecycle
    if (state === STATE.closed || state === STATE.failed || command === COMMAND.idle) return 0
    if (seat.agent === undefined) return this.#vacantTurn(seat, command)
    if (command === COMMAND.close) {
      this.#close(seat, STATE.closed)
      return 1
    }
    return this.#duty(seat, seat.agent, command)
  }

  /** No agent sits here: start one, unless the daemon is stopping or it failed a moment ago. */
  #vacantTurn(seat: Seat, command: number): number {
    if (command === COMMAND.close) {
      seat.lifecycle.state = STATE.closed
      return 1
    }
    if (this.#options.clock.monoMs() < seat.retryAtMs) return 0
    this.#start(seat)
    return 1
  }

  #duty(seat: Seat, agent: Agent, command: number): number {
    const { clock, log } = this.#options
    const beganMs = this.#atMs
    try {
      let work = agent.doWork()
      if (command === COMMAND.drain && seat.lifecycle.state === STATE.running && agent.drain()) {
        seat.lifecycle.state = STATE.drained
        work++
      }
      this.#atMs = clock.monoMs()
      const dutyMs = this.#atMs - beganMs
      if (work > 0) {
        seat.duty.note(dutyMs)
        // Progress: a poison frame that was isolated is no reason to give the agent up.
        seat.failures = 0
      }
      if (dutyMs > DUTY_SAID_MS) log.debug({ role: seat.roleName, dutyMs }, 'long duty cycle')
      return work
    } catch (error) {
      this.#crash(seat, error)
      return 1
    }
  }

  #start(seat: Seat): void {
    const first = seat.lifecycle.state === STATE.fresh
    seat.lifecycle.state = STATE.starting
    const failed = (error: unknown) => {
      if (first) this.#options.onStartFailure(seat.roleName, error)
      this.#crash(seat, error)
    }
    const started = () => {
      seat.lifecycle.state = STATE.running
      this.#noteRunning()
    }
    try {
      seat.agent = seat.make()
      const starting = seat.agent.onStart?.()
      if (starting === undefined) started()
      else this.#track(seat, starting.then(started, failed))
    } catch (error) {
      failed(error)
    }
  }

  #noteRunning(): void {
    if (this.#hasRun) return
    this.#hasRun = this.#seats.every(({ lifecycle }) => lifecycle.state === STATE.running)
    if (this.#hasRun) this.#options.onRunning?.()
  }

  #crash(seat: Seat, error: unknown): void {
    const { clock, log } = this.#options
    const nowMs = clock.monoMs()
    if (nowMs - seat.failedAtMs > RECOVERED_MS) seat.failures = 0
    seat.failures++
    seat.failedAtMs = nowMs
    seat.retryAtMs = nowMs + Math.min(BACKOFF_FIRST_MS * 2 ** (seat.failures - 1), BACKOFF_MS_MAX)
    const restarts = seat.lifecycle.countRestart()
    seat.counters.add('restarts')
    const stack = error instanceof Error ? error.stack : undefined
    log.error(
      { role: seat.roleName, restarts, error: errorText(error), stack },
      'agent failed; starting it again',
    )
    this.#options.onFailure?.(seat.roleName, error)
    this.#close(seat, seat.failures >= FAILURES_MAX ? STATE.failed : STATE.starting)
  }

  /** Closes the agent, best effort, and leaves the seat in `state`. */
  #close(seat: Seat, state: number): void {
    const agent = seat.agent
    seat.agent = undefined
    const closed = () => {
      seat.lifecycle.state = state
    }
    const failed = (error: unknown) => {
      this.#options.log.warn({ role: seat.roleName, error: errorText(error) }, 'close failed')
      closed()
    }
    try {
      const closing = agent?.onClose?.()
      if (closing === undefined) closed()
      else this.#track(seat, closing.then(closed, failed))
    } catch (error) {
      failed(error)
    }
  }

  #track(seat: Seat, work: Promise<void>): void {
    seat.busy = true
    const done = work.finally(() => {
      seat.busy = false
      this.#pending.delete(done)
      this.#options.bell.ring()
    })
    this.#pending.add(done)
  }
}

function agentCounters(): CounterSet<CounterName<'agent'>> {
  return new CounterSet(counterNames('agent'))
}

function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}
