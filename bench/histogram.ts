// hot path
// Latencies in an HDR histogram: log-linear buckets, so that every value is kept to within 1 %.
//
// Values are microseconds; counted in eighths of one, up to 268 s (longer ones count as that).
// Below 128 eighths each value has a bucket; above, each power of two is cut into 64.

const EIGHTHS = 8
const VALUE_MAX = 2 ** 31 - 1
const LINEAR_BITS = 7
const HALF = 2 ** (LINEAR_BITS - 1)
const BUCKET_COUNT = (31 - LINEAR_BITS + 2) * HALF

export interface LatencySummary {
  readonly count: number
  readonly p50Us: number
  readonly p99Us: number
  readonly p999Us: number
  readonly maxUs: number
}

export class Histogram {
  count = 0
  #max = 0
  readonly #buckets = new Float64Array(BUCKET_COUNT)

  /** Counts `times` values of `us` microseconds; below 0 counts as 0. */
  record(us: number, times = 1): void {
    const eighths = us * EIGHTHS
    const value = eighths < VALUE_MAX ? Math.max(0, eighths) | 0 : VALUE_MAX
    const index = bucketOf(value)
    this.#buckets[index] = (this.#buckets[index] as number) + times
    this.count += times
    if (value > this.#max) this.#max = value
  }

  /** The value that `percent` of all values do not exceed, in microseconds; 0 when empty. */
  percentile(percent: number): number {
    const wanted = Math.max(1, Math.ceil((this.count * percent) / 100))
    let seen = 0
    for (let index = 0; index < BUCKET_COUNT; index++) {
      seen += this.#buckets[index] as number
      if (seen >= wanted) return Math.min(highestOf(index), this.#max) / EIGHTHS
    }
    return 0
  }

  summary(): LatencySummary {
    return {
      count: this.count,
      p50Us: this.percentile(50),
      p99Us: this.percentile(99),
      p999Us: this.percentile(99.9),
      maxUs: this.#max / EIGHTHS,
    }
  }

  reset(): void {
    this.#buckets.fill(0)
    this.count = 0
    this.#max = 0
  }
}

/** Values below 2 x HALF are their own bucket; then HALF buckets to each power of two. */
function bucketOf(value: number): number {
  const shift = Math.max(0, 32 - LINEAR_BITS - Math.clz32(value))
  return shift * HALF + (value >>> shift)
}

/** The highest value that falls into a bucket. */
function highestOf(index: number): number {
  const shift = Math.max(0, Math.floor(index / HALF) - 1)
  return (index - shift * HALF + 1) * 2 ** shift - 1
}
