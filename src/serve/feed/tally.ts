// hot path
// How many records of each instrument and kind a shard has carried in this epoch.
//
// The sequence of a stream is a sum of these counts: so it holds whether or not anybody listens,
// and whoever reads the journal from a checkpoint (checkpoints.ts) comes to the same numbers.
// Invariant: `seq` is the journal sequence of the next record to be counted; the counts cover the
// records of `epoch` before it, and no others.

import type { TickBatch } from '../../tick/batch.ts'
import { KIND_COUNT, OFFSET, TICK_BYTES, TICK_WORDS, WORD } from '../../tick/layout.ts'

export class Tally {
  readonly epoch: number
  /** By instrument x KIND_COUNT + kind. Pages are only touched where records are. */
  readonly counts: Float64Array
  seq: number

  constructor(instrumentsMax: number, epoch: number, seq: number) {
    this.counts = new Float64Array((instrumentsMax + 1) * KIND_COUNT)
    this.epoch = epoch
    this.seq = seq
  }

  /** Counts the records [from, to) of a batch that is not routed. */
  count(batch: TickBatch, from = 0, to = batch.count): void {
    const { words, bytes } = batch
    const { counts } = this
    for (let i = from; i < to; i++) {
      const kind = bytes[i * TICK_BYTES + OFFSET.kind] as number
      if (kind >= KIND_COUNT) continue
      const instrument = (words[i * TICK_WORDS + WORD.instrument] as number) >>> 0
      const index = instrument * KIND_COUNT + kind
      counts[index] = (counts[index] as number) + 1
    }
    this.seq += to - from
  }
}

/** Records of the instruments and kinds in the counts of a tally or a checkpoint. */
export function sumOf(
  counts: Float64Array,
  instruments: readonly number[],
  kinds: readonly number[],
): number {
  let sum = 0
  for (let i = 0; i < instruments.length; i++) {
    const base = (instruments[i] as number) * KIND_COUNT
    for (let k = 0; k < kinds.length; k++) sum += counts[base + (kinds[k] as number)] ?? 0
  }
  return sum
}
