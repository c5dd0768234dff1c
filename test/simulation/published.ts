// The truth of a schedule: which record decode published under which sequence, epoch by epoch.
//
// Taken from the tick ring itself, right after each duty cycle of decode. A restart cuts the truth
// back to where the journal was recovered: what lies below is history, and may never change.

import type { TickRingLapper } from '../../src/ring/tick-ring.ts'
import { TickBatch } from '../../src/tick/batch.ts'
import { readNumber } from '../../src/tick/fixed-point.ts'
import { TICK_WORDS, WORD } from '../../src/tick/layout.ts'
import { check } from './violation.ts'

export interface PublishedTick {
  readonly tradeId: number
  readonly instrument: number
  readonly price: number
}

const READ_TICKS = 256

export class Published {
  /** By sequence: what the journal must hold, as far as it got there. */
  readonly ticks: PublishedTick[] = []
  /** First sequence of the present epoch. */
  firstSeq = 0
  /** By trade id: its sequence in the present epoch. */
  readonly seqs = new Map<number, number>()
  readonly #batch = new TickBatch(READ_TICKS)

  /** A new epoch begins at `nextSeq`. */
  begin(nextSeq: number): void {
    check('recovery invents nothing', nextSeq <= this.ticks.length, () => {
      return `the journal goes on at ${nextSeq}, and only ${this.ticks.length} were published`
    })
    this.ticks.length = nextSeq
    this.firstSeq = nextSeq
    this.seqs.clear()
  }

  /** True when this trade was published, below that sequence. */
  isBelow(tradeId: number, seq: number): boolean {
    return this.ticks.slice(0, seq).some((tick) => tick.tradeId === tradeId)
  }

  /** Takes what is new on the ring. */
  take(ring: TickRingLapper): void {
    const batch = this.#batch
    while (ring.lag() > 0) {
      const first = ring.read(batch)
      check('published in sequence', first === this.ticks.length, () => {
        return `record ${first} follows ${this.ticks.length - 1}`
      })
      for (let i = 0; i < batch.count; i++) this.#add(batch, i)
    }
  }

  #add(batch: TickBatch, index: number): void {
    const at = index * TICK_WORDS
    const tradeId = readNumber(batch.words, at + WORD.p2)
    this.seqs.set(tradeId, this.ticks.length)
    this.ticks.push({
      tradeId,
      instrument: batch.instrument(index),
      price: readNumber(batch.words, at + WORD.p0),
    })
  }
}
