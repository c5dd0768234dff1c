// What the supervisor tells an agent's runner, and what the runner tells back: shared words.
//
// One line of 128 bytes an agent. `command` is written by the supervisor only; the others by the
// agent's runner only.
//
//   command  IDLE → RUN → DRAIN → CLOSE
//   state    NEW → STARTING → RUNNING → DRAINED → CLOSED, or FAILED for good

import { assert } from '../errors.ts'
import { CACHE_ISOLATION_BYTES } from '../limits.ts'

export const COMMAND = Object.freeze({ idle: 0, run: 1, drain: 2, close: 3 })
export const STATE = Object.freeze({
  fresh: 0,
  starting: 1,
  running: 2,
  drained: 3,
  closed: 4,
  failed: 5,
})
export const STATE_NAMES = ['new', 'starting', 'running', 'drained', 'closed', 'failed'] as const

/** Any long time: the timer's only use is that it exists. */
export const KEEP_ALIVE_MS = 2 ** 30

const WORDS = CACHE_ISOLATION_BYTES / 4
const WORD = Object.freeze({ command: 0, state: 1, heartbeat: 2, restarts: 3 })

export class Lifecycle {
  readonly #words: Int32Array
  readonly #at: number

  constructor(memory: SharedArrayBuffer, slot: number) {
    this.#words = new Int32Array(memory)
    this.#at = slot * WORDS
    assert(this.#at < this.#words.length, 'the lifecycle line lies within its memory')
  }

  static bytes(agentCount: number): number {
    return agentCount * CACHE_ISOLATION_BYTES
  }

  get command(): number {
    // Pairs with the supervisor's store. Stale = the command is seen one duty cycle later.
    return Atomics.load(this.#words, this.#at + WORD.command)
  }

  set command(command: number) {
    // The supervisor rings the thread's doorbell after this.
    Atomics.store(this.#words, this.#at + WORD.command, command)
  }

  get state(): number {
    // Pairs with the runner's store, below; the supervisor sleeps on it in waitState().
    return Atomics.load(this.#words, this.#at + WORD.state)
  }

  set state(state: number) {
    // Publishes all that the agent did before it.
    Atomics.store(this.#words, this.#at + WORD.state, state)
    // Wakes the supervisor in waitState().
    Atomics.notify(this.#words, this.#at + WORD.state)
  }

  get heartbeat(): number {
    // Compared with an earlier value only; a stale one is a beat late.
    return Atomics.load(this.#words, this.#at + WORD.heartbeat)
  }

  /** One more duty cycle. */
  beat(): void {
    const at = this.#at + WORD.heartbeat
    // A single writer and a reader that tolerates any lag: a plain add, no atomics on each cycle.
    this.#words[at] = ((this.#words[at] as number) + 1) | 0
  }

  get restarts(): number {
    // For metrics and the supervisor's tolerance; a stale value is an old count.
    return Atomics.load(this.#words, this.#at + WORD.restarts)
  }

  countRestart(): number {
    // Single writer; atomic so that a successor thread goes on counting.
    return Atomics.add(this.#words, this.#at + WORD.restarts, 1) + 1
  }

  /** Waits until the state is one of `states`, or `timeoutMs` has passed; returns the state. */
  async waitState(states: readonly number[], timeoutMs: number): Promise<number> {
    const deadline = performance.now() + timeoutMs
    // A pending waitAsync does not keep the event loop alive: a timer must.
    const keepAlive = setInterval(() => {}, KEEP_ALIVE_MS)
    try {
      for (;;) {
        const state = this.state
        const leftMs = deadline - performance.now()
        if (states.includes(state) || leftMs <= 0) return state
        // Pairs with the notify in `state`; 'not-equal' when it changed meanwhile.
        const wait = Atomics.waitAsync(this.#words, this.#at + WORD.state, state, leftMs)
        if (wait.async) await wait.value
      }
    } finally {
      clearInterval(keepAlive)
    }
  }
}
