// The greeting: what this server is, and what it will bear.

import {
  FEED_LATEST_MS,
  FEED_MESSAGE_BYTES_MAX,
  FEED_MESSAGES_PER_SECOND,
  FEED_SYMBOLS_MAX,
} from '../../limits.ts'
import type { Subscriber } from './subscriber.ts'

export interface FeedLimits {
  readonly flush_ms: number
  readonly frame_ticks: number
  readonly subscriber_buffer_bytes: number
  readonly subscriber_age_ms: number
  readonly subscribers_max: number
  readonly subscriptions_max: number
  readonly heartbeat_ms: number
}

export interface Greeting {
  readonly limits: FeedLimits
  readonly epoch: number
  readonly version: string
  readonly shardCount: number
  readonly serverTime: string
}

export function welcome({ session, protocol }: Subscriber, greeting: Greeting): string {
  const { epoch, limits, version, shardCount, serverTime } = greeting
  return JSON.stringify({
    op: 'welcome',
    session,
    epoch,
    server_time: serverTime,
    protocol,
    limits: {
      subscriptions: limits.subscriptions_max,
      symbols: FEED_SYMBOLS_MAX,
      message_bytes: FEED_MESSAGE_BYTES_MAX,
      messages_per_second: FEED_MESSAGES_PER_SECOND,
      frame_ticks: limits.frame_ticks,
      buffer_bytes: limits.subscriber_buffer_bytes,
      buffer_age_ms: limits.subscriber_age_ms,
      heartbeat_ms: limits.heartbeat_ms,
      latest_ms: FEED_LATEST_MS,
    },
    shards: shardCount,
    versions: { tickd: version, protocol: 1 },
  })
}
