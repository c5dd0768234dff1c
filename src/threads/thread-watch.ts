// Does a thread stand still? Its heartbeats, looked at once a second by main. Pure: words and times
// in, a verdict out; what follows is the supervisor's.
//
// A thread beats with each turn of its loop, at least every IDLE_MS_MAX. It may pause for longer:
// a collection, a profile, a machine that is overloaded, an fsync. So the time it is given depends
// on who is being called: an agent that waits for the disk, or that starts, has more. Time that
// main itself did not see pass (the machine or the whole process slept) does not count.

import type { StageName } from '../pipeline.ts'
import { Lifecycle, STATE } from './lifecycle.ts'
import type { AgentPlan, ThreadPlan } from './plan.ts'

export const WATCH_MS = 1000
/** Of the time between two looks, what counts at most. */
const LOOK_MS_MAX = 2 * WATCH_MS
/**
 * To load the program, and to start an agent: seconds, on a busy machine; journals are looked at.
 */
const BOOT_MS_MAX = 60_000
/** Its duty cycle may wait for the disk. */
const DISK_STAGES: readonly StageName[] = ['journal']

export interface WatchSettings {
  readonly hang_ms: number
  readonly disk_hang_ms: number
}

/** A thread, or an agent's start or close, has not moved on for longer than it may. */
export interface Hang {
  /** In whose call; undefined = in none of them. */
  readonly roleName: string | undefined
  readonly stillMs: number
  readonly allowedMs: number
}

interface Watched extends AgentPlan {
  readonly line: Lifecycle
  /** Restarts when it was last seen, and for how long it has been starting since. */
  restarts: number
  startingMs: number
}

export class ThreadWatch {
  readonly #settings: WatchSettings
  readonly #pulse: Lifecycle
  readonly #agents: readonly Watched[]
  /** The thread's own beats when it was started: none since = it is loading the program. */
  readonly #bootBeats: number
  #beats = 0
  #stillMs = 0
  #lookedMs: number

  /** `lines`: the lifecycle memory. */
  constructor(
    thread: ThreadPlan,
    lines: SharedArrayBuffer,
    settings: WatchSettings,
    nowMs: number,
  ) {
    this.#settings = settings
    this.#pulse = Lifecycle.ofThread(lines, thread)
    this.#agents = thread.agents.map((agent) => ({
      ...agent,
      line: new Lifecycle(lines, agent.slot),
      restarts: 0,
      startingMs: 0,
    }))
    this.#bootBeats = this.#pulse.heartbeat
    this.#lookedMs = nowMs
  }

  /** Looks once. `isPaused`: a profiler may hold the thread, and its time does not count. */
  look(nowMs: number, isPaused = false): Hang | undefined {
    const passedMs = isPaused ? 0 : Math.min(nowMs - this.#lookedMs, LOOK_MS_MAX)
    this.#lookedMs = nowMs
    const beats = this.#beatSum()
    this.#stillMs = beats === this.#beats ? this.#stillMs + passedMs : 0
    this.#beats = beats
    return this.#stillThread() ?? this.#stillStart(passedMs)
  }

  /** The agent that is being called; undefined when none is. */
  called(): AgentPlan | undefined {
    return this.#agents.find(({ line }) => (line.heartbeat & 1) === 1)
  }

  /** Any beat will do: an agent that is called again and again moves on. */
  #beatSum(): number {
    let sum = this.#pulse.heartbeat
    for (const { line } of this.#agents) sum = (sum + line.heartbeat) | 0
    return sum
  }

  #stillThread(): Hang | undefined {
    const called = this.called()
    const allowedMs = this.#allowedMs(called)
    if (this.#stillMs <= allowedMs) return undefined
    return { roleName: called?.roleName, stillMs: Math.round(this.#stillMs), allowedMs }
  }

  /** An asynchronous start that never ends leaves the loop turning. */
  #stillStart(passedMs: number): Hang | undefined {
    for (const agent of this.#agents) {
      const isStarting = agent.line.state === STATE.starting
      const { restarts } = agent.line
      agent.startingMs = isStarting && restarts === agent.restarts ? agent.startingMs + passedMs : 0
      agent.restarts = restarts
      const allowedMs = Math.max(BOOT_MS_MAX, this.#settings.disk_hang_ms)
      if (agent.startingMs > allowedMs) {
        return { roleName: agent.roleName, stillMs: Math.round(agent.startingMs), allowedMs }
      }
    }
    return undefined
  }

  #allowedMs(called: AgentPlan | undefined): number {
    const { hang_ms: hangMs, disk_hang_ms: diskHangMs } = this.#settings
    if (this.#pulse.heartbeat === this.#bootBeats) return Math.max(BOOT_MS_MAX, diskHangMs)
    const isStarting = this.#agents.some(
      ({ slot, line }) => slot === called?.slot && line.state !== STATE.running,
    )
    const isAtDisk = called !== undefined && DISK_STAGES.includes(called.stage)
    if (isStarting) return Math.max(BOOT_MS_MAX, diskHangMs)
    return isAtDisk ? Math.max(diskHangMs, hangMs) : hangMs
  }
}
