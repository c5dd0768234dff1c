// All memory that threads share: made once by main, attached by each thread, freed at exit.
//
// SharedMemory is plain data (it crosses to workers by structured clone). Shared holds the typed
// accessors of one thread.

import { ChangeNotice } from '../aggregate/change-notice.ts'
import { LatestTable } from '../aggregate/latest-table.ts'
import type { Config } from '../config/schema.ts'
import { PoisonList } from '../decode/poison-list.ts'
import type { JournalIdentity } from '../journal/identity.ts'
import {
  CACHE_ISOLATION_BYTES,
  FEEDBACK_RING_BYTES,
  FRAME_RING_BYTES,
  INSTRUMENTS_MAX,
  MARK_RING_MARKS,
  TICK_RING_TICKS,
} from '../limits.ts'
import { type CounterName, type CounterSetName, counterNames } from '../ops/counter-catalog.ts'
import { CounterSet } from '../ops/counters.ts'
import { MAIN_THREAD } from '../ops/profiling/thread-target.ts'
import { FRAME_PRODUCERS, type FrameProducer, POSITION, POSITION_COUNT } from '../pipeline.ts'
import { Doorbell } from '../ring/doorbell.ts'
import { frameRingBytes } from '../ring/frame-ring-layout.ts'
import { GroupCommit } from '../ring/group-commit.ts'
import { SharedSeq } from '../ring/shared-seq.ts'
import { SharedText } from '../ring/shared-text.ts'
import { createTickRing } from '../ring/tick-ring-layout.ts'
import type { BreakerBoard } from '../storage/breaker.ts'
import { InstrumentTable } from '../tick/instruments.ts'
import { Lifecycle } from './lifecycle.ts'
import type { ShardStart } from './open-shard.ts'
import { MAIN_OWNER, type ThreadPlan } from './plan.ts'

export interface ShardMemory {
  /** Sequence of the first record of this epoch. */
  readonly firstSeq: number
  readonly epoch: number
  readonly frames: Readonly<Record<FrameProducer, SharedArrayBuffer>>
  readonly feedback: Readonly<Record<FrameProducer, SharedArrayBuffer>>
  /** Serve to decode: books that need a fresh image. */
  readonly wantedBooks: SharedArrayBuffer
  readonly ticks: SharedArrayBuffer
  /** Of decode: ends of its groups; see ring/group-commit.ts. */
  readonly groups: SharedArrayBuffer
  /** Of decode: frames that it set aside; see decode/poison-list.ts. */
  readonly poison: SharedArrayBuffer
  /** Marks of pushed batches, decode to journal: a tick ring of them. */
  readonly marks: SharedArrayBuffer
  /** Pushed batches that are remembered: BatchIds. */
  readonly batchIds: SharedArrayBuffer
  readonly identity: JournalIdentity
  /** Where the journal began. */
  readonly originSeq: number
  readonly positions: SharedArrayBuffer
}

export interface CounterBlock {
  readonly set: CounterSetName
  /** What distinguishes this block from others of the set: {source: 'push'}, {shard: '0'}. */
  readonly labels: Readonly<Record<string, string>>
  readonly byteOffset: number
}

export interface SharedMemory {
  readonly bells: SharedArrayBuffer
  readonly lifecycle: SharedArrayBuffer
  readonly instruments: SharedArrayBuffer
  readonly latest: SharedArrayBuffer
  /** Between aggregate and redis. */
  readonly notice: SharedArrayBuffer
  readonly counters: SharedArrayBuffer
  readonly counterBlocks: readonly CounterBlock[]
  /** Last errors of the breakers: a text a name of `breakerNames`. */
  readonly breakerErrors: SharedArrayBuffer
  readonly shards: readonly ShardMemory[]
}

export function createSharedMemory(
  config: Config,
  threads: readonly ThreadPlan[],
  starts: readonly ShardStart[],
): SharedMemory {
  const agentCount = threads.reduce((sum, thread) => sum + thread.agents.length, 0)
  const { blocks, size } = layOutCounters(config, threads)
  return {
    bells: new SharedArrayBuffer(Doorbell.bytes(threads.length)),
    lifecycle: new SharedArrayBuffer(Lifecycle.bytes(agentCount + threads.length)),
    instruments: InstrumentTable.create(INSTRUMENTS_MAX),
    latest: LatestTable.create(INSTRUMENTS_MAX),
    notice: ChangeNotice.create(),
    counters: new SharedArrayBuffer(size),
    counterBlocks: blocks,
    breakerErrors: new SharedArrayBuffer(SharedText.bytes(breakerNames(starts.length).length)),
    shards: starts.map(createShard),
  }
}

function createShard(start: ShardStart): ShardMemory {
  const perProducer = (bytes: number) =>
    Object.fromEntries(
      FRAME_PRODUCERS.map((name) => [name, new SharedArrayBuffer(frameRingBytes(bytes))]),
    ) as Record<FrameProducer, SharedArrayBuffer>
  const positions = new SharedArrayBuffer(SharedSeq.bytes(POSITION_COUNT))
  for (const slot of [POSITION.start, POSITION.written, POSITION.durable]) {
    new SharedSeq(positions, slot).store(start.nextSeq)
  }
  new SharedSeq(positions, POSITION.oldest).store(start.oldestSeq)
  return {
    firstSeq: start.nextSeq,
    epoch: start.epoch,
    identity: start.identity,
    originSeq: start.originSeq,
    batchIds: start.batchIds,
    marks: createTickRing(MARK_RING_MARKS, 0),
    frames: perProducer(FRAME_RING_BYTES),
    feedback: perProducer(FEEDBACK_RING_BYTES),
    wantedBooks: new SharedArrayBuffer(frameRingBytes(FEEDBACK_RING_BYTES)),
    ticks: createTickRing(TICK_RING_TICKS, start.nextSeq),
    poison: PoisonList.create(),
    groups: new SharedArrayBuffer(GroupCommit.bytes(counterNames('decode').length)),
    positions,
  }
}

/** Dependencies with a circuit breaker. `history`: what serve reads of PostgreSQL. */
export function breakerNames(shards: number): string[] {
  const writers = Array.from({ length: shards }, (_, shard) => `postgres-${shard}`)
  return [...writers, 'redis', 'history']
}

/** One block a set and label; each begins on lines of its own, as each has its own writer. */
function layOutCounters(
  config: Config,
  threads: readonly ThreadPlan[],
): { blocks: CounterBlock[]; size: number } {
  const blocks: CounterBlock[] = []
  let size = 0
  const place = (set: CounterSetName, labels: Record<string, string>) => {
    blocks.push({ set, labels, byteOffset: size })
    const bytes = counterNames(set).length * Float64Array.BYTES_PER_ELEMENT
    size += Math.ceil(bytes / CACHE_ISOLATION_BYTES) * CACHE_ISOLATION_BYTES
  }
  for (const { name } of config.sources) {
    place('source', { source: name })
    place('decode', { source: name })
    place('driven', { source: name })
  }
  for (let shard = 0; shard < config.shards; shard++) {
    const labels = { shard: String(shard) }
    place('dead_letters', labels)
    // A counter has one writer: those of the database writer's thread are its own.
    place('dead_letters', { shard: `store-${shard}` })
    place('journal', labels)
    place('postgres', labels)
  }
  place('thread', { thread: MAIN_THREAD.name })
  for (const { name, agents } of threads) {
    place('thread', { thread: name })
    for (const { roleName } of agents) place('agent', { role: roleName })
  }
  for (const dependency of breakerNames(config.shards)) place('breaker', { dependency })
  place('ledger', {})
  place('incidents', {})
  place('letters', {})
  place('aggregate', {})
  place('redis', {})
  place('serve', {})
  return { blocks, size }
}

/** One thread's view of the shared memory. */
export class Shared {
  readonly #bells = new Map<number, Doorbell>()
  readonly memory: SharedMemory
  readonly instruments: InstrumentTable
  readonly latest: LatestTable
  readonly notice: ChangeNotice

  /** `onAdd` makes a new instrument durable (tick/instrument-log.ts); `owner`: ThreadPlan's. */
  constructor(
    memory: SharedMemory,
    onAdd?: ConstructorParameters<typeof InstrumentTable>[2],
    owner = MAIN_OWNER,
  ) {
    this.memory = memory
    this.instruments = new InstrumentTable(memory.instruments, INSTRUMENTS_MAX, onAdd, owner)
    this.latest = new LatestTable(memory.latest, INSTRUMENTS_MAX)
    this.notice = new ChangeNotice(memory.notice)
  }

  shard(shard: number): ShardMemory {
    return this.memory.shards[shard] as ShardMemory
  }

  position(shard: number, slot: number): SharedSeq {
    return new SharedSeq(this.shard(shard).positions, slot)
  }

  /**
   * A sequence within a ring's length of every end of the shard's tick ring, however long the
   * daemon has run: what is durable has been published, and is not yet overwritten.
   */
  nearSeq(shard: number): number {
    return this.position(shard, POSITION.durable).load()
  }

  /** The same object at each call: a thread that rings itself must be known to it. */
  bell(thread: ThreadPlan): Doorbell {
    const known = this.#bells.get(thread.bell)
    if (known !== undefined) return known
    const bell = new Doorbell(this.memory.bells, thread.bell)
    this.#bells.set(thread.bell, bell)
    return bell
  }

  /** Where the breaker of a dependency is seen; it is one of `breakerNames`. */
  breaker(name: string): BreakerBoard {
    const slot = breakerNames(this.memory.shards.length).indexOf(name)
    return {
      counters: this.counters('breaker', name),
      lastError: new SharedText(this.memory.breakerErrors, slot),
    }
  }

  /** The counters of a set; `label` is its source, shard, dependency, thread or role, or ''. */
  counters<Set extends CounterSetName>(set: Set, label = ''): CounterSet<CounterName<Set>> {
    const block = this.memory.counterBlocks.find(
      (candidate) => candidate.set === set && (Object.values(candidate.labels)[0] ?? '') === label,
    )
    if (block === undefined) throw new Error(`no counters ${set} ${label}`)
    return new CounterSet(counterNames(set), this.memory.counters, block.byteOffset)
  }
}
