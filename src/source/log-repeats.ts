// One log line for many occurrences of the same trouble: the first at once, then a count at most
// every `everyMs`. A flood of drops or refusals must not become a flood of lines.

import type { Log } from '../ops/log.ts'

const EVERY_MS = 10_000

export class LogRepeats {
  readonly #log: Log
  readonly #message: string
  readonly #everyMs: number
  #count = 0
  #size = 0
  #lastMs = Number.NEGATIVE_INFINITY

  constructor(log: Log, message: string, everyMs = EVERY_MS) {
    this.#log = log
    this.#message = message
    this.#everyMs = everyMs
  }

  /** It happened (again), with so many bytes. Logs when the last line is old enough. */
  note(nowMs: number, sizeBytes: number, fields: object = {}): void {
    this.#count++
    this.#size += sizeBytes
    this.#flush(nowMs, fields)
  }

  /** Logs what `note` held back, once it is time. Called every duty cycle; cheap when quiet. */
  tick(nowMs: number): void {
    if (this.#count > 0) this.#flush(nowMs, {})
  }

  #flush(nowMs: number, fields: object): void {
    if (nowMs - this.#lastMs < this.#everyMs) return
    this.#log.warn({ ...fields, count: this.#count, bytes: this.#size }, this.#message)
    this.#count = 0
    this.#size = 0
    this.#lastMs = nowMs
  }
}
