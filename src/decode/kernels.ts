// The kernel seam: which implementation of the inner loops serves this process.
//
// The JS kernels are the reference. Native ones, where they are built, give the same records,
// counts and reasons for the same bytes: they decode what is common, and leave every other message
// to the JS decoder. TICKD_KERNELS chooses: see native/addon.ts. Callers take what they need from
// `activeKernels()` and from nowhere else.

import { type Addon, activeAddon, chooseAddon, type KernelChoice } from '../native/addon.ts'
import type { InstrumentTable } from '../tick/instruments.ts'
import { BinanceDecoder } from './binance.ts'
import type { Decoder } from './decoder.ts'
import { NativeBinanceDecoder } from './native-binance.ts'
import { NativeNdjsonDecoder, NativePackedDecoder } from './native-lines.ts'
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

export const jsKernels: Kernels = Object.freeze({
  name: 'js' as const,
  binance: (options) => new BinanceDecoder(options),
  ndjson: (options) => new NdjsonDecoder(options),
  packed: (options) => new PackedDecoder(options),
} satisfies Kernels)

function nativeKernels(addon: Addon): Kernels {
  return Object.freeze({
    name: 'native' as const,
    binance: (options) => new NativeBinanceDecoder(addon, options),
    ndjson: (options) => new NativeNdjsonDecoder(addon, options),
    packed: (options) => new NativePackedDecoder(addon, options),
  } satisfies Kernels)
}

const ofAddon = new WeakMap<Addon, Kernels>()

/** The kernels for a choice of TICKD_KERNELS. Throws TickdError CONFIG_INVALID. */
export function chooseKernels(choice: string): Kernels {
  return kernelsOf(chooseAddon(choice))
}

let active: Kernels | undefined

/** What the environment chose, once a thread. */
export function activeKernels(): Kernels {
  active ??= kernelsOf(activeAddon())
  return active
}

function kernelsOf({ addon }: KernelChoice): Kernels {
  if (addon === undefined) return jsKernels
  const kernels = ofAddon.get(addon) ?? nativeKernels(addon)
  ofAddon.set(addon, kernels)
  return kernels
}
