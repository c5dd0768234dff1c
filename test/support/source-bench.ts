// What a source under test needs around it: a frame ring with a consumer at hand, counters, and a
// log that remembers. The frames that come out are copies, in order.

import { type Clock, SystemClock } from '../../src/clock.ts'
import { counterNames } from '../../src/ops/counter-catalog.ts'
import { CounterSet } from '../../src/ops/counters.ts'
import type { Log } from '../../src/ops/log.ts'
import { FrameRingConsumer, FrameRingProducer } from '../../src/ring/frame-ring.ts'
import { frameRingBytes } from '../../src/ring/frame-ring-layout.ts'
import { FrameSink, type SourceCounters } from '../../src/source/source.ts'

/** A journal in which nothing is durable yet. */
export const emptyJournal = { shard: 0, epoch: 1, durable: () => 0 }

export interface TakenFrame {
  source: number
  format: number
  flags: number
  recvSec: number
  recvNsec: number
  bytes: Buffer
}

export interface LoggedLine {
  level: string
  message: string
  fields: Record<string, unknown>
}

export class SourceBench {
  readonly clock: Clock
  readonly counters: SourceCounters = new CounterSet(counterNames('source'))
  readonly ring: FrameRingProducer
  readonly sink: FrameSink
  readonly lines: LoggedLine[] = []
  readonly log: Log
  readonly #consumer: FrameRingConsumer

  constructor(options: { clock?: Clock; ringBytes?: number; source?: number } = {}) {
    const { clock = new SystemClock(), ringBytes = 4 * 1024 * 1024, source = 3 } = options
    const memory = new SharedArrayBuffer(frameRingBytes(ringBytes))
    this.clock = clock
    this.ring = new FrameRingProducer(memory)
    this.#consumer = new FrameRingConsumer(memory)
    this.sink = new FrameSink({ ring: this.ring, source, counters: this.counters, clock })
    const write = (level: string) => (fields: object, message: string) => {
      this.lines.push({ level, message, fields: { ...fields } })
    }
    this.log = {
      debug: write('debug'),
      info: write('info'),
      warn: write('warn'),
      error: write('error'),
    }
  }

  /** Takes up to `max` waiting frames off the ring. */
  take(max = Number.POSITIVE_INFINITY): TakenFrame[] {
    const frames: TakenFrame[] = []
    const ring = this.#consumer
    while (frames.length < max && ring.poll()) {
      const { source, format, flags, recvSec, recvNsec } = ring.meta
      const bytes = Buffer.from(ring.bytes.slice(ring.start, ring.end))
      frames.push({ source, format, flags, recvSec, recvNsec, bytes })
      ring.release()
    }
    return frames
  }

  logged(message: string): LoggedLine[] {
    return this.lines.filter((line) => line.message.includes(message))
  }
}

/** Waits until `condition` is true, running `turn` meanwhile; fails after `timeoutMs`. */
export async function until(
  condition: () => boolean,
  what: string,
  turn: () => void = () => {},
  timeoutMs = 10_000,
): Promise<void> {
  const endMs = performance.now() + timeoutMs
  for (;;) {
    turn()
    if (condition()) return
    if (performance.now() > endMs) throw new Error(`not within ${timeoutMs} ms: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 2))
  }
}
