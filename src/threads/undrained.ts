// What an ordered stop left behind, for the log: read off the shared memory once the time is up.
//
// None of it is lost where it was acknowledged: what is in the journal is stored at the next start,
// and what is not was never acknowledged.

import { SEQ_MAX } from '../limits.ts'
import { GATING_SLOT, POSITION } from '../pipeline.ts'
import { FrameRingProducer } from '../ring/frame-ring.ts'
import { TickRingConsumer } from '../ring/tick-ring.ts'
import type { Shared } from './shared-memory.ts'

export interface Undrained {
  /** Received and not decoded; decoded and not durable: gone, and never acknowledged. */
  readonly frameBytes: number
  readonly recordsNotDurable: number
  /** Durable and not yet in PostgreSQL: stored at the next start. */
  readonly recordsNotStored: number
}

export function undrained(shared: Shared): Undrained {
  let frameBytes = 0
  let recordsNotDurable = 0
  let recordsNotStored = 0
  shared.memory.shards.forEach(({ ways, ticks, firstSeq }, shard) => {
    for (const { frames } of ways) frameBytes += new FrameRingProducer(frames).fillBytes
    recordsNotDurable += new TickRingConsumer(ticks, GATING_SLOT.journal, firstSeq).available()
    const durable = shared.position(shard, POSITION.durable).load()
    const stored = shared.position(shard, POSITION.postgres).load()
    if (stored !== SEQ_MAX) recordsNotStored += Math.max(0, durable - stored)
  })
  return { frameBytes, recordsNotDurable, recordsNotStored }
}
