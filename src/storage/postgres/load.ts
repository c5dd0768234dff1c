// A run of records on its way from the journal to the database: of one epoch and one start.

import { TickBatch } from '../../tick/batch.ts'

export interface Load {
  readonly batch: TickBatch
  firstSeq: number
  epoch: number
  journal: string
  start: string
  /** Ticks of it that are stored. */
  storedCount: number
}

export function newLoad(capacity: number): Load {
  const batch = new TickBatch(capacity)
  return { batch, firstSeq: 0, epoch: 0, journal: '', start: '', storedCount: 0 }
}
