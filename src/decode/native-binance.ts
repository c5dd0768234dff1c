// hot path
// Binance frames by the native kernel; what it leaves is the JS decoder's, message by message.
//
// One crossing a frame. Order books are kept by JS: the kernel writes a depth update's levels, and
// BinanceDepth judges whether they count; an update that reveals a gap is decoded anew by JS. Leaps
// of trade ids are found by JS as well (trade-chain.ts).

import type { Addon } from '../native/addon.ts'
import { BINANCE_CODE, KERNEL, OUT } from '../native/control.ts'
import type { FrameMeta } from '../ring/frame-ring.ts'
import type { TickBatch } from '../tick/batch.ts'
import { BinanceDecoder, type BinanceOptions } from './binance.ts'
import { BinanceDepth } from './binance-depth.ts'
import { type Decoder, type DecodeTally, EVENT } from './decoder.ts'
import { DecodeSession } from './native-session.ts'
import { TradeChain } from './trade-chain.ts'

export class NativeBinanceDecoder implements Decoder {
  readonly #twin: BinanceDecoder
  readonly #depth: BinanceDepth
  readonly #chain = new TradeChain()
  readonly #session: DecodeSession

  constructor(addon: Addon, options: BinanceOptions) {
    const kernel = options.market === 'usdm' ? KERNEL.binanceUsdm : KERNEL.binance
    this.#depth = new BinanceDepth(options.market)
    this.#twin = new BinanceDecoder(options, this.#depth, this.#chain)
    this.#session = new DecodeSession(addon, kernel, options.venue, options.instruments)
  }

  decode(
    bytes: Uint8Array,
    start: number,
    end: number,
    meta: FrameMeta,
    out: TickBatch,
    tally: DecodeTally,
  ): void {
    this.#session.run(bytes, start, end, meta, out, tally)
    const { control } = this.#session
    const code = control[OUT.code] as number
    if (code === BINANCE_CODE.trade || code === BINANCE_CODE.quote) {
      const index = out.count
      tally.origins[2 * index] = start
      tally.origins[2 * index + 1] = end
      out.count = index + 1
      tally.accept(code === BINANCE_CODE.trade ? EVENT.trade : EVENT.quote, 1)
      if (code === BINANCE_CODE.trade) this.#chain.follow(out, tally)
      return
    }
    if (code === BINANCE_CODE.depth && this.#update(out, tally, start, end)) return
    this.#twin.decode(bytes, start, end, meta, out, tally)
  }

  resync(instrument: number): boolean {
    return this.#depth.resync(instrument)
  }

  #update(out: TickBatch, tally: DecodeTally, start: number, end: number): boolean {
    const { control } = this.#session
    return this.#depth.written(
      control[OUT.instrument] as number,
      control[OUT.previousId] as number,
      control[OUT.lastId] as number,
      control[OUT.levelCount] as number,
      out,
      tally,
      start,
      end,
    )
  }
}
