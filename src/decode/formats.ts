// A decoder for a frame format: the one place that knows which decoder reads which frames.

import { assert } from '../errors.ts'
import { FRAME_FORMAT } from '../ring/frame-format.ts'
import type { Decoder } from './decoder.ts'
import { activeKernels, type DecoderOptions, type Kernels } from './kernels.ts'

/** A new decoder, for one source. `format`: FRAME_FORMAT. */
export function createDecoder(
  format: number,
  options: DecoderOptions,
  kernels: Kernels = activeKernels(),
): Decoder {
  switch (format) {
    case FRAME_FORMAT.binance:
      return kernels.binance({ ...options, market: 'spot' })
    case FRAME_FORMAT.binanceUsdm:
      return kernels.binance({ ...options, market: 'usdm' })
    case FRAME_FORMAT.ndjson:
      return kernels.ndjson(options)
    default:
      assert(format === FRAME_FORMAT.packed, 'every frame format has a decoder')
      return kernels.packed(options)
  }
}

/** True where `createDecoder` has a decoder. */
export function isFrameFormat(format: number): boolean {
  return Object.values<number>(FRAME_FORMAT).includes(format)
}
