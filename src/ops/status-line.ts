// One line a second of what the daemon does, on a terminal. Rates are differences of counters.

export interface StatusTotals {
  /** Records published on the tick rings. */
  records: number
  /** Records fsynced, stored: sequences, summed over shards. */
  durable: number
  stored: number
  subscribers: number
  delivered: number
  /** Messages rejected, records quarantined, frames dropped. */
  refused: number
}

export class StatusLine {
  #last: StatusTotals | undefined
  #lastMs = 0

  /** The line for the time since the last call; '' at the first. */
  next(totals: StatusTotals, nowMs: number): string {
    const last = this.#last
    const seconds = (nowMs - this.#lastMs) / 1000
    this.#last = { ...totals }
    this.#lastMs = nowMs
    if (last === undefined || seconds <= 0) return ''
    const rate = (now: number, before: number) => `${short((now - before) / seconds)}/s`
    return [
      `in ${rate(totals.records, last.records)}`,
      `durable ${rate(totals.durable, last.durable)}`,
      `stored ${rate(totals.stored, last.stored)}`,
      `behind ${short(Math.max(0, totals.durable - totals.stored))}`,
      `out ${rate(totals.delivered, last.delivered)} to ${totals.subscribers}`,
      `refused ${short(totals.refused)}`,
      `total ${short(totals.durable)}`,
    ].join(' · ')
  }
}

/** 1234567 -> '1.23 M'. */
function short(value: number): string {
  if (value >= 1e9) return `${(value / 1e9).toFixed(2)} G`
  if (value >= 1e6) return `${(value / 1e6).toFixed(2)} M`
  if (value >= 1e4) return `${(value / 1e3).toFixed(1)} k`
  return String(Math.round(value))
}
