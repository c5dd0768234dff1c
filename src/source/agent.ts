// The source agent: owns all sources of the configuration, and hands them what decode says.
//
// Event-loop agent. Sockets call their source whenever the loop turns; `doWork` does what waits:
// paced and held-back frames, timers, feedback. A source that has trouble with the world (a venue
// that refuses, a connection that breaks) deals with it itself; the others do not notice.
// `http` sources live in serve, which has a frame ring of its own.

import type { Clock } from '../clock.ts'
import type { SourceConfig } from '../config/schema.ts'
import { assert } from '../errors.ts'
import type { IncidentReport } from '../ops/incidents.ts'
import type { Log } from '../ops/log.ts'
import type { FeedbackHandler, FeedbackReceiver, Receipt } from '../ring/feedback.ts'
import type { FrameRingProducer } from '../ring/frame-ring.ts'
import { type Agent, IDLE_MS_MAX } from '../threads/agent.ts'
import type { InstrumentTable } from '../tick/instruments.ts'
import type { JournalPosition } from './ack-desk.ts'
import { FrameLoss } from './frame-loss.ts'
import type { RawCapture } from './raw-capture.ts'
import { ReplaySource, type ReplayVenue } from './replay.ts'
import { FrameSink, type Source, type SourceCounters } from './source.ts'
import { SyntheticSource } from './synthetic.ts'
import { TcpPushSource } from './tcp-push.ts'
import { BinanceSource } from './venue/binance.ts'

/** The source's side of a shard. */
export interface SourceRings {
  readonly producer: FrameRingProducer
  readonly feedback: FeedbackReceiver
  /** Of its journal: what pushers' acknowledgements wait for. */
  readonly journal: JournalPosition
}

export interface SourceAgentOptions {
  /** In the configuration's order: the index names a source in records and counters. */
  readonly sources: readonly SourceConfig[]
  /** By shard. */
  readonly rings: readonly SourceRings[]
  readonly instruments: InstrumentTable
  readonly clock: Clock
  readonly log: Log
  /** The `source` counters of the source with this index. */
  readonly counters: (index: number) => SourceCounters
  /** Runs a duty cycle soon: something asynchronous has ended. */
  readonly wake: () => void
  /** The venue of this name, for replays (decode/venues.ts knows them). Throws TickdError. */
  readonly venueNamed: (name: string) => ReplayVenue
  /** Where capture.enabled is set; the agent closes it. */
  readonly capture?: RawCapture | undefined
  /** A listener is up. */
  readonly onListening?: ((source: string, address: string) => void) | undefined
  /** Told of frames that a venue sent and that found no room. */
  readonly raise?: ((report: IncidentReport) => void) | undefined
  /** Random numbers in [0, 1), for back-off. */
  readonly random?: (() => number) | undefined
}

export class SourceAgent implements Agent, FeedbackHandler {
  readonly roleName = 'source'
  readonly #options: SourceAgentOptions
  /** By index in the configuration; a hole where serve has the source. */
  readonly #sources: (Source | undefined)[]
  #draining = false

  constructor(options: SourceAgentOptions) {
    this.#options = options
    this.#sources = options.sources.map((config, index) => createSource(options, config, index))
  }

  async onStart(): Promise<void> {
    for (const source of this.#sources) {
      await source?.start()
      if (source instanceof TcpPushSource) {
        this.#options.onListening?.(source.name, source.address)
      }
    }
  }

  doWork(): number {
    let work = 0
    for (const source of this.#sources) if (source !== undefined) work += source.doWork()
    for (const { feedback } of this.#options.rings) work += feedback.drain(this)
    this.#options.capture?.tick()
    return work
  }

  idleMsMax(): number {
    let idleMs = IDLE_MS_MAX
    for (const source of this.#sources) {
      const wantedMs = source?.idleMsMax ?? IDLE_MS_MAX
      if (wantedMs < idleMs) idleMs = wantedMs
    }
    return idleMs
  }

  drain(): boolean {
    if (!this.#draining) {
      this.#draining = true
      for (const source of this.#sources) source?.stop()
    }
    return this.#sources.every((source) => source?.drained() ?? true)
  }

  async onClose(): Promise<void> {
    await Promise.all(this.#sources.map((source) => source?.close()))
    await this.#options.capture?.close()
  }

  onReceipt(receipt: Receipt): void {
    this.#sources[receipt.source]?.onReceipt?.(receipt)
  }

  onResync(source: number, instrument: number): void {
    this.#sources[source]?.onResync?.(instrument)
  }
}

function createSource(
  options: SourceAgentOptions,
  config: SourceConfig,
  index: number,
): Source | undefined {
  if (config.type === 'http') return undefined
  const { clock, log, instruments, wake, capture, raise } = options
  const rings = options.rings[config.shard]
  assert(rings !== undefined, 'a source belongs to a shard that exists')
  const counters = options.counters(index)
  const sink = new FrameSink({ ring: rings.producer, source: index, counters, clock })
  switch (config.type) {
    case 'synthetic':
      return new SyntheticSource({ config, source: index, sink, instruments, clock })
    case 'replay': {
      const venue = options.venueNamed(config.venue)
      return new ReplaySource({ config, venue, sink, clock, log, wake })
    }
    case 'tcp': {
      return new TcpPushSource({
        config,
        path: `sources[${index}]`,
        journal: rings.journal,
        sink,
        clock,
        log,
        capture: capture?.source(config.name),
      })
    }
    case 'binance': {
      const random = options.random ?? Math.random
      return new BinanceSource({
        config,
        sink,
        instruments,
        clock,
        log,
        random,
        capture: capture?.source(config.name),
        loss: raise && new FrameLoss({ source: config.name, clock, raise }),
      })
    }
  }
}
