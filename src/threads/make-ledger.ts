// The ledger's view of the shared memory. Only reads: positions and rings are others' to move.

import type { Clock } from '../clock.ts'
import type { Config } from '../config/schema.ts'
import { idText } from '../journal/identity.ts'
import { LedgerBook } from '../ledger/book.ts'
import { Ledger, type StoreState } from '../ledger/ledger.ts'
import type { LedgerInputs, LedgerShard } from '../ledger/sample.ts'
import { SEQ_MAX } from '../limits.ts'
import type { IncidentReport } from '../ops/incidents.ts'
import type { Log } from '../ops/log.ts'
import { GATING_SLOT, POSITION } from '../pipeline.ts'
import { FrameRingProducer } from '../ring/frame-ring.ts'
import { TickRingConsumer, TickRingObserver } from '../ring/tick-ring.ts'
import { serveRole } from './plan.ts'
import type { Shared } from './shared-memory.ts'

export interface MakeLedgerOptions {
  readonly config: Config
  readonly shared: Shared
  /** Of the book. */
  readonly directory: string
  readonly hasRedis: boolean
  readonly clock: Clock
  readonly log: Log
  readonly raise: (report: IncidentReport) => void
}

export function makeLedger(options: MakeLedgerOptions): Ledger {
  const { config, shared, directory, hasRedis, clock, log, raise } = options
  const counters = shared.counters('ledger')
  const { retain_days: retainDays, retain_bytes: retainBytes } = config.ledger
  const inputs = ledgerInputs(config, shared)
  return new Ledger({
    inputs,
    stores: () => stores(shared, inputs, hasRedis),
    book: new LedgerBook({ directory, retainDays, retainBytes, log, counters }),
    raise,
    clock,
    counters,
  })
}

export function ledgerInputs(config: Config, shared: Shared): LedgerInputs {
  return {
    sources: config.sources.map(({ name, shard }) => ({
      name,
      shard,
      source: shared.sums('source', name),
      decode: shared.counters('decode', name),
      driven: shared.counters('driven', name),
    })),
    shards: shared.memory.shards.map((_, shard) => ledgerShard(shared, shard)),
    serve: Array.from({ length: shared.memory.serveThreads }, (_, instance) => ({
      role: serveRole(instance),
      counters: shared.counters('serve', '', instance),
    })),
  }
}

function ledgerShard(shared: Shared, shard: number): LedgerShard {
  const { firstSeq, epoch, identity, ways, ticks } = shared.shard(shard)
  const rings = ways.map(({ frames }) => new FrameRingProducer(frames))
  const ring = new TickRingObserver(ticks, firstSeq)
  const written = shared.position(shard, POSITION.written)
  const durable = shared.position(shard, POSITION.durable)
  const stored = shared.position(shard, POSITION.postgres)
  return {
    shard,
    startSeq: firstSeq,
    epoch,
    journal: idText(identity.journalId),
    fillBytes: () => rings.reduce((sum, { fillBytes }) => sum + fillBytes, 0),
    published: () => ring.publishedSeq(),
    written: () => written.load(),
    durable: () => durable.load(),
    stored: () => {
      const seq = stored.load()
      return seq === SEQ_MAX ? undefined : seq
    },
    postgres: shared.counters('postgres', String(shard)),
  }
}

/** Position and lag of everything that reads what decode publishes. Consumers before producers. */
function stores(
  shared: Shared,
  { shards }: LedgerInputs,
  hasRedis: boolean,
): Record<string, StoreState> {
  const states: Record<string, StoreState> = {}
  for (const { shard, startSeq, stored, written, durable, published, postgres } of shards) {
    const { ticks } = shared.shard(shard)
    const storedSeq = stored()
    const durableSeq = durable()
    const writtenSeq = written()
    const publishedSeq = published()
    if (storedSeq !== undefined) {
      states[`postgres-${shard}`] = {
        position: storedSeq,
        // Until it has told its position, that is 0, and a journal may begin far beyond.
        lag: Math.max(
          0,
          durableSeq - Math.max(storedSeq, shared.position(shard, POSITION.oldest).load()),
        ),
        connected: postgres.get('connected') === 1,
        rows: postgres.get('records'),
        refused: postgres.get('records_refused'),
        lost: postgres.get('records_lost'),
      }
    }
    states[`journal-${shard}`] = {
      position: durableSeq,
      lag: publishedSeq - durableSeq,
      written: writtenSeq,
    }
    const latest = new TickRingConsumer(ticks, GATING_SLOT.aggregate, startSeq)
    const lag = Math.max(0, latest.available())
    states[`latest-${shard}`] = { position: publishedSeq - lag, lag }
  }
  if (hasRedis) {
    const redis = shared.counters('redis')
    // No position: it holds the newest value of each instrument, whichever record that was.
    states.redis = { connected: redis.get('connected') === 1, keys: redis.get('keys') }
  }
  return states
}
