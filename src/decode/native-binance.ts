// hot path
// Binance frames by the native kernel; what it leaves is the JS decoder's, message by message.
//
// One crossing for up to 16 frames: the kernel looks at those behind on the ring as well, and while
// they are plain trades or quotes writes their records where they will lie. When their turn comes
// they are taken as they are, if they are still the next: no frame counts before it is decoded.
//
// Order books are kept by JS: the kernel writes a depth update's levels, and BinanceDepth judges
// whether they count; an update that reveals a gap is decoded anew by JS. Leaps of trade ids are
// found by JS as well (trade-chain.ts).

import type { Addon } from '../native/addon.ts'
import { BINANCE_CODE, KERNEL, OUT } from '../native/control.ts'
import type { FrameMeta } from '../ring/frame-ring.ts'
import type { TickBatch } from '../tick/batch.ts'
import { KIND, OFFSET, TICK_BYTES } from '../tick/layout.ts'
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
  /** Records that are decoded ahead, and the place in the batch of the next of them. */
  #ahead = 0
  #aheadIndex = 0

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
    behindEnd = 0,
  ): void {
    const index = out.count
    if (this.#ahead > 0) {
      if (this.#isNext(bytes, start, end, index, out, tally)) {
        this.#ahead--
        this.#aheadIndex = index + 1
        this.#accept(index, out, tally)
        return
      }
      this.#ahead = 0
    }
    this.#session.run(bytes, start, end, meta, out, tally, behindEnd)
    const { control } = this.#session
    const code = control[OUT.code] as number
    if (code === BINANCE_CODE.trade || code === BINANCE_CODE.quote) {
      tally.origins[2 * index] = start
      tally.origins[2 * index + 1] = end
      this.#ahead = control[OUT.ahead] as number
      this.#aheadIndex = index + 1
      this.#accept(index, out, tally)
      return
    }
    if (code === BINANCE_CODE.depth && this.#update(out, tally, start, end)) return
    this.#twin.decode(bytes, start, end, meta, out, tally)
  }

  resync(instrument: number): boolean {
    return this.#depth.resync(instrument)
  }

  /**
   * Is the frame the next of those decoded ahead? Their origins say which they are. In another
   * group, whose records begin at 0 again, none is.
   */
  #isNext(
    bytes: Uint8Array,
    start: number,
    end: number,
    index: number,
    out: TickBatch,
    tally: DecodeTally,
  ): boolean {
    const { origins } = tally
    return (
      index === this.#aheadIndex &&
      index < out.capacity &&
      origins[2 * index] === start &&
      origins[2 * index + 1] === end &&
      this.#session.isBound(bytes, out, tally)
    )
  }

  /** Record `index`, the last one now, is a plain trade or quote. */
  #accept(index: number, out: TickBatch, tally: DecodeTally): void {
    out.count = index + 1
    if (out.bytes[index * TICK_BYTES + OFFSET.kind] === KIND.trade) {
      tally.accept(EVENT.trade, 1)
      this.#chain.follow(out, tally)
    } else {
      tally.accept(EVENT.quote, 1)
    }
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
