// hot path
// Frames of many messages by a native kernel: normalised lines, packed ticks.
//
// One crossing a frame, and one more for each message that the kernel leaves to the JS decoder.

import type { Addon } from '../native/addon.ts'
import { KERNEL, OUT } from '../native/control.ts'
import type { FrameMeta } from '../ring/frame-ring.ts'
import type { TickBatch } from '../tick/batch.ts'
import type { InstrumentTable } from '../tick/instruments.ts'
import { KIND_COUNT, TICK_BYTES } from '../tick/layout.ts'
import type { Decoder, DecodeTally } from './decoder.ts'
import { DecodeSession } from './native-session.ts'
import { NdjsonDecoder } from './ndjson.ts'
import { PackedDecoder } from './packed.ts'

export interface NativeLinesOptions {
  readonly instruments: InstrumentTable
}

export class NativeNdjsonDecoder implements Decoder {
  readonly #twin: NdjsonDecoder
  readonly #session: DecodeSession

  constructor(addon: Addon, options: NativeLinesOptions) {
    this.#twin = new NdjsonDecoder(options)
    this.#session = new DecodeSession(addon, KERNEL.ndjson, '', options.instruments)
  }

  decode(
    bytes: Uint8Array,
    start: number,
    end: number,
    meta: FrameMeta,
    out: TickBatch,
    tally: DecodeTally,
  ): void {
    const session = this.#session
    const { control } = session
    let at = start
    do {
      session.run(bytes, at, end, meta, out, tally)
      take(control, out, tally)
      at = control[OUT.next] as number
      if (control[OUT.isLeft] === 0) return
      const lineEnd = control[OUT.leftEnd] as number
      this.#twin.decode(bytes, at, lineEnd, meta, out, tally)
      at = lineEnd + 1
    } while (at < end)
  }
}

export class NativePackedDecoder implements Decoder {
  readonly #twin: PackedDecoder
  readonly #session: DecodeSession

  constructor(addon: Addon, options: NativeLinesOptions) {
    this.#twin = new PackedDecoder(options)
    this.#session = new DecodeSession(addon, KERNEL.packed, '', options.instruments)
  }

  decode(
    bytes: Uint8Array,
    start: number,
    end: number,
    meta: FrameMeta,
    out: TickBatch,
    tally: DecodeTally,
  ): void {
    // A frame of the wrong size is one message, and the twin's to refuse.
    if (end === start || (end - start) % TICK_BYTES !== 0) {
      this.#twin.decode(bytes, start, end, meta, out, tally)
      return
    }
    const session = this.#session
    const { control } = session
    for (let at = start; at < end; ) {
      session.run(bytes, at, end, meta, out, tally)
      take(control, out, tally)
      at = control[OUT.next] as number
      if (control[OUT.isLeft] === 0) return
      const tickEnd = control[OUT.leftEnd] as number
      this.#twin.decode(bytes, at, tickEnd, meta, out, tally)
      at = tickEnd
    }
  }
}

/** Takes the records that the kernel wrote over into the batch's and the tally's counts. */
function take(control: Float64Array, out: TickBatch, tally: DecodeTally): void {
  const count = control[OUT.count] as number
  const added = count - out.count
  if (added === 0) return
  out.count = count
  tally.messages += added
  tally.decoded += added
  tally.records += added
  const { events } = tally
  // Kinds and events are in the same order; kinds begin at 1.
  for (let kind = 1; kind < KIND_COUNT; kind++) {
    const decoded = control[OUT.decoded + kind] as number
    events[kind - 1] = (events[kind - 1] as number) + decoded
  }
}
