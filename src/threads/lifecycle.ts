// What the supervisor tells an agent's runner, and what the runner tells back: shared words.
//
// One line of 128 bytes an agent, and one a thread (of which only the heartbeat is used). `command`
// is written by the supervisor only; the others by the agent's runner only, and by the supervisor
// once that thread has ended.
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

  static bytes(lineCount: number): number {
    return lineCount * CACHE_ISOLATION_BYTES
  }

  /** The line of a thread: they stand behind those of the agents. */
  static ofThread(memory: SharedArrayBuffer, thread: { readonly line: number }): Lifecycle {
    return new Lifecycle(memory, thread.line)
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

  /** Odd while the agent is being called: a thread that stands still stands in this one. */
  get heartbeat(): number {
    // Compared with an earlier value only; a stale one is a beat late.
    return Atomics.load(this.#words, this.#at + WORD.heartbeat)
  }

  /** The agent is about to be called. */
  enter(): void {
    const at = this.#at + WORD.heartbeat
    // A single writer and a reader that tolerates any lag: plain stores, no atomics on each cycle.
    // One whose predecessor ended within a call finds the word odd.
    this.#words[at] = ((this.#words[at] as number) + 1) | 1 | 0
  }

  /** The call has returned. */
  leave(): void {
    const at = this.#at + WORD.heartbeat
    // As above.
    this.#words[at] = ((this.#words[at] as number) + 1) | 0
  }

  /** The thread has ended: whoever was being called no longer is. */
  leaveFor(): void {
    if ((this.heartbeat & 1) === 1) this.leave()
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
