// One reading of every counter and position of which the ledger is made.
//
// The counters are written by several threads and read here by another, at different instants, and
// none of them waits. So that a difference means something, the order of reading is fixed: what a
// frame passes last is read first. A count further on can then not be ahead of one further back,
// but for a bug; and what it is behind is bounded by what the rings hold (checks.ts).
//
//   received, ring fill   →   decode's counts   →   stored, durable, written, published   →
//   received again
//
// Decode adds a group's counts between `groups_begun` and `groups`: read in the opposite order and
// found equal, no group was half-counted. It publishes a group before it counts it: a reading in
// which published and accepted differ is repeated at once, up to ATTEMPTS_MAX times, and the one
// with the smallest difference is kept. All this is plain loads: nobody else is delayed.

import { type CounterName, counterNames } from '../ops/counter-catalog.ts'
import type { CounterReader, CounterSet } from '../ops/counters.ts'

const ATTEMPTS_MAX = 32

/** A source, as the ledger sees it. */
export interface LedgerSource {
  readonly name: string
  readonly shard: number
  /** Summed over the threads that receive for it. */
  readonly source: CounterReader<CounterName<'source'>>
  readonly decode: CounterSet<CounterName<'decode'>>
  /** Frames that were driven again out of the dead letters. */
  readonly driven: CounterSet<CounterName<'driven'>>
}

/** A shard's positions: each is the next sequence, exclusive. */
export interface LedgerShard {
  readonly shard: number
  /** Where this run began. */
  readonly startSeq: number
  readonly epoch: number
  /** Id of the journal; '' = not known. */
  readonly journal: string
  /** Bytes on all frame rings of the shard. */
  readonly fillBytes: () => number
  readonly published: () => number
  readonly written: () => number
  readonly durable: () => number
  /** undefined = PostgreSQL is off. */
  readonly stored: () => number | undefined
  readonly postgres: CounterSet<CounterName<'postgres'>>
}

/** A thread that serves. Each balances by itself, so that two wrongs do not make a right. */
export interface LedgerServe {
  /** Of its agent: 'serve'. */
  readonly role: string
  readonly counters: CounterSet<CounterName<'serve'>>
}

export interface LedgerInputs {
  readonly sources: readonly LedgerSource[]
  readonly shards: readonly LedgerShard[]
  readonly serve: readonly LedgerServe[]
}

export type Counts<Set extends 'decode' | 'postgres' | 'serve'> = Readonly<
  Record<CounterName<Set>, number>
>

interface Received {
  frames: number
  bytes: number
  dropped: number
}

export interface SourceSample {
  /** Put on a ring: before decode's counts were read, and after. */
  readonly before: Received
  readonly after: Received
  readonly decode: Counts<'decode'>
}

export interface ShardSample {
  readonly fillBytes: number
  readonly stored: number | undefined
  readonly durable: number
  readonly written: number
  readonly published: number
  /** Published since the start and in no source's count of accepted records. */
  readonly uncounted: number
  readonly postgres: Counts<'postgres'>
}

export interface Sample {
  /** By index in the configuration. */
  readonly sources: readonly SourceSample[]
  readonly shards: readonly ShardSample[]
  /** As in the inputs. */
  readonly serve: readonly Counts<'serve'>[]
}

export function takeSample(inputs: LedgerInputs): Sample {
  const sources: SourceSample[] = []
  const shards: ShardSample[] = []
  for (const shard of inputs.shards) {
    const members = inputs.sources.filter((source) => source.shard === shard.shard)
    let best = sampleShard(shard, members)
    for (let attempt = 1; attempt < ATTEMPTS_MAX && !best.isSettled; attempt++) {
      const next = sampleShard(shard, members)
      const isCloser = Math.abs(next.shard.uncounted) < Math.abs(best.shard.uncounted)
      if (next.isSettled || (next.isWhole && (isCloser || !best.isWhole))) best = next
    }
    shards.push(best.shard)
    members.forEach((member, i) => {
      sources[inputs.sources.indexOf(member)] = best.sources[i] as SourceSample
    })
  }
  return { sources, shards, serve: inputs.serve.map(sampleServe) }
}

interface Attempt {
  readonly shard: ShardSample
  readonly sources: readonly SourceSample[]
  /** No group was half-counted. */
  readonly isWhole: boolean
  readonly isSettled: boolean
}

function sampleShard(shard: LedgerShard, members: readonly LedgerSource[]): Attempt {
  const before = members.map(received)
  const fillBytes = shard.fillBytes()
  const wholes: boolean[] = []
  const decodes = members.map(({ decode }) => {
    const groups = decode.get('groups')
    const counts = copy('decode', decode)
    wholes.push(decode.get('groups_begun') === groups)
    return counts
  })
  const postgres = copy('postgres', shard.postgres)
  const stored = shard.stored()
  const durable = shard.durable()
  const written = shard.written()
  const published = shard.published()
  const accepted = decodes.reduce((sum, decode) => sum + decode.records_accepted, 0)
  const uncounted = published - shard.startSeq - accepted
  const isWhole = !wholes.includes(false)
  return {
    shard: { fillBytes, stored, durable, written, published, uncounted, postgres },
    sources: members.map((member, i) => ({
      before: before[i] as Received,
      after: received(member),
      decode: decodes[i] as Counts<'decode'>,
    })),
    isWhole,
    isSettled: isWhole && uncounted === 0,
  }
}

function received({ source, driven }: LedgerSource): Received {
  return {
    frames: source.get('frames') + driven.get('frames'),
    bytes: source.get('bytes') + driven.get('bytes'),
    dropped: source.get('frames_dropped'),
  }
}

/** Serve counts a frame to a subscriber in one go: found unequal, it was in the middle of that. */
function sampleServe({ counters }: LedgerServe): Counts<'serve'> {
  let counts = copy('serve', counters)
  for (let attempt = 1; attempt < ATTEMPTS_MAX && undelivered(counts) !== 0; attempt++) {
    counts = copy('serve', counters)
  }
  return counts
}

/** Published to subscribers, and neither delivered nor skipped. */
export function undelivered(serve: Counts<'serve'>): number {
  return serve.records_published - serve.records_delivered - serve.records_skipped
}

function copy<Set extends 'decode' | 'postgres' | 'serve'>(
  set: Set,
  counters: CounterSet<CounterName<Set>>,
): Counts<Set> {
  const { values } = counters
  const counts: Record<string, number> = {}
  counterNames(set).forEach((name, i) => {
    counts[name] = values[i] as number
  })
  return counts as Counts<Set>
}
