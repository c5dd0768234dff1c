// A ServeAgent on this thread, with real sockets on a free port, and the other ends of its rings.
//
// The test publishes ticks as decode would, and answers pushed frames as decode and journal would.

import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { LatestTable } from '../../src/aggregate/latest-table.ts'
import { LatestWriter } from '../../src/aggregate/latest-writer.ts'
import { SystemClock } from '../../src/clock.ts'
import { loadConfig } from '../../src/config/load.ts'
import { counterNames } from '../../src/ops/counter-catalog.ts'
import { CounterSet } from '../../src/ops/counters.ts'
import { silentLog } from '../../src/ops/log.ts'
import { FeedbackReceiver, FeedbackSender } from '../../src/ring/feedback.ts'
import { FrameRingConsumer, FrameRingProducer } from '../../src/ring/frame-ring.ts'
import { frameRingBytes } from '../../src/ring/frame-ring-layout.ts'
import { TickRingLapper, TickRingProducer } from '../../src/ring/tick-ring.ts'
import { createTickRing } from '../../src/ring/tick-ring-layout.ts'
import type { AccessPlan } from '../../src/serve/access/doors.ts'
import {
  ServeAgent,
  type ServeAgentOptions,
  type ServeRing,
  type ServeSettings,
} from '../../src/serve/agent.ts'
import { TickBatch } from '../../src/tick/batch.ts'
import { writeInteger, writeNull, writeSplit } from '../../src/tick/fixed-point.ts'
import { InstrumentTable } from '../../src/tick/instruments.ts'
import { KIND, SIDE, STATUS, TICK_WORDS, WORD } from '../../src/tick/layout.ts'

export const EPOCH = 7
export const FIRST_SEQ = 1000
const INSTRUMENTS = 64
const FRAME_RING = 256 * 1024

export interface RigOptions {
  settings?: Partial<ServeSettings>
  ringTicks?: number
  /** That of another rig, whose successor this is. */
  ring?: SharedArrayBuffer
  firstSeq?: number
  epoch?: number
  /** Its records are waited for by a journal, to be found there by the feed. */
  journal?: { gatingSlot: number; feed: Partial<ServeRing> }
  overrides?: Partial<ServeAgentOptions>
}

export interface TickRow {
  kind?: number
  instrument: number
  value: number
  flags?: number
  /** A status record in the place of a trade: the venue's ids from … to never came. */
  hole?: { kind?: number; from?: number; to?: number }
}

export class ServeRig {
  readonly ring: SharedArrayBuffer
  readonly instruments: InstrumentTable
  readonly latest: LatestTable
  readonly counters = new CounterSet(counterNames('serve'))
  readonly pushed = new CounterSet(counterNames('source'))
  readonly producer: TickRingProducer
  readonly frames: FrameRingConsumer
  readonly receipts: FeedbackSender
  readonly agent: ServeAgent
  /** What the journal would call durable. */
  durable = 0
  /** While true the agent gets no turns: the ring laps it. */
  isPaused = false
  readonly #latestWriter: LatestWriter
  #isRunning = true
  #failure: unknown

  constructor(options: RigOptions = {}) {
    const ringTicks = options.ringTicks ?? 8192
    const { firstSeq = FIRST_SEQ, epoch = EPOCH, journal } = options
    const ring = options.ring ?? createTickRing(ringTicks, firstSeq)
    this.ring = ring
    this.instruments = new InstrumentTable(InstrumentTable.create(INSTRUMENTS), INSTRUMENTS)
    this.latest = new LatestTable(LatestTable.create(INSTRUMENTS), INSTRUMENTS)
    this.#latestWriter = new LatestWriter(this.latest)
    this.producer = new TickRingProducer(
      ring,
      firstSeq,
      journal === undefined ? [] : [journal.gatingSlot],
    )
    const frames = new SharedArrayBuffer(frameRingBytes(FRAME_RING))
    const feedback = new SharedArrayBuffer(frameRingBytes(FRAME_RING))
    this.frames = new FrameRingConsumer(frames)
    this.receipts = new FeedbackSender(feedback)
    this.agent = new ServeAgent({
      settings: {
        listen: { host: '127.0.0.1', port: 0 },
        flush_ms: 0,
        frame_ticks: 1024,
        subscriber_buffer_bytes: 4 * 1024 * 1024,
        subscriber_age_ms: 10_000,
        subscribers_max: 100,
        subscriptions_max: 16,
        heartbeat_ms: 200,
        body_bytes_max: 1024 * 1024,
        query_rows_max: 1000,
        ...options.settings,
      },
      epoch,
      rings: [{ shard: 0, lapper: new TickRingLapper(ring, firstSeq), ...journal?.feed }],
      instruments: this.instruments,
      latest: this.latest,
      lanes: [
        {
          producer: new FrameRingProducer(frames),
          feedback: new FeedbackReceiver(feedback),
          durable: () => this.durable,
          epoch: EPOCH,
        },
      ],
      sources: [{ name: 'push-http', index: 3, shard: 0, counters: this.pushed }],
      history: undefined,
      access: accessPlan(),
      readiness: () => ({ ready: true, status: 'ready', dependencies: {} }),
      metrics: () => [{ set: 'serve', labels: {}, counters: this.counters }],
      sourceNames: ['push-http'],
      ask: () => Promise.resolve({ status: 200, body: '{"ok":true}' }),
      clock: new SystemClock(),
      log: silentLog,
      counters: this.counters,
      ...options.overrides,
    })
  }

  start(): void {
    this.agent.onStart()
    const turn = () => {
      if (!this.#isRunning) return
      try {
        if (!this.isPaused) this.agent.doWork()
        setImmediate(turn)
      } catch (error) {
        this.#failure = error
      }
    }
    turn()
  }

  /** Stops the agent; throws what a duty cycle threw. */
  async close(): Promise<void> {
    this.#isRunning = false
    await this.agent.onClose()
    if (this.#failure !== undefined) throw this.#failure
  }

  get http(): string {
    return `http://127.0.0.1:${this.agent.port}`
  }

  get feed(): string {
    return `ws://127.0.0.1:${this.agent.port}/v1/feed`
  }

  /** An instrument of venue 'test'. */
  add(symbol: string, venue = 'test'): number {
    return this.instruments.add(venue, symbol, symbol.replaceAll('-', ''))
  }

  /** Publishes records on the tick ring and applies them to the latest table. */
  publish(rows: readonly TickRow[]): void {
    const batch = ticks(rows)
    const seq = this.producer.publish(batch, 0, batch.count)
    this.#latestWriter.apply(batch, 0, batch.count, seq)
  }
}

/** Of the defaults, in the directory of this test; nothing is demanded. */
export function accessPlan(
  directory = tmpdir(),
  settings: Partial<AccessPlan['settings']> = {},
): AccessPlan {
  return {
    settings: { ...loadConfig().config.access, ...settings },
    keysFile: join(directory, 'keys.json'),
    auditFile: join(directory, 'audit.jsonl'),
    isInsecure: false,
    tls: undefined,
  }
}

/** `value` is the price (or bid) in whole units; the event time is `value` seconds. */
export function ticks(rows: readonly TickRow[]): TickBatch {
  const batch = new TickBatch(rows.length)
  rows.forEach(({ kind = KIND.trade, instrument, value, flags = 0, hole }, i) => {
    const at = i * TICK_WORDS
    writeSplit(batch.words, at + WORD.ts_event, false, value, 0)
    writeSplit(batch.words, at + WORD.ts_recv, false, value, 0)
    batch.setInstrument(i, instrument)
    batch.setKindSide(i, kind, SIDE.buy)
    batch.setFlags(i, flags)
    writeSplit(batch.words, at + WORD.p0, false, value, 0)
    writeInteger(batch.words, at + WORD.p1, 100_000_000)
    writeInteger(batch.words, at + WORD.p2, value)
    writeInteger(batch.words, at + WORD.p3, 0)
    if (hole !== undefined) writeHole(batch, i, hole)
  })
  batch.count = rows.length
  return batch
}

function writeHole(batch: TickBatch, index: number, hole: NonNullable<TickRow['hole']>): void {
  const { kind, from, to } = hole
  batch.setKindSide(index, KIND.status, SIDE.none)
  batch.setAction(index, STATUS.gap)
  const words = [WORD.p0, WORD.p1, WORD.p2, WORD.p3].map((word) => index * TICK_WORDS + word)
  for (const [i, value] of [kind, from, to, undefined].entries()) {
    if (value === undefined) writeNull(batch.words, words[i] as number)
    else writeInteger(batch.words, words[i] as number, value)
  }
}
