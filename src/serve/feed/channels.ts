// The channels of the feed: which records each carries and what a subscriber may ask of it.

import { FEED_BOOK_DEPTH_MAX } from '../../limits.ts'
import { KIND } from '../../tick/layout.ts'

export const SLOW_POLICIES = ['gap', 'close', 'conflate'] as const
/** What happens to a subscriber that reads too slowly. */
export type SlowPolicy = (typeof SLOW_POLICIES)[number]

export interface Channel {
  readonly kinds: readonly number[]
  /** event: every record. value: the newest record of an instrument and kind. own: its own. */
  readonly carries: 'event' | 'value' | 'own'
  /** An image of the newest values, or of the books, can be sent first. */
  readonly snapshot: boolean
  /** It carries books: levels a side of an image; undefined = it does not. */
  readonly depth?: number
  /** Only where a newer record makes the older ones worthless. */
  readonly conflate: boolean
  readonly slow: SlowPolicy
}

export const CHANNELS = {
  trades: { kinds: [KIND.trade], carries: 'event', snapshot: true, conflate: false, slow: 'gap' },
  quotes: { kinds: [KIND.quote], carries: 'event', snapshot: true, conflate: true, slow: 'gap' },
  book: {
    kinds: [KIND.book],
    carries: 'event',
    snapshot: true,
    depth: Number.POSITIVE_INFINITY,
    conflate: true,
    slow: 'gap',
  },
  latest: {
    kinds: [KIND.trade, KIND.quote, KIND.price],
    carries: 'value',
    snapshot: true,
    conflate: true,
    slow: 'conflate',
  },
  test: { kinds: [], carries: 'own', snapshot: false, conflate: false, slow: 'gap' },
} as const satisfies Record<string, Channel>

/** The best levels of books: `book.1` … `book.50`. */
export const BOOK_TOP: Channel = {
  kinds: [KIND.book],
  carries: 'value',
  snapshot: true,
  conflate: true,
  slow: 'conflate',
}
const BOOK_TOPS: readonly Channel[] = Array.from({ length: FEED_BOOK_DEPTH_MAX }, (_, i) => {
  return { ...BOOK_TOP, depth: i + 1 }
})
const BOOK_TOP_NAME = /^book\.([1-9]\d?)$/

export type ChannelName = keyof typeof CHANNELS | `book.${number}`

/** What a client may ask for, in words. */
export const CHANNEL_NAMES = [
  ...Object.keys(CHANNELS),
  `book.1 … book.${FEED_BOOK_DEPTH_MAX}`,
].join(', ')

export function channelOf(name: ChannelName): Channel {
  return find(name) as Channel
}

export function isChannel(name: string): name is ChannelName {
  return find(name) !== undefined
}

function find(name: string): Channel | undefined {
  if (Object.hasOwn(CHANNELS, name)) return CHANNELS[name as keyof typeof CHANNELS]
  const depth = Number(BOOK_TOP_NAME.exec(name)?.[1] ?? 0)
  return BOOK_TOPS[depth - 1]
}
