// One frame on its way to its subscribers: encoded when the first of a sub-protocol is sent it.

import type { TickBatch } from '../../tick/batch.ts'
import type { InstrumentTable } from '../../tick/instruments.ts'
import { TICK_BYTES } from '../../tick/layout.ts'
import type { Encoding, FrameIdentity } from './encode.ts'
import { FRAME_PREFIX_BYTES, type Frame } from './fb-frame.ts'

interface Reader {
  readonly encoding: Encoding
}

export class Parcel {
  readonly identity: FrameIdentity
  readonly count: number
  /** The records; its own `count` may have been reset. */
  readonly batch: TickBatch
  readonly sizeBytes: number
  readonly #frame: Frame
  readonly #encodings: Encoding[] = []
  readonly #bytes: Uint8Array[] = []

  /** The frame is not filled again before this is sent. */
  constructor(frame: Frame, identity: FrameIdentity) {
    this.identity = identity
    this.count = frame.batch.count
    this.#frame = frame
    this.batch = frame.batch
    this.sizeBytes = FRAME_PREFIX_BYTES + this.count * TICK_BYTES
  }

  /** The bytes for a subscriber; valid until the frame is filled again. */
  encoded({ encoding }: Reader, instruments: InstrumentTable): Uint8Array {
    const known = this.#encodings.indexOf(encoding)
    if (known >= 0) return this.#bytes[known] as Uint8Array
    this.batch.count = this.count
    const bytes = encoding.encode(this.#frame, this.identity, instruments)
    this.batch.count = 0
    this.#encodings.push(encoding)
    this.#bytes.push(bytes)
    return bytes
  }
}
