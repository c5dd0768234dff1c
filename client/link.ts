// What a subscription asks of its connection.

import type { Change, UpdateAck } from './messages.ts'
import type { Subscription } from './subscription.ts'

/** Sequences of a stream of the connection. */
export interface FillRange {
  readonly stream: number
  readonly epoch: number
  readonly from: number
  readonly to: number
}

export interface Link {
  readonly queueRecordsMax: number
  readonly fillsGaps: boolean
  /** Asks for sequences again. False when that cannot be asked now. */
  fill(subscription: Subscription, range: FillRange): boolean
  update(subscription: Subscription, change: Change): Promise<UpdateAck>
  unsubscribe(subscription: Subscription): void
  /** The weight of a queue has changed. */
  onPressure(): void
}
