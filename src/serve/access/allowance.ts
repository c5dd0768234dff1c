// A rate with a burst: what may be used now, and how long to wait when it is not enough.
//
// All that was used is one moment: when nothing more will have to come back. Until then the burst
// is short by what comes back in that time; beyond it something is owed. So several threads share
// an allowance where each keeps a moment of its own and goes by the latest: see UsageBoard.

/** Where the moment is kept: monotonic ms. One that has passed is as good as any other. */
export interface Moment {
  get(): number
  set(ms: number): void
}

/** Of what is taken: numbers that come back in fractions are not exact. */
const TOLERANCE = 1e-6

export class Allowance {
  readonly #perMs: number
  readonly #burst: number
  readonly #full: Moment

  /** `full`: a moment of its own, long past, if not given. */
  constructor(perSecond: number, burst: number, full: Moment = ownMoment()) {
    this.#perMs = perSecond / 1000
    this.#burst = burst
    this.#full = full
  }

  /** Takes `count` when they are there. Returns 0, or the milliseconds until they are. */
  take(count: number, nowMs: number): number {
    const left = this.#left(nowMs)
    if (left < count - TOLERANCE) return Math.ceil((count - left) / this.#perMs)
    this.charge(count, nowMs)
    return 0
  }

  /** Takes `count` whether they are there or not. */
  charge(count: number, nowMs: number): void {
    this.#full.set(Math.max(this.#full.get(), nowMs) + count / this.#perMs)
  }

  /** What was charged beyond the allowance and has not come back yet. */
  debt(nowMs: number): number {
    return Math.max(0, -this.#left(nowMs))
  }

  /** Milliseconds until nothing is owed; 0 = nothing is. */
  waitMs(nowMs: number): number {
    return Math.ceil(this.debt(nowMs) / this.#perMs)
  }

  /** Nothing was used lately: it need not be remembered. */
  isFull(nowMs: number): boolean {
    return this.#full.get() <= nowMs
  }

  #left(nowMs: number): number {
    return this.#burst - Math.max(0, this.#full.get() - nowMs) * this.#perMs
  }
}

function ownMoment(): Moment {
  let ms = Number.NEGATIVE_INFINITY
  return {
    get: () => ms,
    set: (later) => {
      ms = later
    },
  }
}
