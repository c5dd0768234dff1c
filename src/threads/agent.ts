// The contract of a role: what a runner may call, and what an agent may count on.
//
// An agent owns its state and is only ever called by one thread. It never loops, sleeps or blocks
// on its own account: the runner loops, idles and catches. `onStart` may be asynchronous. `doWork`
// does a bounded amount and returns how much (0 = idle). An agent that waits for asynchronous
// things (a socket, a query) starts them in `doWork` and calls the `wake` it was given when they
// end. Time comes from the injected clock; periodic work compares `clock.monoMs()` in `doWork`,
// which is called at least every IDLE_MS_MAX.

export interface Agent {
  /** 'decode-0': the stage and the shard (or instance). */
  readonly roleName: string
  /** Acquires what the agent needs. A throw here stops the daemon's start, with its message. */
  onStart?(): void | Promise<void>
  /** One duty cycle: a bounded batch. Returns work items done. A throw restarts the agent. */
  doWork(): number
  /**
   * Ordered shutdown. Called after each duty cycle once the stages before this one are drained.
   * The first call stops the intake of new work; true = nothing is left to do.
   */
  drain(): boolean
  /**
   * Longest wait, in milliseconds, before the next duty cycle although nothing arrives. Asked when
   * the agent was idle; below IDLE_MS_MAX where something falls due sooner. Absent = IDLE_MS_MAX.
   */
  idleMsMax?(): number
  /**
   * Time, in milliseconds, for which it wants nothing of what may come: it gathers. Asked when the
   * agent was idle. A thread on which all agents say so sleeps for that long without being rung;
   * others ask for a duty cycle as ever. Absent = 0.
   */
  napMs?(): number
  /** Releases everything. Called once, after `drain`, or after a throw (then: best effort). */
  onClose?(): void | Promise<void>
}

/** Longest time between duty cycles of an idle agent, milliseconds. */
export const IDLE_MS_MAX = 250
