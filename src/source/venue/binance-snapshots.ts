// Which book snapshot to fetch when: pure, without HTTP. One request at a time, one a symbol per
// SYMBOL_EVERY_MS, within the venue's weight per minute, and not at all while the venue says wait.
//
// The limit is shared by everything behind one address, so half of it is used, and what the venue
// says was used counts when it is more than we know of. A symbol that failed is asked for again,
// later each time; a refused one (unknown to the venue) not until it is wanted anew.
//
// Invariant: wanted symbols are symbols of the configuration, so the list is bounded.

export interface SnapshotQueueOptions {
  /** Levels a side. */
  limit: number
  /** Weight that the venue allows a minute. */
  weightMax: number
  /** What a snapshot with this many levels weighs. */
  weightOf: (limit: number, weightMax: number) => number
}

const SYMBOL_EVERY_MS = 2000
const RETRY_MS_MAX = 60_000
const MINUTE_MS = 60_000
/** Share of the venue's weight that snapshots may use. */
const SHARE = 0.5

interface Wanted {
  notBeforeMs: number
  failures: number
}

export class SnapshotQueue {
  readonly #options: SnapshotQueueOptions
  /** In order of asking. */
  readonly #wanted = new Map<string, Wanted>()
  /** When each symbol was last fetched. */
  readonly #fetchedMs = new Map<string, number>()
  #busy: string | undefined
  #pausedUntilMs = 0
  #minuteMs = Number.NEGATIVE_INFINITY
  #usedWeight = 0

  constructor(options: SnapshotQueueOptions) {
    this.#options = { ...options }
  }

  get isIdle(): boolean {
    return this.#busy === undefined
  }

  /** The venue's own word on its limit. */
  setWeightMax(weightMax: number): void {
    this.#options.weightMax = weightMax
  }

  /** The book of the symbol needs a snapshot. Repeating it changes nothing. */
  want(symbol: string): void {
    if (this.#busy === symbol || this.#wanted.has(symbol)) return
    const fetchedMs = this.#fetchedMs.get(symbol)
    const notBeforeMs = fetchedMs === undefined ? 0 : fetchedMs + SYMBOL_EVERY_MS
    this.#wanted.set(symbol, { notBeforeMs, failures: 0 })
  }

  /** The symbol to fetch now, if any: the caller does, and reports how it went. */
  next(nowMs: number): string | undefined {
    if (this.#busy !== undefined || this.#wanted.size === 0) return undefined
    if (nowMs < this.#pausedUntilMs || !this.#hasWeight(nowMs)) return undefined
    for (const [symbol, { notBeforeMs }] of this.#wanted) {
      if (nowMs < notBeforeMs) continue
      this.#busy = symbol
      this.#usedWeight += this.#weight()
      return symbol
    }
    return undefined
  }

  /** The snapshot came. `usedWeight`: of this minute, by the venue's count, where it said. */
  done(nowMs: number, usedWeight: number | undefined): void {
    const symbol = this.#take()
    this.#noteWeight(usedWeight)
    if (symbol === undefined) return
    this.#wanted.delete(symbol)
    this.#fetchedMs.set(symbol, nowMs)
  }

  /** The symbol is not the venue's: it is not asked for again. */
  refused(): void {
    const symbol = this.#take()
    if (symbol !== undefined) this.#wanted.delete(symbol)
  }

  /** It did not come; `waitMs` where the venue forbids all requests for so long. */
  failed(nowMs: number, waitMs: number | undefined): void {
    const symbol = this.#take()
    if (waitMs !== undefined) this.#pausedUntilMs = Math.max(this.#pausedUntilMs, nowMs + waitMs)
    const wanted = symbol === undefined ? undefined : this.#wanted.get(symbol)
    if (wanted === undefined) return
    wanted.failures++
    const delayMs = SYMBOL_EVERY_MS * 2 ** Math.min(wanted.failures - 1, 10)
    wanted.notBeforeMs = nowMs + Math.min(RETRY_MS_MAX, delayMs)
  }

  #take(): string | undefined {
    const symbol = this.#busy
    this.#busy = undefined
    return symbol
  }

  #weight(): number {
    return this.#options.weightOf(this.#options.limit, this.#options.weightMax)
  }

  #hasWeight(nowMs: number): boolean {
    if (nowMs - this.#minuteMs >= MINUTE_MS) {
      this.#minuteMs = nowMs
      this.#usedWeight = 0
    }
    // A single snapshot may weigh more than the share: it goes when nothing else was used.
    const budget = Math.max(this.#options.weightMax * SHARE, this.#weight())
    return this.#usedWeight + this.#weight() <= budget
  }

  #noteWeight(usedWeight: number | undefined): void {
    if (usedWeight !== undefined) this.#usedWeight = Math.max(this.#usedWeight, usedWeight)
  }
}

/** Spot: 1,200 a minute before the venue's upgrade of 2026, 6,000 and five times dearer since. */
export function spotDepthWeight(limit: number, weightMax: number): number {
  const factor = weightMax >= 6000 ? 5 : 1
  if (limit <= 100) return factor
  if (limit <= 500) return 5 * factor
  return limit <= 1000 ? 10 * factor : 50 * factor
}

export function usdmDepthWeight(limit: number): number {
  if (limit <= 50) return 2
  if (limit <= 100) return 5
  return limit <= 500 ? 10 : 20
}

/** Until the venue has said: the smaller limit of spot, with which both regimes can live. */
export const SPOT_WEIGHT_MAX = 1200
export const USDM_WEIGHT_MAX = 2400
