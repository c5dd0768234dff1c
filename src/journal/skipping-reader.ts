// A journal reader for those who must go on: records of a damaged block are passed over and told.
//
// A block that its checksum does not cover is gone, however often it is read; a store that waited
// for it would stop for good, the journal behind it would grow to its budget, and ingest would be
// held back for a record that nobody has. So it costs its own records, exactly, and no others. The
// file stays until retention removes it. What is not damage of a block is thrown on: damage.ts.

import { TickdError } from '../errors.ts'
import type { TickBatch } from '../tick/batch.ts'
import { type Damage, wayOn } from './damage.ts'
import type { Disk } from './disk.ts'
import { JournalReader, type JournalReaderOptions } from './reader.ts'

export interface SkippingReaderOptions extends JournalReaderOptions {
  shard: number
  /** Records from `fromSeq` on are passed over; told once, by this reader. */
  onSkip: (damage: Damage) => void
  disk?: Disk | undefined
}

export class SkippingReader {
  readonly #options: SkippingReaderOptions
  readonly #reader: JournalReader
  /** Where a way on was last looked for: no way leads twice from one place. */
  #lookedSeq = -1

  constructor(options: SkippingReaderOptions) {
    this.#options = options
    this.#reader = new JournalReader(options)
  }

  get seq(): number {
    return this.#reader.seq
  }

  get epoch(): number {
    return this.#reader.epoch
  }

  get journal(): string {
    return this.#reader.journal
  }

  get start(): string {
    return this.#reader.start
  }

  /**
   * As JournalReader.read. The records are those before the new `seq`, which may lie further from
   * the old one than their count.
   */
  read(out: TickBatch): number {
    for (;;) {
      try {
        return this.#reader.read(out)
      } catch (thrown) {
        if (!(thrown instanceof TickdError && thrown.code === 'JOURNAL_CORRUPT')) throw thrown
        if (!this.#goOn()) throw thrown
      }
    }
  }

  close(): void {
    this.#reader.close()
  }

  /** Passes over what is damaged. False when the trouble is of another kind. */
  #goOn(): boolean {
    const { directory, shard, durable, disk, onSkip } = this.#options
    const { seq } = this.#reader
    if (seq === this.#lookedSeq) return false
    const way = wayOn({ directory, shard, seq, durableSeq: durable(), disk })
    if (way === undefined) return false
    if (way.damage !== undefined) onSkip(way.damage)
    else this.#lookedSeq = seq
    if (way.block !== undefined) this.#reader.seek(way.seq, way.block.segmentSeq, way.block.offset)
    else this.#reader.skipTo(way.seq)
    return true
  }
}
