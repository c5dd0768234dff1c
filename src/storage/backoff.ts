// Waits between attempts to reach a database: doubled up to a cap, with jitter.

import type { Clock } from '../clock.ts'
import { STORE_RETRY_MS_MAX, STORE_RETRY_MS_MIN } from '../limits.ts'

export class Backoff {
  readonly #clock: Clock
  readonly #random: () => number
  #waitMs = STORE_RETRY_MS_MIN
  #untilMs = Number.NEGATIVE_INFINITY

  /** `random` gives [0, 1). */
  constructor(clock: Clock, random: () => number = Math.random) {
    this.#clock = clock
    this.#random = random
  }

  /** Begins a wait. Returns its length: between half of the present step and all of it. */
  next(): number {
    const waitMs = this.#waitMs * (0.5 + this.#random() / 2)
    this.#untilMs = this.#clock.monoMs() + waitMs
    this.#waitMs = Math.min(this.#waitMs * 2, STORE_RETRY_MS_MAX)
    return waitMs
  }

  isOver(): boolean {
    return this.#clock.monoMs() >= this.#untilMs
  }

  /** After a success: the next wait is the shortest again. */
  reset(): void {
    this.#waitMs = STORE_RETRY_MS_MIN
    this.#untilMs = Number.NEGATIVE_INFINITY
  }
}
