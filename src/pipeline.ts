// The way of a tick, as one table. No logic here: `threads/` builds what this says.
//
//   source ─[frame ring]→ decode+validate ─[tick ring]→ journal ─[segments]→ postgres
//                               │               ├─────→ aggregate ─[latest table]→ redis, serve
//                               └→ dead letters  └─────→ serve ─[sockets]→ subscribers
//
// Order of start: bottom to top (START_ORDER). Order of drain: top to bottom.

export interface Stage {
  /** The stage's folder under src/, and the first part of its agents' role names. */
  readonly stage: StageName
  /** event-loop: has sockets, must not block. blocking: may sleep on its doorbell. */
  readonly waits: 'event-loop' | 'blocking'
  /** One agent a shard, one in all, or as many as `serve.threads` says, all alike. */
  readonly instances: 'shard' | 'one' | 'thread'
  readonly input: string
  readonly output: string
  /** What happens when the output has no room. Nothing is ever dropped without a count. */
  readonly overflow: string
}

export const STAGE_NAMES = [
  'source',
  'decode',
  'journal',
  'aggregate',
  'postgres',
  'redis',
  'serve',
] as const
export type StageName = (typeof STAGE_NAMES)[number]

export const PIPELINE: readonly Stage[] = [
  {
    stage: 'source',
    waits: 'event-loop',
    instances: 'one',
    input: 'sockets, files, the seeded generator',
    output: 'frame ring (one a shard)',
    overflow: 'push and replay: held back. venue: dropped, counted, an exact record of the loss',
  },
  {
    stage: 'decode',
    waits: 'blocking',
    instances: 'shard',
    input: 'frame rings of the shard (source, serve, dead letters)',
    output: 'tick ring; dead letters',
    overflow: 'stalls: the frame stays on its ring until the tick ring has room',
  },
  {
    stage: 'journal',
    waits: 'blocking',
    instances: 'shard',
    input: 'tick ring, gating',
    output: 'segments, durable position',
    overflow: 'stalls: a disk that is slow or full holds decode, then the sources, back',
  },
  {
    stage: 'aggregate',
    waits: 'blocking',
    instances: 'one',
    input: 'tick rings of all shards, gating',
    output: 'latest table',
    overflow: 'none: it overwrites values in place',
  },
  {
    stage: 'postgres',
    waits: 'event-loop',
    instances: 'shard',
    input: 'journal segments up to the durable position, own cursor',
    output: 'PostgreSQL, position in the same transaction',
    overflow: 'falls behind in the journal, which keeps what is not stored',
  },
  {
    stage: 'redis',
    waits: 'event-loop',
    instances: 'one',
    input: 'latest table',
    output: 'Redis keys and stream',
    overflow: 'conflates: only the newest value of an instrument is kept',
  },
  {
    stage: 'serve',
    waits: 'event-loop',
    instances: 'thread',
    input: 'tick rings of all shards, lapping; latest table; PostgreSQL for history',
    output: 'WebSocket feed, HTTP; frame ring for POST /v1/ticks',
    overflow: 'lapped: counted and declared as a gap. slow subscriber: its policy, declared',
  },
]

/**
 * Readers before writers. Until decode runs, no tick flows: those behind it start at once, and one
 * that waits (for a port, a database, the disk) holds none of the others up.
 */
export const START_ORDER: readonly (readonly StageName[])[] = [
  ['serve', 'redis', 'postgres', 'aggregate', 'journal'],
  ['decode'],
  ['source'],
]

/** Cursor slots of the gating consumers of a tick ring. */
export const GATING_SLOT = Object.freeze({ journal: 0, aggregate: 1 })

/**
 * Who puts frames on a shard's rings: each producer has a ring and a feedback ring of its own, each
 * serve thread too.
 * letters = dead letters that are driven again: no stage, but a thread that lives for as long as
 * that takes (threads/letters-worker.ts).
 */
export const FRAME_PRODUCERS = ['source', 'serve', 'letters'] as const
export type FrameProducer = (typeof FRAME_PRODUCERS)[number]

/** Shared positions of a shard: slots of its SharedSeq memory. Each is the next seq, exclusive. */
export const POSITION = Object.freeze({
  /** First sequence of this epoch: where the journal stood at start. */
  start: 0,
  /** Appended to a segment, perhaps not yet fsynced. */
  written: 1,
  /** fsynced: may be acknowledged and stored. */
  durable: 2,
  /** Committed in PostgreSQL. SEQ_MAX when PostgreSQL is off (it holds no segment back). */
  postgres: 3,
  /** Oldest sequence still in the journal. */
  oldest: 4,
  /** Committed in PostgreSQL and on its disk: its crash does not undo it. Segments go by this. */
  postgresFlushed: 5,
})
export const POSITION_COUNT = 6

/** What a tick passes on its way from socket to socket. */
export const LIVE_STAGES: readonly StageName[] = ['source', 'decode', 'aggregate', 'serve']

/** Threads of the `auto` setting on two cores or fewer; more cores get `dedicated`. */
export const BALANCED_THREADS: Readonly<Record<string, readonly StageName[]>> = Object.freeze({
  // The whole way from socket to socket: a hand-off between threads costs more than it saves where
  // their number exceeds that of the cores.
  live: LIVE_STAGES,
  // Of its own: while fsync waits for the disk, the core decodes. Another one for each shard.
  journal: ['journal'],
  store: ['postgres', 'redis'],
})

/** Those of them that all shards share, for the same reason. */
export const BALANCED_TOGETHER: readonly string[] = ['live', 'store']
