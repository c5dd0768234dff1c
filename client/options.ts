// What a feed can be told, and the states that it tells.

import type { FeedError, Protocol } from './messages.ts'
import type { SocketConstructor } from './socket.ts'

export type FeedState = 'connecting' | 'open' | 'waiting' | 'closed'

export interface FeedOptions {
  /** Sub-protocol; `fb` is the cheapest on both sides. */
  readonly protocol?: Protocol
  /** A key or token, sent where the daemon asks for one. */
  readonly token?: string
  /** A constructor like the platform's `WebSocket`: on Node 20, that of `ws`. */
  readonly WebSocket?: SocketConstructor
  readonly onState?: (state: FeedState, error: FeedError | undefined) => void
  /** Records that may wait for one reader, and behind one hole. */
  readonly queueRecordsMax?: number
  /** Ask for missed sequences again. */
  readonly fillGaps?: boolean
  /** First and longest wait before a reconnect; `0` as the longest = never reconnect. */
  readonly backoffMs?: readonly [first: number, longest: number]
}
