// The shape of a benchmark, and what all of them report alike.
//
// A bench names its sizes: rounds, ticks, rate, … Each is an option of the command line (`--ticks
// 100000`), with a value for a full run and one for --smoke.

import { type Machine, machineText } from './machine.ts'

/** The sizes of a bench that names no others. */
export type DefaultSize = 'rounds' | 'ticks' | 'subscribers'

export type BenchSizes<Size extends string = DefaultSize> = Readonly<Record<Size, number>>

export type BenchOptions<Size extends string = DefaultSize> = BenchSizes<Size> & {
  progress: (text: string) => void
}

/** `goals`: Goal[], what is to be reached; `failure`: text, why the run counts as failed. */
export type Report = Record<string, unknown>

export interface Bench<Size extends string = DefaultSize> {
  readonly name: string
  /** One line for --list. */
  readonly summary: string
  readonly full: BenchSizes<Size>
  readonly smoke: BenchSizes<Size>
  /** Runs and verifies. Throws when a result is wrong. */
  run(options: BenchOptions<Size>): Promise<Report>
  /** The report as text. */
  text(report: Report): string
}

/** A figure that is to be reached; a report lists them as `goals`. */
export interface Goal {
  readonly what: string
  readonly value: number
  readonly unit: string
  /** The value must be at least, or at most, this. */
  readonly bound: number
  readonly isLeast: boolean
}

export function atLeast(bound: number, what: string, value: number, unit = ''): Goal {
  return { what, value, unit, bound, isLeast: true }
}

export function atMost(bound: number, what: string, value: number, unit = ''): Goal {
  return { what, value, unit, bound, isLeast: false }
}

export function isMet({ value, bound, isLeast }: Goal): boolean {
  return isLeast ? value >= bound : value <= bound
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

/** The first lines of a text report. */
export function headText(report: Report, title: string): string {
  const { machine, stolenPercent, durability } = report as {
    machine: Machine
    stolenPercent?: number
    durability?: string
  }
  const stolen = stolenPercent?.toFixed(1)
  return (
    `${report.bench}: ${title}\n` +
    machineText(machine) +
    (stolen === undefined ? '' : `its host gave others ${stolen} % of the CPU time wanted here\n`) +
    (durability === undefined ? '' : `durability: ${durability}\n`)
  )
}

/** A line of a text report: the median of several rounds, and their spread. */
export function figureText(
  label: string,
  values: readonly number[],
  digits: number,
  unit: string,
): string {
  const figure = `${median(values).toFixed(digits)} ${unit}`.trimEnd()
  // Of a median of 0 the spread has no meaning.
  const hasSpread = values.length > 1 && median(values) !== 0
  const spread = hasSpread ? ` (spread ${spreadPercent(values).toFixed(0)} %)` : ''
  return `  ${label.padEnd(44)} ${figure}${spread}\n`
}

/** The last lines of a text report: which goals are met. */
export function goalsText(report: Report): string {
  return ((report.goals ?? []) as Goal[])
    .map((goal) => {
      const { found, bound } = goalText(goal)
      return `  ${isMet(goal) ? 'met    ' : 'NOT MET'}  ${goal.what}: ${found} (goal ${bound})\n`
    })
    .join('')
}

/** `79.7 M records/s` and `≥ 100`. */
export function goalText({ value, unit, bound, isLeast }: Goal): { found: string; bound: string } {
  const found = `${Number(value.toPrecision(3))} ${unit}`.trimEnd()
  return { found, bound: `${isLeast ? '≥' : '≤'} ${bound}` }
}
