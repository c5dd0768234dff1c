// What the tiles show, read from the text of GET /metrics.

/** Sums of each metric over its labels, and the single values. */
export class Metrics {
  readonly #sums = new Map<string, number>()
  readonly #values = new Map<string, number>()

  constructor(text: string) {
    for (const line of text.split('\n')) {
      if (line === '' || line.startsWith('#')) continue
      const space = line.lastIndexOf(' ')
      const key = line.slice(0, space)
      const name = key.split('{', 1)[0] as string
      const value = Number(line.slice(space + 1))
      this.#sums.set(name, (this.#sums.get(name) ?? 0) + value)
      this.#values.set(key, value)
    }
  }

  sum(name: string): number | undefined {
    return this.#sums.get(name)
  }

  /** Sum of all metrics whose name begins so. */
  sumOf(prefix: string): number | undefined {
    let sum: number | undefined
    for (const [name, value] of this.#sums) {
      if (name.startsWith(prefix)) sum = (sum ?? 0) + value
    }
    return sum
  }

  /** The fullest ring, 0 … 1: each `<ring>` metric over the capacity with the same labels. */
  ringFill(): number | undefined {
    let fullest: number | undefined
    for (const [used, capacity] of RINGS) {
      for (const [key, value] of this.#values) {
        if (!key.startsWith(`${used}{`)) continue
        const size = this.#values.get(key.replace(used, capacity))
        if (size !== undefined && size > 0) fullest = Math.max(fullest ?? 0, value / size)
      }
    }
    return fullest
  }
}

const RINGS = [
  ['tickd_frame_ring_fill_bytes', 'tickd_frame_ring_capacity_bytes'],
  ['tickd_tick_ring_lag_records', 'tickd_tick_ring_capacity_records'],
] as const
