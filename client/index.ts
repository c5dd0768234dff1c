// @tickd/client: the feed of tickd in Node and in browsers.
//
// docs/protocol.md is what it speaks; client/README.md shows how to use it.

export {
  Book,
  type BookFeed,
  Books,
  type BooksRequest,
  type FollowedBooks,
  followBooks,
  type Level,
} from './book.ts'
export { connect, Feed } from './feed.ts'
export {
  type Ack,
  type BrokenBooks,
  type Change,
  FeedError,
  type From,
  type Gap,
  type Protocol,
  type ServerMessage,
  type SubscribeRequest,
  type UpdateAck,
  type Welcome,
} from './messages.ts'
export type { FeedOptions, FeedState } from './options.ts'
export type { FeedEvent, Handlers } from './outlet.ts'
export {
  type Batch,
  type BookLevel,
  type FeedRecord,
  type Instrument,
  type Price,
  type Quote,
  recordsOf,
  type Status,
  type Trade,
} from './record.ts'
export type { Stats } from './stats.ts'
export { Subscription } from './subscription.ts'
