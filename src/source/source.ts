// The contract of a source: bytes in, and nothing else.
//
// A source receives bytes (or makes them), stamps the time of receipt and puts them on the frame
// ring of its shard through a FrameSink. It parses nothing but what its transport needs: line ends,
// length prefixes, subscription replies. All methods are called on the source thread.

import type { Clock } from '../clock.ts'
import type { CounterName } from '../ops/counter-catalog.ts'
import type { CounterSet } from '../ops/counters.ts'
import { BATCH_PREFIX_BYTES } from '../ring/batch-mark.ts'
import type { Receipt } from '../ring/feedback.ts'
import { FRAME_FLAG, type FrameMeta, type FrameRingProducer } from '../ring/frame-ring.ts'

export interface Source {
  readonly name: string
  /** Begins. Throws what an operator must mend before the daemon can run (a taken address). */
  start(): void | Promise<void>
  /** One duty cycle: a bounded amount of work; returns how much was done. */
  doWork(): number
  /** Takes nothing new in; what was received goes on to the ring. */
  stop(): void
  /** After `stop`: true when nothing waits to go on the ring. */
  drained(): boolean
  close(): Promise<void>
  /** Longest wait between duty cycles that suits it, milliseconds. Absent = it does not mind. */
  readonly idleMsMax?: number
  onReceipt?(receipt: Receipt): void
  /** Decode lost the book of this instrument and asks for a fresh snapshot. */
  onResync?(instrument: number): void
}

export type SourceCounters = CounterSet<CounterName<'source'>>

export interface FrameSinkOptions {
  ring: FrameRingProducer
  /** Index of the source in the configuration. */
  source: number
  counters: SourceCounters
  clock: Clock
}

/** The way of one source to the frame ring: stamps, counts, and says when there is no room. */
export class FrameSink {
  readonly counters: SourceCounters
  readonly #ring: FrameRingProducer
  readonly #clock: Clock
  readonly #meta: FrameMeta
  readonly #frames: number
  readonly #bytes: number
  #stalled = false

  constructor({ ring, source, counters, clock }: FrameSinkOptions) {
    this.counters = counters
    this.#ring = ring
    this.#clock = clock
    this.#meta = { source, format: 0, flags: 0, token: 0, recvSec: 0, recvNsec: 0 }
    this.#frames = counters.index('frames')
    this.#bytes = counters.index('bytes')
  }

  /** Receive time of the frames to come, until the next stamp. */
  get recvSec(): number {
    return this.#meta.recvSec
  }

  get recvNsec(): number {
    return this.#meta.recvNsec
  }

  /** The frames to come were received now. */
  stamp(): void {
    this.#clock.read()
    this.#meta.recvSec = this.#clock.sec
    this.#meta.recvNsec = this.#clock.nsec
  }

  /** The frames to come were received then: held back earlier, or recorded. */
  stampAt(recvSec: number, recvNsec: number): void {
    this.#meta.recvSec = recvSec
    this.#meta.recvNsec = recvNsec
  }

  /**
   * Puts one frame, a[aStart, aEnd) followed by b[bStart, bEnd), on the ring. False when there is
   * no room now: nothing has changed, and the source either offers it again later (`held`) or
   * gives it up (`drop`).
   */
  offer(
    format: number,
    flags: number,
    token: number,
    a: Uint8Array,
    aStart: number,
    aEnd: number,
    b?: Uint8Array,
    bStart = 0,
    bEnd = 0,
  ): boolean {
    const meta = this.#meta
    meta.format = format
    meta.flags = flags
    meta.token = token
    if (!this.#ring.tryWrite(meta, a, aStart, aEnd, b, bStart, bEnd)) return false
    const { values } = this.counters
    values[this.#frames] = (values[this.#frames] as number) + 1
    const prefixBytes = (flags & FRAME_FLAG.MARKED) === 0 ? 0 : BATCH_PREFIX_BYTES
    const size = aEnd - aStart + (bEnd - bStart) - prefixBytes
    values[this.#bytes] = (values[this.#bytes] as number) + size
    this.#stalled = false
    return true
  }

  /** After a refused offer: the source waits. A wait counts once, however often it offers. */
  held(): void {
    if (!this.#stalled) this.counters.add('stalls')
    this.#stalled = true
  }

  /** Counts a frame of `size` bytes that was received and given up. */
  drop(size: number): void {
    this.counters.add('frames_dropped')
    this.counters.add('bytes_dropped', size)
  }
}
