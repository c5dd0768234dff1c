// All memory that threads share: made once by main, attached by each thread, freed at exit.
//
// SharedMemory is plain data (it crosses to workers by structured clone). Shared holds the typed
// accessors of one thread.

import { randomUUID } from 'node:crypto'
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
import { type CounterReader, CounterSet, CounterSums } from '../ops/counters.ts'
import { MAIN_THREAD } from '../ops/profiling/thread-target.ts'
import { FRAME_PRODUCERS, type FrameProducer, POSITION, POSITION_COUNT } from '../pipeline.ts'
import { Doorbell } from '../ring/doorbell.ts'
import { frameRingBytes } from '../ring/frame-ring-layout.ts'
import { GroupCommit } from '../ring/group-commit.ts'
import { SharedSeq } from '../ring/shared-seq.ts'
import { SharedText } from '../ring/shared-text.ts'
import { createTickRing } from '../ring/tick-ring-layout.ts'
import { UsageBoard } from '../serve/access/usage-board.ts'
import type { BreakerBoard } from '../storage/breaker.ts'
import { InstrumentTable } from '../tick/instruments.ts'
import { Lifecycle } from './lifecycle.ts'
import type { ShardStart } from './open-shard.ts'
import { MAIN_OWNER, serveRole, type ThreadPlan } from './plan.ts'

/** A producer's way to decode, and back. */
export interface FrameWay {
  readonly producer: FrameProducer
  /** Of serve: which of its threads; else 0. */
  readonly instance: number
  readonly frames: SharedArrayBuffer
  readonly feedback: SharedArrayBuffer
}

export interface ShardMemory {
  /** Sequence of the first record of this epoch. */
  readonly firstSeq: number
  readonly epoch: number
  /** In the order of FRAME_PRODUCERS. */
  readonly ways: readonly FrameWay[]
  /** Serve to decode, by serve thread: books that need a fresh image. */
  readonly wantedBooks: readonly SharedArrayBuffer[]
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
  /** Its source, shard, dependency, thread or role; '' where the set has one in all. */
  readonly key: string
  /** The serve thread that writes it; 0 where no serve thread does. */
  readonly instance: number
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
  /** Of holders of keys and addresses, over all serve threads: a UsageBoard. */
  readonly usage: SharedArrayBuffer
  /** Where a name belongs on it, nobody can choose. */
  readonly usageSalt: string
  readonly serveThreads: number
  readonly shards: readonly ShardMemory[]
}

export function createSharedMemory(
  config: Config,
  threads: readonly ThreadPlan[],
  starts: readonly ShardStart[],
): SharedMemory {
  const agentCount = threads.reduce((sum, thread) => sum + thread.agents.length, 0)
  const { blocks, size } = layOutCounters(config, threads)
  const serveThreads = config.serve.threads
  const breakerCount = breakerNames(starts.length, serveThreads).length
  return {
    bells: new SharedArrayBuffer(Doorbell.bytes(threads.length)),
    lifecycle: new SharedArrayBuffer(Lifecycle.bytes(agentCount + threads.length)),
    instruments: InstrumentTable.create(INSTRUMENTS_MAX),
    latest: LatestTable.create(INSTRUMENTS_MAX),
    notice: ChangeNotice.create(),
    counters: new SharedArrayBuffer(size),
    counterBlocks: blocks,
    breakerErrors: new SharedArrayBuffer(SharedText.bytes(breakerCount)),
    usage: UsageBoard.create(serveThreads),
    usageSalt: randomUUID(),
    serveThreads,
    shards: starts.map((start) => createShard(start, serveThreads)),
  }
}

function createShard(start: ShardStart, serveThreads: number): ShardMemory {
  const ring = (bytes: number) => new SharedArrayBuffer(frameRingBytes(bytes))
  const ways = FRAME_PRODUCERS.flatMap((producer) =>
    Array.from({ length: producer === 'serve' ? serveThreads : 1 }, (_, instance): FrameWay => {
      const feedback = ring(FEEDBACK_RING_BYTES)
      return { producer, instance, frames: ring(FRAME_RING_BYTES), feedback }
    }),
  )
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
    ways,
    wantedBooks: Array.from({ length: serveThreads }, () => ring(FEEDBACK_RING_BYTES)),
    ticks: createTickRing(TICK_RING_TICKS, start.nextSeq),
    poison: PoisonList.create(),
    groups: new SharedArrayBuffer(GroupCommit.bytes(counterNames('decode').length)),
    positions,
  }
}

/** Dependencies with a circuit breaker; its owner is one thread. */
export function breakerNames(shards: number, serveThreads: number): string[] {
  const writers = Array.from({ length: shards }, (_, shard) => `postgres-${shard}`)
  const readers = Array.from({ length: serveThreads }, (_, instance) => historyBreaker(instance))
  return [...writers, 'redis', ...readers]
}

/** Of what a serve thread reads of PostgreSQL. */
export function historyBreaker(instance: number): string {
  return instance === 0 ? 'history' : `history-${instance}`
}

/** One block a set and label; each begins on lines of its own, as each has its own writer. */
function layOutCounters(
  config: Config,
  threads: readonly ThreadPlan[],
): { blocks: CounterBlock[]; size: number } {
  const blocks: CounterBlock[] = []
  let size = 0
  const place = (set: CounterSetName, labels: Record<string, string>, instance = 0, role = {}) => {
    const [key = ''] = Object.values(labels)
    blocks.push({ set, key, instance, labels: { ...labels, ...role }, byteOffset: size })
    const bytes = counterNames(set).length * Float64Array.BYTES_PER_ELEMENT
    size += Math.ceil(bytes / CACHE_ISOLATION_BYTES) * CACHE_ISOLATION_BYTES
  }
  // Where several threads serve, each block says whose it is.
  const placeEach = (set: CounterSetName, labels: Record<string, string>) => {
    const count = config.serve.threads
    for (let instance = 0; instance < count; instance++) {
      place(set, labels, instance, count === 1 ? {} : { role: serveRole(instance) })
    }
  }
  for (const { name, type } of config.sources) {
    // What is pushed over HTTP is put on the rings by the threads that serve.
    const placeSource = type === 'http' ? placeEach : place
    placeSource('source', { source: name })
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
  for (const dependency of breakerNames(config.shards, config.serve.threads)) {
    place('breaker', { dependency })
  }
  place('ledger', {})
  place('incidents', {})
  place('letters', {})
  place('aggregate', {})
  place('redis', {})
  placeEach('serve', {})
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

  /** A serve thread's view of what all of them count of holders and addresses. */
  usageBoard(instance: number): UsageBoard {
    const { usage, serveThreads, usageSalt } = this.memory
    return new UsageBoard(usage, serveThreads, instance, usageSalt)
  }

  /** The same object at each call: a thread that rings itself must be known to it. */
  bell(thread: ThreadPlan): Doorbell {
    const known = this.#bells.get(thread.bell)
    if (known !== undefined) return known
    const bell = new Doorbell(this.memory.bells, thread.bell)
    this.#bells.set(thread.bell, bell)
    return bell
  }

  /** A producer's way to decode. */
  way(shard: number, producer: FrameProducer, instance = 0): FrameWay {
    const { ways } = this.shard(shard)
    return ways.find((way) => way.producer === producer && way.instance === instance) as FrameWay
  }

  /** Where the breaker of a dependency is seen; it is one of `breakerNames`. */
  breaker(name: string): BreakerBoard {
    const { shards, serveThreads } = this.memory
    const slot = breakerNames(shards.length, serveThreads).indexOf(name)
    return {
      counters: this.counters('breaker', name),
      lastError: new SharedText(this.memory.breakerErrors, slot),
    }
  }

  /** The counters of a set; `key` and `instance` as in CounterBlock. */
  counters<Set extends CounterSetName>(
    set: Set,
    key = '',
    instance = 0,
  ): CounterSet<CounterName<Set>> {
    const block = this.memory.counterBlocks.find(
      (each) => each.set === set && each.key === key && each.instance === instance,
    )
    if (block === undefined) throw new Error(`no counters ${set} ${key}`)
    return this.countersOf(block) as CounterSet<CounterName<Set>>
  }

  countersOf({ set, byteOffset }: CounterBlock): CounterSet {
    return new CounterSet(counterNames(set), this.memory.counters, byteOffset)
  }

  /** As one, whichever serve threads write them; but for those of `except`. */
  sums<Set extends CounterSetName>(
    set: Set,
    key = '',
    except = -1,
  ): CounterReader<CounterName<Set>> {
    const blocks = this.memory.counterBlocks.filter(
      (each) => each.set === set && each.key === key && each.instance !== except,
    )
    return new CounterSums(blocks.map((block) => this.countersOf(block)))
  }
}
