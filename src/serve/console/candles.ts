// Candles of one instrument, built from its trades as the feed brings them.
//
// Trades come in the order of the feed, which may differ a little from that of the venue's clock:
// a trade goes into the candle of its own time. Bounded: the oldest candle goes for a new one.

export interface Candle {
  /** Begin of its interval, milliseconds since 1970. */
  readonly atMs: number
  open: number
  high: number
  low: number
  close: number
  volume: number
}

export class Candles {
  readonly intervalMs: number
  readonly list: Candle[] = []
  readonly #countMax: number

  constructor(intervalMs: number, countMax: number) {
    this.intervalMs = intervalMs
    this.#countMax = countMax
  }

  add(timeMs: number, price: number, size: number): void {
    if (!Number.isFinite(timeMs) || !Number.isFinite(price)) return
    const atMs = Math.floor(timeMs / this.intervalMs) * this.intervalMs
    const volume = Number.isFinite(size) ? size : 0
    const { list } = this
    let index = list.length
    while (index > 0 && (list[index - 1] as Candle).atMs > atMs) index--
    const before = list[index - 1]
    if (before?.atMs === atMs) {
      before.high = Math.max(before.high, price)
      before.low = Math.min(before.low, price)
      before.close = price
      before.volume += volume
      return
    }
    list.splice(index, 0, { atMs, open: price, high: price, low: price, close: price, volume })
    if (list.length > this.#countMax) list.shift()
  }
}
