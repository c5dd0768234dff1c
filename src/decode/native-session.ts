// hot path
// What every native decoder shares: control words, and memory that is bound when it changes.

import type { Addon, NativeSession } from '../native/addon.ts'
import { CONTROL_WORDS, IN } from '../native/control.ts'
import type { FrameMeta } from '../ring/frame-ring.ts'
import type { TickBatch } from '../tick/batch.ts'
import type { InstrumentTable } from '../tick/instruments.ts'
import type { DecodeTally } from './decoder.ts'
import { frameFlags } from './tick-writer.ts'

const NOTHING = new Uint8Array(0)

export class DecodeSession {
  readonly control = new Float64Array(CONTROL_WORDS)
  readonly #session: NativeSession
  readonly #run: () => void
  #input: Uint8Array = NOTHING
  #ticks: Uint8Array = NOTHING
  #origins: Int32Array = new Int32Array(0)
  /** As the control words have them: at first no frame's. */
  #recvSec = -1
  #source = -1
  #flags = -1

  /** `kernel`: KERNEL of native/control.ts. */
  constructor(addon: Addon, kernel: number, venue: string, instruments: InstrumentTable) {
    const table = new Uint8Array(instruments.memory)
    // With a zero byte behind it: an empty array would have no memory.
    const name = new TextEncoder().encode(`${venue}\0`)
    this.#session = addon.decoder(kernel, this.control, table, instruments.capacity, name)
    this.#run = this.#session.run
  }

  /** True while the memory is that of the last run. */
  isBound(bytes: Uint8Array, out: TickBatch, tally: DecodeTally): boolean {
    return bytes === this.#input && out.bytes === this.#ticks && tally.origins === this.#origins
  }

  /** Runs the kernel on bytes[start, end): see OUT for what it did. `behindEnd`: see Decoder. */
  run(
    bytes: Uint8Array,
    start: number,
    end: number,
    meta: FrameMeta,
    out: TickBatch,
    tally: DecodeTally,
    behindEnd = 0,
  ): void {
    if (!this.isBound(bytes, out, tally)) {
      this.#session.bind(bytes, out.bytes, tally.origins)
      this.#input = bytes
      this.#ticks = out.bytes
      this.#origins = tally.origins
    }
    const { control } = this
    control[IN.start] = start
    control[IN.end] = end
    control[IN.recvNsec] = meta.recvNsec
    const flags = frameFlags(meta)
    // From frame to frame these are the same, but once a second.
    if (meta.recvSec !== this.#recvSec || meta.source !== this.#source || flags !== this.#flags) {
      control[IN.recvSec] = this.#recvSec = meta.recvSec
      control[IN.source] = this.#source = meta.source
      control[IN.flags] = this.#flags = flags
    }
    control[IN.count] = out.count
    control[IN.capacity] = out.capacity
    control[IN.behindEnd] = behindEnd
    this.#run()
  }
}
