// The aggregate agent: keeps the latest table from the tick rings of all shards.
//
// A gating consumer: it sees every record, and never falls behind for long, since it only
// overwrites values in place. At start it reads the tail of each shard's journal, so that the
// latest values survive a restart; a value that is already in the table and newer stays.

import type { CounterSet } from '../ops/counters.ts'
import type { TickRingConsumer } from '../ring/tick-ring.ts'
import type { Agent } from '../threads/agent.ts'
import { TickBatch } from '../tick/batch.ts'
import { TICK_BYTES } from '../tick/layout.ts'
import type { LatestTable } from './latest-table.ts'
import { LatestWriter, type RunViews } from './latest-writer.ts'

/** Most records of one ring in one duty cycle: bounds the time away from the other agents. */
const RUN_TICKS_MAX = 4096

/** The journal's end, in order: a JournalReader is one. */
export interface JournalTail {
  /** Sequence of the next record that `read` gives. */
  readonly seq: number
  /** Fills the batch; returns out.count, 0 at the end. */
  read(out: TickBatch): number
  close(): void
}

export interface AggregateRing {
  readonly shard: number
  readonly consumer: TickRingConsumer
  /** Opens the part of the shard's journal that latest values are recovered from. */
  readonly tail?: (() => JournalTail) | undefined
}

export interface AggregateOptions {
  readonly rings: readonly AggregateRing[]
  readonly latest: LatestTable
  readonly counters: CounterSet<'records'>
  /** The table has changed: called once a duty cycle at most. */
  readonly onChange?: () => void
}

interface Lane {
  readonly consumer: TickRingConsumer
  readonly views: RunViews
}

export class AggregateAgent implements Agent {
  readonly roleName = 'aggregate'
  readonly #options: AggregateOptions
  readonly #writer: LatestWriter
  readonly #lanes: readonly Lane[]
  readonly #recordsIndex: number

  constructor(options: AggregateOptions) {
    this.#options = options
    this.#writer = new LatestWriter(options.latest)
    this.#lanes = options.rings.map(({ consumer }) => ({
      consumer,
      views: viewsOf(consumer.bytes),
    }))
    this.#recordsIndex = options.counters.index('records')
  }

  onStart(): void {
    const { rings, latest } = this.#options
    const isFresh = latest.isEmpty()
    for (const { tail } of rings) if (tail !== undefined) this.#recover(tail(), isFresh)
    // Also after a crash, which may have come between a change and the word of it.
    this.#options.onChange?.()
  }

  doWork(): number {
    let work = 0
    for (const { consumer, views } of this.#lanes) {
      const count = Math.min(consumer.run(), RUN_TICKS_MAX)
      if (count === 0) continue
      this.#writer.apply(views, consumer.offset() / TICK_BYTES, count, consumer.seq)
      consumer.advance(count)
      work += count
    }
    const { values } = this.#options.counters
    values[this.#recordsIndex] = (values[this.#recordsIndex] as number) + work
    if (work > 0) this.#options.onChange?.()
    return work
  }

  drain(): boolean {
    return this.#lanes.every(({ consumer }) => consumer.available() === 0)
  }

  /**
   * A restarted agent finds the table filled: only what is newer than the table is taken. Of a
   * fresh table nothing is asked: that takes as long as all else.
   */
  #recover(tail: JournalTail, isFresh: boolean): void {
    const { latest } = this.#options
    const batch = new TickBatch(RUN_TICKS_MAX)
    const known = new TickBatch(1)
    try {
      while (tail.read(batch) > 0) {
        const firstSeq = tail.seq - batch.count
        let kept = 0
        for (let i = 0; !isFresh && i < batch.count; i++) {
          const seq = latest.read(batch.instrument(i), batch.kind(i), known, 0)
          if (seq >= firstSeq + i) {
            this.#writer.apply(batch, kept, i - kept, firstSeq + kept)
            kept = i + 1
          }
        }
        this.#writer.apply(batch, kept, batch.count - kept, firstSeq + kept)
      }
    } finally {
      tail.close()
    }
  }
}

function viewsOf(bytes: Uint8Array): RunViews {
  const { buffer, byteOffset, byteLength } = bytes
  return {
    bytes,
    words: new Int32Array(buffer, byteOffset, byteLength / 4),
    halves: new Uint16Array(buffer, byteOffset, byteLength / 2),
  }
}
