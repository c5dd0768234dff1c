// The agents of one life: made as threads/ makes them, over simulated disk, database and web.

import { AggregateAgent } from '../../src/aggregate/agent.ts'
import type { Clock } from '../../src/clock.ts'
import { type Config, configSchema } from '../../src/config/schema.ts'
import { DecodeAgent, type DecodeCounters } from '../../src/decode/agent.ts'
import { createDecoder, isFrameFormat } from '../../src/decode/formats.ts'
import { PushedBatches } from '../../src/decode/pushed-batches.ts'
import { JournalAgent } from '../../src/journal/agent.ts'
import type { Disk } from '../../src/journal/disk.ts'
import { idText } from '../../src/journal/identity.ts'
import { SkippingReader } from '../../src/journal/skipping-reader.ts'
import { MIB } from '../../src/limits.ts'
import { counterNames } from '../../src/ops/counter-catalog.ts'
import type { Log } from '../../src/ops/log.ts'
import { FRAME_PRODUCERS, type FrameProducer, GATING_SLOT } from '../../src/pipeline.ts'
import { BatchIds } from '../../src/ring/batch-ids.ts'
import { FeedbackReceiver, FeedbackSender } from '../../src/ring/feedback.ts'
import { FrameRingConsumer, FrameRingProducer } from '../../src/ring/frame-ring.ts'
import { GroupCommit } from '../../src/ring/group-commit.ts'
import { TickRingConsumer, TickRingLapper, TickRingProducer } from '../../src/ring/tick-ring.ts'
import type { Visitor } from '../../src/serve/access/feed-gate.ts'
import { ServeAgent } from '../../src/serve/agent.ts'
import type { Server, ServerOptions } from '../../src/serve/server.ts'
import { FrameSink } from '../../src/source/source.ts'
import { PostgresAgent } from '../../src/storage/postgres/agent.ts'
import { jsCopyKernel } from '../../src/storage/postgres/encode.ts'
import type { Agent } from '../../src/threads/agent.ts'
import { journalDirectory, openShard, type ShardStart } from '../../src/threads/open-shard.ts'
import { TickBatch } from '../../src/tick/batch.ts'
import { Validator } from '../../src/validate/rules.ts'
import type { Fuse } from './fuse.ts'
import { type LifeMemory, SOURCES } from './life-memory.ts'
import type { SimulatedPostgres } from './simulated-postgres.ts'
import { VenueFeed } from './venue-feed.ts'
import type { Wiring } from './wiring.ts'

const JOURNAL = '/journal'
const SHARD = 0
/** The log line of records that a reader passed over. */
export const DAMAGED = 'damaged records of the journal are passed over'
export const DIRECTORY = journalDirectory(JOURNAL, SHARD)
/** Pushed batches that are remembered: more than a schedule has. */
export const BATCH_IDS = 1024

/** What a schedule chooses of the configuration; sizes are far below what the schema allows. */
export interface LifeSettings {
  readonly segmentBytes: number
  readonly blockTicks: number
  readonly syncIntervalMs: number
  readonly syncBytes: number
  readonly retainMs: number
  readonly retainBytes: number
  readonly bytesMax: number
  readonly batchRows: number
  readonly frameTicks: number
  readonly subscriberBufferBytes: number
}

export interface LifeOptions {
  readonly memory: LifeMemory
  readonly settings: LifeSettings
  readonly disk: Disk
  readonly postgres: SimulatedPostgres
  readonly wiring: Wiring
  readonly clock: Clock
  readonly log: Log
  readonly random: () => number
  /** Blown in the midst of a group: decoded, not yet published. */
  readonly validateFuse: Fuse
  /** Blown right behind a publication, of which nobody was told. */
  readonly publishFuse: Fuse
  readonly createServer: (options: ServerOptions<Visitor>) => Server
}

const DEFAULTS: Config = configSchema.parse({})

export class LifeAgents {
  readonly #options: LifeOptions
  /** The venue's way in; undefined while the source stage is down. */
  venue: VenueFeed | undefined

  constructor(options: LifeOptions) {
    this.#options = options
  }

  source(): Agent {
    const { memory, clock } = this.#options
    const ring = new FrameRingProducer(memory.frames.source)
    const counters = memory.counters.source[SOURCES.venue] as LifeMemory['counters']['source'][0]
    const sink = new FrameSink({ ring, source: SOURCES.venue, counters, clock })
    this.venue = new VenueFeed(sink, new FeedbackReceiver(memory.feedback.source))
    return this.venue
  }

  /** What is done before the agents are made: see threads/open-shard.ts. */
  static openShard(settings: LifeSettings, disk: Disk): ShardStart {
    return openShard(JOURNAL, SHARD, journalConfig(settings), { disk })
  }

  decode(): Agent {
    const { memory, clock, log, wiring, validateFuse } = this.#options
    const { instruments, ticks, firstSeq } = memory
    const validator = new Validator({ config: DEFAULTS.validate, instruments })
    const validate = validator.validate.bind(validator)
    validator.validate = (batch) => {
      validate(batch)
      validateFuse.blow()
    }
    return new DecodeAgent({
      shard: SHARD,
      inputs: FRAME_PRODUCERS.map((producer) => ({
        ring: wiring.frames(new FrameRingConsumer(memory.frames[producer])),
        feedback: new FeedbackSender(memory.feedback[producer]),
      })),
      ticks: this.#producer(new TickRingProducer(ticks, firstSeq, Object.values(GATING_SLOT))),
      commit: new GroupCommit(memory.groups, counterNames('decode').length),
      batches: new PushedBatches({
        marks: new TickRingProducer(memory.marks, 0, [GATING_SLOT.journal]),
        ids: new BatchIds(wiring.batchIds(memory.batchIds), BATCH_IDS),
      }),
      decoders: (_, format) =>
        isFrameFormat(format) ? createDecoder(format, { venue: '', instruments }) : undefined,
      validator,
      deadLetters: {
        bufferedCount: 0,
        addMessage() {},
        addRecord() {},
        flush: () => true,
        close() {},
      },
      counters: (source) => memory.counters.decode[source] as DecodeCounters,
      clock,
      log,
    })
  }

  journal(): Agent {
    const { memory, settings, disk, clock, log, wiring } = this.#options
    return new JournalAgent({
      shard: SHARD,
      directory: DIRECTORY,
      epoch: memory.epoch,
      identity: memory.identity,
      settings: journalConfig(settings),
      marks: new TickRingConsumer(memory.marks, GATING_SLOT.journal, 0),
      ring: new TickRingConsumer(memory.ticks, GATING_SLOT.journal, memory.firstSeq),
      positions: memory,
      storedSeq: wiring.stored(this.#positions()),
      bells: [],
      clock,
      log,
      counters: memory.counters.journal,
      disk,
    })
  }

  aggregate(): Agent {
    const { memory } = this.#options
    return new AggregateAgent({
      latest: memory.latest,
      counters: memory.counters.aggregate,
      rings: [
        {
          shard: SHARD,
          consumer: new TickRingConsumer(memory.ticks, GATING_SLOT.aggregate, memory.firstSeq),
          tail: () => this.openReader(memory.oldest.load(), () => memory.durable.load()),
        },
      ],
    })
  }

  postgres(): Agent {
    const { memory, settings, postgres, clock, log, wiring, random } = this.#options
    const readable = wiring.readable(this.#positions())
    return new PostgresAgent({
      shard: SHARD,
      config: {
        ...DEFAULTS.postgres,
        batch_rows: settings.batchRows,
        batch_ms: 20,
        copy_buffer_bytes: 4096,
        connect_timeout_ms: 2000,
        partition_days_ahead: 0,
      },
      url: () => 'postgresql://simulated',
      openReader: (fromSeq) => this.openReader(fromSeq, readable),
      durable: readable,
      oldest: () => memory.oldest.load(),
      journal: {
        id: idText(memory.identity.journalId),
        firstSeq: memory.originSeq,
        startOf: (seq) => this.#startOf(seq),
      },
      stored: memory.stored,
      instruments: memory.instruments,
      clock,
      log,
      counters: memory.counters.postgres,
      wake: () => {},
      breaker: memory.breaker,
      refused: { add: refuseNone, close() {} },
      kernel: jsCopyKernel,
      connect: wiring.connect(postgres.connect),
      random,
    })
  }

  serve(): Agent {
    const { memory, settings, clock, log, wiring, createServer } = this.#options
    const { instruments, latest, epoch } = memory
    const lane = (producer: FrameProducer) => ({
      producer: new FrameRingProducer(memory.frames[producer]),
      feedback: new FeedbackReceiver(memory.feedback[producer]),
      durable: wiring.acknowledged(this.#positions()),
      epoch,
    })
    const counters = memory.counters.source[SOURCES.push] as LifeMemory['counters']['source'][0]
    return new ServeAgent({
      settings: {
        ...DEFAULTS.serve,
        frame_ticks: settings.frameTicks,
        subscriber_buffer_bytes: settings.subscriberBufferBytes,
        body_bytes_max: MIB,
      },
      epoch,
      rings: [
        { shard: SHARD, lapper: wiring.lapper(new TickRingLapper(memory.ticks, memory.firstSeq)) },
      ],
      instruments,
      latest,
      lanes: [lane('serve')],
      sources: [{ name: 'push', index: SOURCES.push, shard: SHARD, counters }],
      history: undefined,
      // No network, no visits: its doors are open, and nothing is read or written.
      access: {
        settings: DEFAULTS.access,
        keysFile: '',
        auditFile: '',
        isInsecure: false,
        tls: undefined,
      },
      readiness: () => ({ ready: true, status: 'ready', dependencies: {} }),
      metrics: () => [],
      sourceNames: Object.keys(SOURCES),
      ask: askNobody,
      clock,
      log,
      counters: memory.counters.serve,
      createServer,
    })
  }

  /** As threads/journal-readers.ts opens them for a store. */
  openReader(fromSeq: number, durable: () => number): SkippingReader {
    const { disk, log } = this.#options
    return new SkippingReader({
      directory: DIRECTORY,
      shard: SHARD,
      fromSeq,
      durable,
      disk,
      onSkip: (damage) => log.error(damage, DAMAGED),
    })
  }

  /** Id of the start that wrote a record; '' where that cannot be read. */
  #startOf(seq: number): string {
    const { memory } = this.#options
    if (seq < memory.oldest.load()) return ''
    const reader = this.openReader(seq, () => memory.durable.load())
    try {
      const batch = new TickBatch(1)
      return reader.read(batch) === 1 && reader.seq === seq + 1 ? reader.start : ''
    } catch {
      return ''
    } finally {
      reader.close()
    }
  }

  /** The tick ring, with a fuse behind each publication. */
  #producer(ring: TickRingProducer): TickRingProducer {
    const publish = ring.publish.bind(ring)
    ring.publish = (...args) => {
      const seq = publish(...args)
      if (seq >= 0) this.#options.publishFuse.blow()
      return seq
    }
    return ring
  }

  #positions() {
    const { written, durable, stored } = this.#options.memory
    return {
      written: () => written.load(),
      durable: () => durable.load(),
      stored: () => stored.load(),
    }
  }
}

function journalConfig(settings: LifeSettings): Config['journal'] {
  return {
    segment_bytes: settings.segmentBytes,
    block_ticks: settings.blockTicks,
    sync_interval_ms: settings.syncIntervalMs,
    sync_bytes: settings.syncBytes,
    retain_ms: settings.retainMs,
    retain_bytes: settings.retainBytes,
    bytes_max: settings.bytesMax,
    batch_ids: BATCH_IDS,
    free_bytes_min: 0,
  }
}

/** The simulated database has no constraint that a record could break. */
function refuseNone(): void {
  throw new Error('the simulated database refuses no record')
}

/** Questions are asked by HTTP requests that no schedule makes. */
function askNobody(): Promise<never> {
  throw new Error('nobody asks main in a simulation')
}
