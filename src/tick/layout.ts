// THE record: one tick, 64 bytes, one cache line, little-endian, no padding, no pointers.
//
// What decoders write, rings carry, journal segments hold and feed frames contain. The same layout
// is declared for clients in `schema/tick.fbs` (a test compares the two). Offsets are computed from
// the field list; nothing else in the program writes a numeric offset into a record.
//
// byte 0        8        16          20      22    23    24     26      27      28        30
//      ts_event ts_recv  instrument  source  kind  side  flags  action  market  interval  reserved
//      i64 ns   i64 ns   u32         u16     u8    u8    u16    u8      u8      u16 min   u16 = 0
// byte 32       40       48          56                                                     64
//      p0 i64   p1 i64   p2 i64      p3 i64      meaning by kind: see PAYLOAD

/** Field name -> width in bytes, in order. */
export const FIELDS = [
  ['ts_event', 8], // the venue's clock, ns since 1970 UTC; = ts_recv where the venue sends no time
  ['ts_recv', 8], // our clock when the bytes arrived, ns since 1970 UTC
  ['instrument', 4], // id in the instrument table, 1 …; 0 = none (never in an accepted tick)
  ['source', 2], // index of the source in the configuration
  ['kind', 1], // KIND
  ['side', 1], // SIDE: trade = the aggressor's side; book = the side of the level
  ['flags', 2], // FLAG bits
  ['action', 1], // ACTION (book) or STATUS (status); 0 otherwise
  ['market', 1], // MARKET (price); 0 otherwise
  ['interval', 2], // price: minutes the interval lasts; 0 otherwise
  ['reserved', 2], // zero
  ['p0', 8],
  ['p1', 8],
  ['p2', 8],
  ['p3', 8],
] as const

export type FieldName = (typeof FIELDS)[number][0]

export const OFFSET: Readonly<Record<FieldName, number>> = (() => {
  const offsets = {} as Record<FieldName, number>
  let offset = 0
  for (const [name, width] of FIELDS) {
    offsets[name] = offset
    offset += width
  }
  return Object.freeze(offsets)
})()

/** Bytes of a record. */
export const TICK_BYTES = FIELDS.reduce((sum, [, width]) => sum + width, 0)
/** 32-bit words of a record. */
export const TICK_WORDS = TICK_BYTES / 4

/** Index of a field's (first) 32-bit word within a record; the second word of an i64 is + 1. */
export const WORD = Object.freeze({
  ts_event: OFFSET.ts_event / 4,
  ts_recv: OFFSET.ts_recv / 4,
  instrument: OFFSET.instrument / 4,
  p0: OFFSET.p0 / 4,
  p1: OFFSET.p1 / 4,
  p2: OFFSET.p2 / 4,
  p3: OFFSET.p3 / 4,
})

export const KIND = Object.freeze({ trade: 1, quote: 2, book: 3, price: 4, status: 5 })
export type KindName = keyof typeof KIND
/** Highest kind + 1: sizes tables indexed by kind. */
export const KIND_COUNT = 6
export const KIND_NAMES: readonly (KindName | undefined)[] = [
  undefined,
  'trade',
  'quote',
  'book',
  'price',
  'status',
]

/** What p0 … p3 mean, by kind. price = i64 x 1e-9, size = i64 x 1e-8, id/count = plain i64. */
export const PAYLOAD = Object.freeze({
  trade: ['price', 'size', 'id', 'venue_seq'],
  quote: ['bid_price', 'bid_size', 'ask_price', 'ask_size'],
  book: ['price', 'size', 'update_id', 'order_count'],
  price: ['price', 'energy', 'congestion', 'loss'],
  status: ['code', 'from', 'to', 'value'],
})

/** none = the venue does not say. Trade: who crossed the spread. Book: bid = buy, ask = sell. */
export const SIDE = Object.freeze({ none: 0, buy: 1, sell: 2 })
export const SIDE_NAMES = ['none', 'buy', 'sell'] as const

/** Book level change. set = the level's absolute size is p1; clear = the side or book is void. */
export const ACTION = Object.freeze({ none: 0, set: 1, delete: 2, clear: 3 })
export const ACTION_NAMES = ['none', 'set', 'delete', 'clear'] as const

/**
 * Status records: what happened to the instrument's feed. gap: venue ids p1 … p2 are missing; the
 * code (p0) is the KIND of the records that they number, null = unknown.
 */
export const STATUS = Object.freeze({ none: 0, gap: 1, halted: 2, resumed: 3, connected: 4 })
export const STATUS_NAMES = ['none', 'gap', 'halted', 'resumed', 'connected'] as const

/** Market run of a settlement price. */
export const MARKET = Object.freeze({ none: 0, day_ahead: 1, real_time: 2, hour_ahead: 3 })
export const MARKET_NAMES = ['none', 'day-ahead', 'real-time', 'hour-ahead'] as const

/** Bits of `flags`. */
export const FLAG = Object.freeze({
  LAST: 1 << 0, // last record of the venue's event
  SNAPSHOT: 1 << 1, // part of a full image, not a change
  REPLAYED: 1 << 2, // came from a capture or an archive, not live
  LATE: 1 << 3, // event time older than the lateness bound against receive time
  OUT_OF_ORDER: 1 << 4, // event time before that of the instrument's previous record of this kind
  DUPLICATE_SUSPECT: 1 << 5, // looks like a repeat, but the id is too old to be sure
  BAD_TIME: 1 << 6, // event time absurd or absent; ts_event was set to ts_recv
  STALE: 1 << 7, // older than the expected cadence when served
  CORRECTED: 1 << 8, // replaces an earlier value
  BACKFILLED: 1 << 9, // fetched afterwards to fill a gap
  SYNTHETIC: 1 << 10, // made by tickd itself, not by a venue
})
export type FlagName = keyof typeof FLAG
export const FLAG_NAMES = Object.keys(FLAG) as readonly FlagName[]

/** Decimal places of the scaled integers. */
export const PRICE_DECIMALS = 9
export const SIZE_DECIMALS = 8

/**
 * The one null of every i64 payload and time: INT64_MIN. Its low word is 0 and its high word is
 * NULL_HI, so that `hi === NULL_HI && lo === 0` is the test. Legal values are ±(2^63 - 1).
 */
export const NULL_HI = 0x80000000 | 0
export const NULL_LO = 0

if (TICK_BYTES !== 64) throw new Error(`a tick is 64 bytes, not ${TICK_BYTES}`)
