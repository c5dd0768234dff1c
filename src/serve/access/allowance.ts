// A rate with a burst: what may be used now, and how long to wait when it is not enough.

export class Allowance {
  readonly #perMs: number
  readonly #burst: number
  /** Below 0: it was charged with more than it had. */
  #left: number
  #atMs: number

  constructor(perSecond: number, burst: number, nowMs: number) {
    this.#perMs = perSecond / 1000
    this.#burst = burst
    this.#left = burst
    this.#atMs = nowMs
  }

  /** Takes `count` when they are there. Returns 0, or the milliseconds until they are. */
  take(count: number, nowMs: number): number {
    this.#gain(nowMs)
    if (this.#left < count) return Math.ceil((count - this.#left) / this.#perMs)
    this.#left -= count
    return 0
  }

  /** Takes `count` whether they are there or not. */
  charge(count: number, nowMs: number): void {
    this.#gain(nowMs)
    this.#left -= count
  }

  /** What was charged beyond the allowance and has not come back yet. */
  debt(nowMs: number): number {
    this.#gain(nowMs)
    return Math.max(0, -this.#left)
  }

  /** Milliseconds until nothing is owed; 0 = nothing is. */
  waitMs(nowMs: number): number {
    return Math.ceil(this.debt(nowMs) / this.#perMs)
  }

  /** Nothing was used lately: it need not be remembered. */
  isFull(nowMs: number): boolean {
    this.#gain(nowMs)
    return this.#left >= this.#burst
  }

  #gain(nowMs: number): void {
    this.#left = Math.min(this.#burst, this.#left + (nowMs - this.#atMs) * this.#perMs)
    this.#atMs = nowMs
  }
}
