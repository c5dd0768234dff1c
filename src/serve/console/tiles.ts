// The figures at the top: what a metric is now, or how fast it grows, with its last minute.

import type { Metrics } from './metrics.ts'
import { byId, element, millis, short } from './page.ts'

const POINTS = 60

interface Figure {
  readonly id: string
  readonly label: string
  readonly read: (metrics: Metrics, latencyMs: number) => number | undefined
  /** Shown as a growth a second. */
  readonly isRate?: boolean
  readonly format?: (value: number) => string
  /** More than none of it is a sign of trouble. */
  readonly isTrouble?: boolean
}

const percent = (value: number) => `${(value * 100).toFixed(value < 0.1 ? 1 : 0)} %`

const FIGURES: readonly Figure[] = [
  {
    id: 'ticks',
    label: 'ticks in / s',
    read: (m) => m.sum('tickd_decode_records_accepted_total'),
    isRate: true,
  },
  {
    id: 'stored',
    label: 'stored / s',
    read: (m) => m.sum('tickd_postgres_records_total'),
    isRate: true,
  },
  {
    id: 'delivered',
    label: 'delivered / s',
    read: (m) => m.sum('tickd_serve_records_delivered_total'),
    isRate: true,
  },
  {
    id: 'latency',
    label: 'receipt to page',
    read: (_, latencyMs) => (Number.isFinite(latencyMs) ? latencyMs : undefined),
    format: millis,
  },
  { id: 'subscribers', label: 'subscribers', read: (m) => m.sum('tickd_serve_subscribers') },
  { id: 'ring', label: 'fullest ring', read: (m) => m.ringFill(), format: percent },
  {
    id: 'gaps',
    label: 'venue gaps',
    read: (m) => m.sum('tickd_decode_gaps_total'),
  },
  {
    id: 'refused',
    label: 'refused',
    read: (m) =>
      (m.sumOf('tickd_decode_rejected_') ?? 0) +
      (m.sum('tickd_decode_records_quarantined_total') ?? 0),
  },
  {
    id: 'imbalances',
    label: 'ledger imbalances',
    read: (m) => m.sum('tickd_ledger_imbalance'),
    isTrouble: true,
  },
]

class Tile {
  readonly box = element('div', 'tile')
  readonly #figure: Figure
  readonly #value = element('b', '', '–')
  readonly #line = document.createElementNS('http://www.w3.org/2000/svg', 'polyline')
  readonly #points: number[] = []
  #before: { value: number; atMs: number } | undefined

  constructor(figure: Figure) {
    this.#figure = figure
    this.box.dataset.figure = figure.id
    this.box.append(this.#value, element('span', '', figure.label))
    if (figure.isRate !== true) return
    const svg = document.createElementNS('http://www.w3.org/2000/svg', 'svg')
    svg.setAttribute('viewBox', `0 0 ${POINTS - 1} 1`)
    svg.setAttribute('preserveAspectRatio', 'none')
    svg.setAttribute('aria-hidden', 'true')
    svg.append(this.#line)
    this.box.append(svg)
  }

  show(metrics: Metrics, latencyMs: number, nowMs: number): void {
    const { read, isRate, format = short, isTrouble } = this.#figure
    const value = read(metrics, latencyMs)
    if (value === undefined) return
    if (isRate === true) this.#showRate(value, nowMs)
    else this.#value.textContent = format(value)
    if (isTrouble === true) this.#value.className = value > 0 ? 'bad' : 'good'
  }

  #showRate(value: number, nowMs: number): void {
    const before = this.#before
    this.#before = { value, atMs: nowMs }
    if (before === undefined || nowMs <= before.atMs) return
    const rate = Math.max(0, ((value - before.value) * 1000) / (nowMs - before.atMs))
    this.#value.textContent = short(rate)
    this.#points.push(rate)
    if (this.#points.length > POINTS) this.#points.shift()
    const top = Math.max(1, ...this.#points)
    const first = POINTS - this.#points.length
    const points = this.#points.map((point, i) => `${first + i},${0.95 - (0.9 * point) / top}`)
    this.#line.setAttribute('points', points.join(' '))
  }
}

export class Tiles {
  readonly #tiles = FIGURES.map((figure) => new Tile(figure))

  constructor() {
    byId('tiles').append(...this.#tiles.map(({ box }) => box))
  }

  /** `latencyMs`: of this page's own feed. */
  show(metrics: Metrics, latencyMs: number, nowMs: number): void {
    for (const tile of this.#tiles) tile.show(metrics, latencyMs, nowMs)
  }
}
