// The JS and the native decoder side by side: the same frames, and every result compared.

import { chooseKernels, jsKernels } from '../../src/decode/kernels.ts'
import { chooseAddon } from '../../src/native/addon.ts'
import type { FrameFormatName } from '../../src/ring/frame-format.ts'
import { FRAME_FLAG } from '../../src/ring/frame-ring.ts'
import { TICK_BYTES } from '../../src/tick/layout.ts'
import { DecodeRig, type RigOptions } from './decode-rig.ts'

/** Why tests of the native kernels are skipped; false where there are any. */
export function nativeAbsent(): string | false {
  const { name, why } = chooseAddon('auto')
  return name === 'native' ? false : why
}

export class KernelPair {
  readonly js: DecodeRig
  readonly native: DecodeRig
  #frames = 0

  constructor(format: FrameFormatName, options: RigOptions = {}) {
    this.js = new DecodeRig(format, { ...options, kernels: jsKernels })
    this.native = new DecodeRig(format, { ...options, kernels: chooseKernels('native') })
  }

  /** Adds an instrument to both tables. */
  add(venue: string, symbol: string, venueSymbol: string): void {
    for (const rig of [this.js, this.native]) rig.instruments.add(venue, symbol, venueSymbol)
  }

  /** Decodes a frame with both. Returns '' where all is equal, else what is not. */
  send(frame: Uint8Array): string {
    // Every third is a replay: its records say so.
    const flags = this.#frames++ % 3 === 0 ? FRAME_FLAG.REPLAYED : 0
    for (const rig of [this.js, this.native]) {
      rig.meta.flags = flags
      rig.sendRaw(frame)
    }
    const different = this.#different()
    for (const rig of [this.js, this.native]) {
      rig.rejects.length = 0
      rig.gaps.length = 0
    }
    if (different === '') return ''
    const text = JSON.stringify(Buffer.from(frame).toString('latin1'))
    return `${different} differ at frame ${this.#frames}: ${text}`
  }

  #different(): string {
    const { js, native } = this
    if (js.batch.count !== native.batch.count) return 'record counts'
    const size = js.batch.count * TICK_BYTES
    if (Buffer.compare(js.batch.bytes.subarray(0, size), native.batch.bytes.subarray(0, size))) {
      return 'records'
    }
    for (const name of ['messages', 'decoded', 'records', 'gaps'] as const) {
      if (js.tally[name] !== native.tally[name]) return name
    }
    for (const name of ['events', 'ignored', 'rejected'] as const) {
      if (!isSame(js.tally[name], native.tally[name], js.tally[name].length)) return name
    }
    if (!isSame(js.tally.origins, native.tally.origins, 2 * js.batch.count)) return 'origins'
    if (js.instruments.count !== native.instruments.count) return 'instruments'
    if (JSON.stringify(js.rejects) !== JSON.stringify(native.rejects)) return 'rejects'
    return JSON.stringify(js.gaps) === JSON.stringify(native.gaps) ? '' : 'gaps'
  }
}

function isSame(a: ArrayLike<number>, b: ArrayLike<number>, count: number): boolean {
  for (let i = 0; i < count; i++) if (a[i] !== b[i]) return false
  return true
}
