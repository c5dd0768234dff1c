// The lines of the ledger's book, and the one that two samples make: what passed between them.
//
// A minute is cut where it is sampled: each source's counts are those of one instant, so that its
// balances hold exactly; those of two sources may be microseconds apart. Names and numbers here are
// what `GET /v1/ledger` answers and the files hold: docs/ledger.md.

import { IGNORE_REASONS, QUARANTINE_REASONS, REJECT_REASONS } from './reasons.ts'
import {
  type Counts,
  type LedgerInputs,
  type LedgerShard,
  type Sample,
  type ShardSample,
  type SourceSample,
  undelivered,
} from './sample.ts'

type ByReason = Readonly<Record<string, number>>

export interface SourceMinute {
  /** in_flight before + received = dropped + decoded + in_flight. */
  readonly frames: {
    readonly received: number
    readonly dropped: number
    readonly decoded: number
    /** On the ring at the end. */
    readonly in_flight: number
  }
  readonly bytes: number
  /** total = decoded + ignored + rejected. */
  readonly messages: {
    readonly total: number
    readonly decoded: number
    readonly ignored: ByReason
    readonly rejected: ByReason
  }
  /** total = accepted + duplicate + quarantined. */
  readonly records: {
    readonly total: number
    readonly accepted: number
    readonly duplicate: number
    readonly quarantined: ByReason
  }
}

export interface ShardMinute {
  readonly shard: number
  /** Id of its journal. */
  readonly journal: string
  /** Accepted from all its sources. */
  readonly accepted: number
  /** Next sequences at the end of the minute; `stored` null = PostgreSQL is off. */
  readonly published: number
  readonly written: number
  readonly durable: number
  readonly stored: number | null
  /** Published and not yet counted, at the end: a group in the decoder's hands. */
  readonly uncounted: number
  /** Of this minute: rows committed, records that the store refused, and that it never got. */
  readonly rows: number
  readonly refused: number
  readonly lost: number
}

export interface ServeMinute {
  /** published = delivered + skipped + in_hand. Records times subscribers. */
  readonly published: number
  readonly delivered: number
  readonly skipped: number
  readonly in_hand: number
  readonly lapped: number
}

/** What passed between two samples. Sources of which nothing was counted are left out. */
export interface Passage {
  readonly sources: Readonly<Record<string, SourceMinute>>
  readonly shards: readonly ShardMinute[]
  readonly serve: ServeMinute
}

/** A balance that does not hold. */
export interface Imbalance {
  readonly check: string
  readonly subject: string
  readonly amount: number
  readonly evidence: Readonly<Record<string, number>>
}

export interface MinuteLine extends Passage {
  readonly type: 'minute'
  readonly epoch: number
  /** '2026-11-20T21:35Z': the minute it began in. */
  readonly minute: string
  readonly from: string
  readonly to: string
  /** stop: the daemon ended here, in order. */
  readonly end: 'minute' | 'stop'
  /** Those that stood at any time in it. */
  readonly imbalances: readonly Imbalance[]
}

export interface ShardStart {
  readonly shard: number
  readonly journal: string
  readonly next_seq: number
}

export interface StartLine {
  readonly type: 'start'
  readonly epoch: number
  readonly at: string
  readonly shards: readonly ShardStart[]
}

/** The daemon ended without closing its minute: its counts are unknown, its records are not. */
export interface InterruptedLine {
  readonly type: 'interrupted'
  /** Of the run that was interrupted. */
  readonly epoch: number
  /** Its last closed minute's end, or its start. */
  readonly from: string
  /** The start that found it. */
  readonly at: string
  /**
   * Records made durable since `from` that no minute has: sequences from … to, exclusive. 0 where
   * the journal is another one now.
   */
  readonly shards: readonly {
    readonly shard: number
    readonly journal: string
    readonly from_seq: number
    readonly to_seq: number
    readonly records: number
  }[]
}

export type LedgerLine = MinuteLine | StartLine | InterruptedLine

export function passage(inputs: LedgerInputs, from: Sample | undefined, to: Sample): Passage {
  const sources: Record<string, SourceMinute> = {}
  inputs.sources.forEach(({ name }, i) => {
    const minute = sourceMinute(from?.sources[i], to.sources[i] as SourceSample)
    if (hasCounts(minute)) sources[name] = minute
  })
  const shards = inputs.shards.map((shard, i) =>
    shardMinute(shard, from?.shards[i], to.shards[i] as ShardSample),
  )
  return { sources, shards, serve: serveMinute(from?.serve, to.serve) }
}

function sourceMinute(from: SourceSample | undefined, to: SourceSample): SourceMinute {
  const decode = (name: keyof Counts<'decode'>) => to.decode[name] - (from?.decode[name] ?? 0)
  const put = to.after.frames - (from?.after.frames ?? 0)
  const dropped = to.after.dropped - (from?.after.dropped ?? 0)
  return {
    frames: {
      received: put + dropped,
      dropped,
      decoded: decode('frames'),
      in_flight: to.after.frames - to.decode.frames,
    },
    bytes: to.after.bytes - (from?.after.bytes ?? 0),
    messages: {
      total: decode('messages'),
      decoded: decode('messages_decoded'),
      ignored: byReason(IGNORE_REASONS, (reason) => decode(`ignored_${reason}`)),
      rejected: byReason(REJECT_REASONS, (reason) => decode(`rejected_${reason}`)),
    },
    records: {
      total: decode('records'),
      accepted: decode('records_accepted'),
      duplicate: decode('records_duplicate'),
      quarantined: byReason(QUARANTINE_REASONS, (reason) => decode(`quarantined_${reason}`)),
    },
  }
}

function hasCounts({ frames }: SourceMinute): boolean {
  return frames.received + frames.decoded + frames.in_flight > 0
}

/** Reasons that did not occur are left out. */
function byReason<Reason extends string>(
  reasons: readonly Reason[],
  count: (reason: Reason) => number,
): ByReason {
  const counts: Record<string, number> = {}
  for (const reason of reasons) {
    const n = count(reason)
    if (n !== 0) counts[reason] = n
  }
  return counts
}

function shardMinute(
  { shard, startSeq, journal }: LedgerShard,
  from: ShardSample | undefined,
  to: ShardSample,
): ShardMinute {
  const { published, written, durable, stored, uncounted, postgres } = to
  const counted = published - uncounted
  return {
    shard,
    journal,
    accepted: counted - (from === undefined ? startSeq : from.published - from.uncounted),
    published,
    written,
    durable,
    stored: stored ?? null,
    uncounted,
    rows: postgres.records - (from?.postgres.records ?? 0),
    refused: postgres.records_refused - (from?.postgres.records_refused ?? 0),
    lost: postgres.records_lost - (from?.postgres.records_lost ?? 0),
  }
}

/** Of all threads that serve. */
function serveMinute(from: Sample['serve'] = [], to: Sample['serve']): ServeMinute {
  const sum = (all: Sample['serve'], name: keyof Counts<'serve'>) =>
    all.reduce((before, counts) => before + counts[name], 0)
  const since = (name: keyof Counts<'serve'>) => sum(to, name) - sum(from, name)
  return {
    published: since('records_published'),
    delivered: since('records_delivered'),
    skipped: since('records_skipped'),
    in_hand: to.reduce((before, counts) => before + undelivered(counts), 0),
    lapped: since('records_lapped'),
  }
}

/** Adds up the values by reason. */
export function total(counts: ByReason): number {
  let sum = 0
  for (const count of Object.values(counts)) sum += count
  return sum
}
