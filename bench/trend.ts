// Does a series of samples climb? A straight line by least squares, judged against a bound.

export interface Trend {
  /** Growth of the fitted line an hour, in the unit of the values. */
  readonly perHour: number
  /** Growth of the fitted line from the first sample to the last. */
  readonly growth: number
  readonly median: number
}

/** `seconds` and `values` of the same samples, at least two at different times. */
export function trendOf(seconds: readonly number[], values: readonly number[]): Trend {
  const count = seconds.length
  const mean = (of: readonly number[]) => of.reduce((sum, value) => sum + value, 0) / count
  const meanSeconds = mean(seconds)
  const meanValue = mean(values)
  let covariance = 0
  let variance = 0
  seconds.forEach((second, i) => {
    covariance += (second - meanSeconds) * ((values[i] as number) - meanValue)
    variance += (second - meanSeconds) ** 2
  })
  if (variance === 0) throw new Error('a trend needs samples at different times')
  const slope = covariance / variance
  const sorted = [...values].sort((a, b) => a - b)
  return {
    perHour: slope * 3600,
    growth: slope * (Math.max(...seconds) - Math.min(...seconds)),
    median: sorted[Math.floor(count / 2)] as number,
  }
}
