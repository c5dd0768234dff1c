// What the decode agent needs of the validate stage, which it does not import: a judge of records,
// and a box for what is refused. validate/rules.ts and validate/dead-letters.ts are these.

import type { FrameMeta } from '../ring/frame-ring.ts'
import type { TickBatch } from '../tick/batch.ts'

export interface TickValidator {
  readonly duplicateCount: number
  readonly quarantinedCount: number
  readonly quarantined: Float64Array
  onQuarantine: ((reason: number, batch: TickBatch, index: number) => void) | undefined
  validate(batch: TickBatch, admitsRepeats: boolean): void
}

export interface DeadLetterBox {
  readonly bufferedCount: number
  addMessage(reason: number, meta: FrameMeta, bytes: Uint8Array, start: number, end: number): void
  addRecord(
    reason: number,
    format: number,
    batch: TickBatch,
    index: number,
    bytes: Uint8Array,
    start: number,
    end: number,
    ordinal: number,
  ): void
  flush(): boolean
  close(): void
}
