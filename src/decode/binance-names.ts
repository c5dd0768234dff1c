// The names in Binance's frames: members, event types, stream suffixes. Spot and USD-M futures.

import { KeyTable } from './key-table.ts'

/** Members that any of the decoded events has; one table for the wrapper and the payload. */
export const MEMBERS = new KeyTable([
  ...['stream', 'data', 'result', 'id', 'error', 'code', 'msg'],
  ...['e', 'E', 'T', 's', 't', 'a', 'p', 'q', 'm', 'U', 'u', 'pu', 'b', 'B', 'A'],
  ...['lastUpdateId', 'bids', 'asks'],
])

/** Slots of MEMBERS. Venue's meaning beside each. */
export const M = Object.freeze({
  stream: MEMBERS.slot('stream'), // combined streams: the stream's name …
  data: MEMBERS.slot('data'), // … and its payload
  result: MEMBERS.slot('result'), // reply to a request
  error: MEMBERS.slot('error'), // error reply, nested
  code: MEMBERS.slot('code'), // error reply: number
  msg: MEMBERS.slot('msg'), // error reply: text
  event: MEMBERS.slot('e'), // event type
  eventTime: MEMBERS.slot('E'), // when the venue sent it, ms or µs
  time: MEMBERS.slot('T'), // when it happened in the venue's engine, ms or µs
  symbol: MEMBERS.slot('s'),
  tradeId: MEMBERS.slot('t'),
  aggregateId: MEMBERS.slot('a'), // aggTrade; for bookTicker and depth the asks
  price: MEMBERS.slot('p'),
  quantity: MEMBERS.slot('q'),
  buyerIsMaker: MEMBERS.slot('m'), // true: the seller crossed the spread
  firstId: MEMBERS.slot('U'), // depth: first update id of the event
  lastId: MEMBERS.slot('u'), // depth: last update id of the event
  previousId: MEMBERS.slot('pu'), // USD-M depth: last update id of the event before
  bid: MEMBERS.slot('b'), // best bid's price, or bid levels
  bidQuantity: MEMBERS.slot('B'),
  ask: MEMBERS.slot('a'), // best ask's price, or ask levels
  askQuantity: MEMBERS.slot('A'),
  snapshotId: MEMBERS.slot('lastUpdateId'),
  bids: MEMBERS.slot('bids'),
  asks: MEMBERS.slot('asks'),
})

/** Event types: those that are decoded, then those that are known and not recorded. */
export const EVENTS = new KeyTable([
  ...['trade', 'aggTrade', 'bookTicker', 'depthUpdate', 'kline', 'serverShutdown'],
  ...['24hrTicker', '24hrMiniTicker', '1hTicker', '4hTicker', '1dTicker', 'avgPrice'],
  ...['blockTrade', 'referencePrice', 'markPriceUpdate', 'indexPriceUpdate', 'forceOrder'],
  ...['continuous_kline', 'compositeIndex', 'assetIndexUpdate', 'contractInfo', 'tradingSession'],
])
export const E = Object.freeze({
  trade: EVENTS.slot('trade'),
  aggTrade: EVENTS.slot('aggTrade'),
  bookTicker: EVENTS.slot('bookTicker'),
  depthUpdate: EVENTS.slot('depthUpdate'),
  kline: EVENTS.slot('kline'),
  serverShutdown: EVENTS.slot('serverShutdown'),
})

/** What follows the '@' in a stream's name, where the payload has no event type. */
export const SUFFIXES = new KeyTable([
  ...['bookTicker', 'depthSnapshot', 'depth5', 'depth10', 'depth20'],
])
export const S = Object.freeze({
  bookTicker: SUFFIXES.slot('bookTicker'),
  depthSnapshot: SUFFIXES.slot('depthSnapshot'),
})
