// The shape of a benchmark.

export interface BenchOptions {
  rounds: number
  /** Ticks in one round. */
  ticks: number
  subscribers: number
  progress: (text: string) => void
}

export type BenchSizes = Omit<BenchOptions, 'progress'>

export interface Bench {
  readonly name: string
  /** One line for --list. */
  readonly summary: string
  readonly full: BenchSizes
  readonly smoke: BenchSizes
  /** Runs and verifies. Throws when a result is wrong. */
  run(options: BenchOptions): Promise<Record<string, unknown>>
  /** The report as text. */
  text(report: Record<string, unknown>): string
}

/** Median of several rounds. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = Math.floor(sorted.length / 2)
  const upper = sorted[middle] as number
  return sorted.length % 2 === 1 ? upper : (upper + (sorted[middle - 1] as number)) / 2
}

/** (max - min) / median, in percent. */
export function spreadPercent(values: readonly number[]): number {
  return ((Math.max(...values) - Math.min(...values)) / median(values)) * 100
}
