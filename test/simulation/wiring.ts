// Where the simulation may come between two parts of the daemon: the seams that planted bugs use.
//
// Each seam is a function that gets the right thing and returns what is wired instead. The product
// knows nothing of them: a bug is planted by dependency injection alone.

import type { Disk } from '../../src/journal/disk.ts'
import type { FrameRingConsumer } from '../../src/ring/frame-ring.ts'
import type { TickRingLapper } from '../../src/ring/tick-ring.ts'
import type { connect } from '../../src/storage/postgres/connection.ts'

/** Positions of the shard, as they stand now. */
export interface Positions {
  readonly written: () => number
  readonly durable: () => number
  readonly stored: () => number
}

export interface Wiring {
  disk(disk: Disk): Disk
  connect(open: typeof connect): typeof connect
  /** The position up to which a push is acknowledged. */
  acknowledged(positions: Positions): () => number
  /** The position up to which stores read the journal. */
  readable(positions: Positions): () => number
  /** The position that holds segments back from removal. */
  stored(positions: Positions): () => number
  /** Decode's end of a frame ring. */
  frames(ring: FrameRingConsumer): FrameRingConsumer
  /** Serve's reader of the tick ring. */
  lapper(ring: TickRingLapper): TickRingLapper
  /** The table of pushed batches that recovery made. */
  batchIds(memory: SharedArrayBuffer): SharedArrayBuffer
  /** A message to a subscriber. */
  toSubscriber(text: string): string
}

/** Everything as the product has it. */
export const SOUND: Wiring = Object.freeze({
  disk: (disk: Disk) => disk,
  connect: (open: typeof connect) => open,
  acknowledged: ({ durable }: Positions) => durable,
  readable: ({ durable }: Positions) => durable,
  stored: ({ stored }: Positions) => stored,
  frames: (ring: FrameRingConsumer) => ring,
  lapper: (ring: TickRingLapper) => ring,
  batchIds: (memory: SharedArrayBuffer) => memory,
  toSubscriber: (text: string) => text,
})
