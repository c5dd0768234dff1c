// The names in normalised records: members, types, and the words that members may hold.

import {
  ACTION_NAMES,
  FLAG,
  FLAG_NAMES,
  KIND,
  MARKET_NAMES,
  SIDE_NAMES,
  STATUS_NAMES,
} from '../tick/layout.ts'
import { KeyTable } from './key-table.ts'
import { SENDER_FLAGS } from './tick-writer.ts'

export const FIELDS = new KeyTable([
  ...['type', 'venue', 'symbol', 'ts_event', 'flags', 'side', 'price', 'size', 'id', 'action'],
  ...['bid_price', 'bid_size', 'ask_price', 'ask_size'],
  ...['market', 'interval_start', 'interval_minutes', 'energy', 'congestion', 'loss'],
  ...['status', 'from', 'to', 'ts_recv'],
])

/** Slots of FIELDS. What each means is in the design's table of normalised JSON. */
export const F = Object.freeze({
  type: FIELDS.slot('type'),
  venue: FIELDS.slot('venue'),
  symbol: FIELDS.slot('symbol'),
  tsEvent: FIELDS.slot('ts_event'),
  flags: FIELDS.slot('flags'),
  side: FIELDS.slot('side'),
  price: FIELDS.slot('price'),
  size: FIELDS.slot('size'),
  id: FIELDS.slot('id'),
  action: FIELDS.slot('action'),
  bidPrice: FIELDS.slot('bid_price'),
  bidSize: FIELDS.slot('bid_size'),
  askPrice: FIELDS.slot('ask_price'),
  askSize: FIELDS.slot('ask_size'),
  market: FIELDS.slot('market'),
  intervalStart: FIELDS.slot('interval_start'),
  intervalMinutes: FIELDS.slot('interval_minutes'),
  energy: FIELDS.slot('energy'),
  congestion: FIELDS.slot('congestion'),
  loss: FIELDS.slot('loss'),
  status: FIELDS.slot('status'),
  from: FIELDS.slot('from'),
  to: FIELDS.slot('to'),
  tsRecv: FIELDS.slot('ts_recv'),
})

/** Words of `type`, in the order of KIND; `bar` is known and not recorded. */
export const TYPES = new KeyTable([...Object.keys(KIND), 'bar'])
export const TYPE_BAR = TYPES.slot('bar')
/** KIND is 1 … in the order of TYPES' slots. */
export const KIND_OF_FIRST_TYPE = KIND.trade

/** Slots are the numbers of SIDE, ACTION, MARKET and STATUS. */
export const SIDES = new KeyTable(SIDE_NAMES)
export const ACTIONS = new KeyTable(ACTION_NAMES)
export const MARKETS = new KeyTable(MARKET_NAMES)
export const STATUSES = new KeyTable(STATUS_NAMES)

export const FLAG_WORDS = new KeyTable(FLAG_NAMES.map((name) => name.toLowerCase()))
/** By slot of FLAG_WORDS: the bit, or 0 where a sender may not set it. */
export const FLAG_BITS: readonly number[] = FLAG_NAMES.map((name) => FLAG[name] & SENDER_FLAGS)
