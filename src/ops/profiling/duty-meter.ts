// What an agent's duty cycles cost: how many, how long, how often too long. For its runner.
//
// Three or four stores to shared memory a cycle that did something; idle cycles are not counted.

import type { CounterName } from '../counter-catalog.ts'
import type { CounterSet } from '../counters.ts'

/** Longer cycles are counted: by so much does everything else on the thread wait. */
export const DUTY_LONG_MS = 10

export class DutyMeter {
  readonly #values: Float64Array
  readonly #cycles: number
  readonly #seconds: number
  readonly #secondsMax: number
  readonly #long: number

  constructor(counters: CounterSet<CounterName<'agent'>>) {
    this.#values = counters.values
    this.#cycles = counters.index('duty_cycles')
    this.#seconds = counters.index('duty_seconds')
    this.#secondsMax = counters.index('duty_seconds_max')
    this.#long = counters.index('duty_long')
  }

  /** Notes a duty cycle that did work. */
  note(dutyMs: number): void {
    const values = this.#values
    const seconds = dutyMs / 1000
    values[this.#cycles] = (values[this.#cycles] as number) + 1
    values[this.#seconds] = (values[this.#seconds] as number) + seconds
    if (seconds > (values[this.#secondsMax] as number)) values[this.#secondsMax] = seconds
    if (dutyMs > DUTY_LONG_MS) values[this.#long] = (values[this.#long] as number) + 1
  }
}
