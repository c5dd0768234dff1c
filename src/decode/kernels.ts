// The kernel seam: which implementation of the inner loops serves this process.
//
// The JS kernels are the reference. Native ones, where they are built, must give the same records,
// counts and reasons for the same bytes. TICKD_KERNELS chooses: js, native, or auto (native where
// it is there). A native build that is asked for and is not there is an error, not a silent
// fall-back. Callers take what they need from `activeKernels()` and from nowhere else.

import { TickdError } from '../errors.ts'
import type { InstrumentTable } from '../tick/instruments.ts'
import { BinanceDecoder } from './binance.ts'
import type { Decoder } from './decoder.ts'
import { NdjsonDecoder } from './ndjson.ts'
import { PackedDecoder } from './packed.ts'

export interface DecoderOptions {
  /** The source's venue; push formats name it in each record. */
  venue: string
  instruments: InstrumentTable
}

export interface Kernels {
  readonly name: 'js' | 'native'
  binance(options: DecoderOptions & { market: 'spot' | 'usdm' }): Decoder
  ndjson(options: DecoderOptions): Decoder
  packed(options: DecoderOptions): Decoder
}

export const KERNEL_CHOICES = ['auto', 'js', 'native'] as const

export const jsKernels: Kernels = Object.freeze({
  name: 'js' as const,
  binance: (options) => new BinanceDecoder(options),
  ndjson: (options) => new NdjsonDecoder(options),
  packed: (options) => new PackedDecoder(options),
} satisfies Kernels)

/** The kernels for a choice of TICKD_KERNELS. */
export function chooseKernels(choice: string): Kernels {
  switch (choice) {
    case '':
    case 'auto':
    case 'js':
      return jsKernels
    case 'native':
      throw new TickdError(
        'CONFIG_INVALID',
        'TICKD_KERNELS=native, and this build has no native kernels; set it to auto or js',
      )
    default:
      throw new TickdError(
        'CONFIG_INVALID',
        `TICKD_KERNELS=${choice} is not one of ${KERNEL_CHOICES.join(', ')}`,
      )
  }
}

let active: Kernels | undefined

/** What the environment chose, once a process. */
export function activeKernels(): Kernels {
  active ??= chooseKernels(process.env.TICKD_KERNELS ?? 'auto')
  return active
}
