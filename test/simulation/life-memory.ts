// The shared memory of one life of the daemon, as threads/shared-memory.ts makes it, but small: a
// schedule of a few hundred ticks shall fill every ring, wrap it round and wait for it.

import { LatestTable } from '../../src/aggregate/latest-table.ts'
import { counterNames } from '../../src/ops/counter-catalog.ts'
import { CounterSet } from '../../src/ops/counters.ts'
import { FRAME_PRODUCERS, type FrameProducer } from '../../src/pipeline.ts'
import { frameRingBytes } from '../../src/ring/frame-ring-layout.ts'
import { GroupCommit } from '../../src/ring/group-commit.ts'
import { SharedSeq } from '../../src/ring/shared-seq.ts'
import { createTickRing } from '../../src/ring/tick-ring-layout.ts'
import type { ShardStart } from '../../src/threads/open-shard.ts'
import { type Instrument, InstrumentTable } from '../../src/tick/instruments.ts'
import { breakerBoard } from '../support/breaker-board.ts'

const INSTRUMENTS = 64
/** A frame ring holds at most 64 packed ticks, so that any group of frames fits in a tick ring. */
const FRAME_RING_BYTES = 4096
const TICK_RING_TICKS = 128
const MARK_RING_MARKS = 64
/** In the order of the configuration that there is none of. */
export const SOURCES = Object.freeze({ push: 0, venue: 1 })
const SOURCE_NAMES = Object.keys(SOURCES)

export class LifeMemory {
  readonly firstSeq: number
  readonly epoch: number
  readonly identity: ShardStart['identity']
  readonly originSeq: number
  readonly ticks: SharedArrayBuffer
  readonly groups = new SharedArrayBuffer(GroupCommit.bytes(counterNames('decode').length))
  readonly marks = createTickRing(MARK_RING_MARKS, 0)
  readonly batchIds: SharedArrayBuffer
  readonly frames: Readonly<Record<FrameProducer, SharedArrayBuffer>>
  readonly feedback: Readonly<Record<FrameProducer, SharedArrayBuffer>>
  readonly instruments: InstrumentTable
  readonly latest = new LatestTable(LatestTable.create(INSTRUMENTS), INSTRUMENTS)
  readonly written: SharedSeq
  readonly durable: SharedSeq
  readonly stored: SharedSeq
  readonly oldest: SharedSeq
  readonly counters = {
    source: SOURCE_NAMES.map(() => new CounterSet(counterNames('source'))),
    decode: SOURCE_NAMES.map(() => new CounterSet(counterNames('decode'))),
    journal: new CounterSet(counterNames('journal')),
    postgres: new CounterSet(counterNames('postgres')),
    aggregate: new CounterSet(counterNames('aggregate')),
    serve: new CounterSet(counterNames('serve')),
  }
  readonly breaker = breakerBoard()

  /** `log`: the durable instruments, which new ones are added to. */
  constructor(opened: ShardStart, log: Instrument[]) {
    this.firstSeq = opened.nextSeq
    this.epoch = opened.epoch
    this.identity = opened.identity
    this.originSeq = opened.originSeq
    this.batchIds = opened.batchIds
    this.ticks = createTickRing(TICK_RING_TICKS, opened.nextSeq)
    this.frames = rings()
    this.feedback = rings()
    const positions = new SharedArrayBuffer(SharedSeq.bytes(4))
    this.written = new SharedSeq(positions, 0)
    this.durable = new SharedSeq(positions, 1)
    this.stored = new SharedSeq(positions, 2)
    this.oldest = new SharedSeq(positions, 3)
    this.written.store(opened.nextSeq)
    this.durable.store(opened.nextSeq)
    this.oldest.store(opened.oldestSeq)
    const memory = InstrumentTable.create(INSTRUMENTS)
    const replayed = new InstrumentTable(memory, INSTRUMENTS)
    for (const { venue, symbol, venueSymbol } of log) replayed.add(venue, symbol, venueSymbol)
    this.instruments = new InstrumentTable(memory, INSTRUMENTS, (added) => log.push({ ...added }))
  }
}

function rings(): Record<FrameProducer, SharedArrayBuffer> {
  const entries = FRAME_PRODUCERS.map((name) => [
    name,
    new SharedArrayBuffer(frameRingBytes(FRAME_RING_BYTES)),
  ])
  return Object.fromEntries(entries) as Record<FrameProducer, SharedArrayBuffer>
}
