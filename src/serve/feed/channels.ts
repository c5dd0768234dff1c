// The channels of the feed: which records each carries and what a subscriber may ask of it.

import { KIND } from '../../tick/layout.ts'

export const SLOW_POLICIES = ['gap', 'close', 'conflate'] as const
/** What happens to a subscriber that reads too slowly. */
export type SlowPolicy = (typeof SLOW_POLICIES)[number]

export interface Channel {
  readonly kinds: readonly number[]
  /** event: every record. value: the newest record of an instrument and kind. own: its own. */
  readonly carries: 'event' | 'value' | 'own'
  /** An image of the newest values can be sent first. A book's image is not in the table. */
  readonly snapshot: boolean
  /** Only where a newer record makes the older ones worthless. */
  readonly conflate: boolean
  readonly slow: SlowPolicy
}

export const CHANNELS = {
  trades: { kinds: [KIND.trade], carries: 'event', snapshot: true, conflate: false, slow: 'gap' },
  quotes: { kinds: [KIND.quote], carries: 'event', snapshot: true, conflate: true, slow: 'gap' },
  book: { kinds: [KIND.book], carries: 'event', snapshot: false, conflate: false, slow: 'gap' },
  latest: {
    kinds: [KIND.trade, KIND.quote, KIND.price],
    carries: 'value',
    snapshot: true,
    conflate: true,
    slow: 'conflate',
  },
  test: { kinds: [], carries: 'own', snapshot: false, conflate: false, slow: 'gap' },
} as const satisfies Record<string, Channel>

export type ChannelName = keyof typeof CHANNELS

export function channelOf(name: ChannelName): Channel {
  return CHANNELS[name]
}

export function isChannel(name: string): name is ChannelName {
  return Object.hasOwn(CHANNELS, name)
}
