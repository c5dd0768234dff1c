// A decoder on the bench: frames in as text or bytes, records out as plain objects, and what became
// of each message. Frames lie in the middle of a larger buffer, as on a ring: whatever a decoder
// reads outside its frame is garbage that would show.

import { DecodeTally, EVENT_NAMES } from '../../src/decode/decoder.ts'
import { createDecoder } from '../../src/decode/formats.ts'
import type { Kernels } from '../../src/decode/kernels.ts'
import { IGNORE_REASONS, REJECT_REASONS } from '../../src/ledger/reasons.ts'
import { BATCH_TICKS_MAX } from '../../src/limits.ts'
import { FRAME_FORMAT, type FrameFormatName } from '../../src/ring/frame-format.ts'
import type { FrameMeta } from '../../src/ring/frame-ring.ts'
import { TickBatch } from '../../src/tick/batch.ts'
import { readNumber } from '../../src/tick/fixed-point.ts'
import { InstrumentTable } from '../../src/tick/instruments.ts'
import { type TickObject, tickToObject } from '../../src/tick/json.ts'
import { TICK_WORDS, WORD } from '../../src/tick/layout.ts'

/** Received at 2024-08-08T23:54:15.000000007Z. */
export const RECV_SEC = 1723161255
export const RECV_NSEC = 7
export const RECV_TEXT = '2024-08-08T23:54:15.000000007Z'

/** Garbage before and behind a frame: every quick way looks at the frame where it lies. */
export const MARGIN_BYTES = 1024

export interface RigOptions {
  venue?: string
  instrumentsMax?: number
  batchCapacity?: number
  /** Unless given: those that the environment chose. */
  kernels?: Kernels
  /** Bytes of garbage before and behind a frame; 0 = the frame is all of its memory. */
  marginBytes?: number
}

export class DecodeRig {
  readonly instruments: InstrumentTable
  readonly batch: TickBatch
  readonly tally: DecodeTally
  readonly meta: FrameMeta
  /** Raw text of what was rejected, and why. */
  readonly rejects: [reason: string, text: string][] = []
  readonly gaps: [instrument: number, from: number, to: number][] = []
  readonly #decoder
  readonly #marginBytes: number

  constructor(format: FrameFormatName, options: RigOptions = {}) {
    const capacity = options.batchCapacity ?? BATCH_TICKS_MAX
    this.#marginBytes = options.marginBytes ?? MARGIN_BYTES
    const max = options.instrumentsMax ?? 1024
    this.instruments = new InstrumentTable(InstrumentTable.create(max), max)
    this.batch = new TickBatch(capacity)
    this.tally = new DecodeTally(IGNORE_REASONS, REJECT_REASONS, capacity)
    this.tally.onReject = (reason, bytes, start, end) => {
      const text = Buffer.from(bytes.slice(start, end)).toString()
      this.rejects.push([REJECT_REASONS[reason] ?? String(reason), text])
    }
    this.tally.onGap = (...gap) => this.gaps.push(gap)
    const number = FRAME_FORMAT[format]
    this.meta = {
      source: 3,
      format: number,
      flags: 0,
      token: 0,
      recvSec: RECV_SEC,
      recvNsec: RECV_NSEC,
    }
    const decoderOptions = { venue: options.venue ?? 'binance', instruments: this.instruments }
    this.#decoder = createDecoder(number, decoderOptions, options.kernels)
  }

  /** Decodes one frame and returns its records. */
  send(frame: string | Uint8Array | object): TickObject[] {
    this.sendRaw(frame)
    return this.records()
  }

  /** Decodes one frame; the records are in `batch`. */
  sendRaw(frame: string | Uint8Array | object): void {
    const payload =
      frame instanceof Uint8Array
        ? frame
        : Buffer.from(typeof frame === 'string' ? frame : JSON.stringify(frame))
    const margin = this.#marginBytes
    const around = new Uint8Array(payload.length + 2 * margin).fill(0x39)
    around.set(payload, margin)
    // Old bytes in the slots must not survive.
    this.batch.bytes.fill(0xa5)
    this.batch.count = 0
    const end = margin + payload.length
    this.#decoder.decode(around, margin, end, this.meta, this.batch, this.tally)
  }

  /** Asks for a fresh image of a book; false = the decoder has none. */
  resync(instrument: number): boolean {
    return this.#decoder.resync?.(instrument) ?? false
  }

  records(): TickObject[] {
    return Array.from({ length: this.batch.count }, (_, index) =>
      tickToObject(this.batch, index, this.instruments),
    )
  }

  /** The payload word p0 … p3 of a record, as a number. */
  payload(index: number, p: 0 | 1 | 2 | 3): number {
    return readNumber(this.batch.words, index * TICK_WORDS + WORD.p0 + 2 * p)
  }

  /** Counts that are not zero, by name. */
  get counts(): Record<string, number> {
    const { messages, decoded, events, ignored, rejected } = this.tally
    const counts: Record<string, number> = { messages, decoded }
    EVENT_NAMES.forEach((name, i) => {
      if (events[i] !== 0) counts[`event ${name}`] = events[i] ?? 0
    })
    IGNORE_REASONS.forEach((name, i) => {
      if (ignored[i] !== 0) counts[`ignored ${name}`] = ignored[i] ?? 0
    })
    REJECT_REASONS.forEach((name, i) => {
      if (rejected[i] !== 0) counts[`rejected ${name}`] = rejected[i] ?? 0
    })
    return counts
  }

  /** What became of the last message only. */
  outcome(frame: string | Uint8Array | object): string {
    this.tally.reset()
    this.rejects.length = 0
    this.sendRaw(frame)
    const { messages: _, decoded, ...rest } = this.counts
    const reasons = Object.keys(rest).filter((name) => !name.startsWith('event'))
    return reasons[0] ?? (decoded > 0 ? 'decoded' : 'nothing')
  }
}
