// Draws candles on a canvas: prices above, volumes below, the newest at the right edge.

import type { Candle, Candles } from './candles.ts'

const STEP_PX = 9
const BODY_PX = 6
const AXIS_PX = 64
const TIME_PX = 18
/** Of the height, for volumes. */
const VOLUME_SHARE = 0.18
const LINES = 4

export class Chart {
  readonly #canvas: HTMLCanvasElement
  readonly #context: CanvasRenderingContext2D

  constructor(canvas: HTMLCanvasElement) {
    this.#canvas = canvas
    this.#context = canvas.getContext('2d') as CanvasRenderingContext2D
  }

  draw(candles: Candles): void {
    const { clientWidth: width, clientHeight: height } = this.#canvas
    const scale = devicePixelRatio
    this.#canvas.width = Math.round(width * scale)
    this.#canvas.height = Math.round(height * scale)
    const context = this.#context
    context.scale(scale, scale)
    context.font = '11px system-ui, sans-serif'
    const style = getComputedStyle(document.documentElement)
    const color = (name: string) => style.getPropertyValue(name).trim()
    const shown = candles.list.slice(-Math.max(1, Math.floor((width - AXIS_PX) / STEP_PX)))
    if (shown.length === 0) {
      context.fillStyle = color('--soft')
      context.fillText('Waiting for the first trade …', 8, height / 2)
      return
    }
    const plot = new Plot(shown, width - AXIS_PX, height - TIME_PX)
    this.#axes(plot, width, height, color)
    for (const [index, candle] of shown.entries()) {
      this.#candle(plot, index, candle, color(candle.close >= candle.open ? '--good' : '--bad'))
    }
  }

  #axes(plot: Plot, width: number, height: number, color: (name: string) => string): void {
    const context = this.#context
    context.lineWidth = 1
    for (let line = 0; line <= LINES; line++) {
      const price = plot.low + ((plot.high - plot.low) * line) / LINES
      const y = Math.round(plot.y(price)) + 0.5
      context.strokeStyle = color('--line')
      context.beginPath()
      context.moveTo(0, y)
      context.lineTo(width - AXIS_PX, y)
      context.stroke()
      context.fillStyle = color('--soft')
      context.fillText(priceLabel(price, plot.high - plot.low), width - AXIS_PX + 6, y + 4)
    }
    const every = Math.ceil(90 / STEP_PX)
    for (let i = plot.candles.length - 1; i >= 0; i -= every) {
      const time = new Date((plot.candles[i] as Candle).atMs).toISOString().slice(11, 19)
      const x = plot.x(i) - 22
      if (x >= 0) context.fillText(time, x, height - 4)
    }
  }

  #candle(plot: Plot, index: number, candle: Candle, color: string): void {
    const context = this.#context
    const x = plot.x(index)
    const { open, close, high, low, volume } = candle
    context.fillStyle = color
    context.strokeStyle = color
    context.beginPath()
    context.moveTo(x + 0.5, plot.y(high))
    context.lineTo(x + 0.5, plot.y(low))
    context.stroke()
    const top = plot.y(Math.max(open, close))
    const body = Math.max(1, plot.y(Math.min(open, close)) - top)
    context.fillRect(x - BODY_PX / 2 + 0.5, top, BODY_PX, body)
    context.globalAlpha = 0.3
    const bar = plot.volumeHeight(volume)
    context.fillRect(x - BODY_PX / 2 + 0.5, plot.height - bar, BODY_PX, bar)
    context.globalAlpha = 1
  }
}

/** From prices and indexes to pixels. */
class Plot {
  readonly candles: readonly Candle[]
  readonly height: number
  readonly low: number
  readonly high: number
  readonly #width: number
  readonly #volumeMax: number

  constructor(candles: readonly Candle[], width: number, height: number) {
    this.candles = candles
    this.height = height
    this.#width = width
    const low = Math.min(...candles.map((candle) => candle.low))
    const high = Math.max(...candles.map((candle) => candle.high))
    const air = (high - low) * 0.05 || Math.abs(high) * 0.001 || 1
    this.low = low - air
    this.high = high + air
    this.#volumeMax = Math.max(...candles.map((candle) => candle.volume)) || 1
  }

  x(index: number): number {
    return Math.round(this.#width - (this.candles.length - index - 0.5) * STEP_PX)
  }

  y(price: number): number {
    const room = this.height * (1 - VOLUME_SHARE) - 8
    return 8 + ((this.high - price) / (this.high - this.low)) * room
  }

  volumeHeight(volume: number): number {
    return (volume / this.#volumeMax) * this.height * VOLUME_SHARE
  }
}

/** As many decimals as tell the lines of the axis apart. */
function priceLabel(price: number, range: number): string {
  const decimals = Math.min(8, Math.max(0, Math.ceil(1 - Math.log10(range / LINES))))
  return price.toFixed(decimals)
}
