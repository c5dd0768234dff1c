// The tables of ticks: one a kind, and the columns of each in the order in which COPY sends them.
//
// Narrow on purpose: scaled integers as they are in the record, eight-byte columns first, so that
// no byte is lost to alignment. Views (views.ts) show them as decimals, names and texts.
// The encoder (encode.ts) writes exactly these columns; a test compares the two.

import { KIND, KIND_COUNT, type KindName, PAYLOAD } from '../../tick/layout.ts'

export interface Column {
  readonly name: string
  readonly type: 'timestamptz' | 'int8' | 'int4' | 'int2'
  readonly isNullable: boolean
}

const column = (name: string, type: Column['type'], isNullable = false): Column => ({
  name,
  type,
  isNullable,
})

/** Names of payload columns, where the record's own name would not do for a column. */
const PAYLOAD_COLUMN: Readonly<Record<KindName, readonly string[]>> = {
  trade: ['price', 'size', 'trade_id', 'venue_seq'],
  quote: PAYLOAD.quote,
  book: PAYLOAD.book,
  price: PAYLOAD.price,
  status: ['code', 'from_id', 'to_id', 'value'],
}

/** What a kind has beside the columns that all share. */
const OWN_COLUMNS: Readonly<Record<KindName, { four: readonly string[]; two: readonly string[] }>> =
  {
    trade: { four: [], two: ['side'] },
    quote: { four: [], two: [] },
    book: { four: [], two: ['side', 'action'] },
    price: { four: ['interval_minutes'], two: ['market'] },
    status: { four: [], two: ['action'] },
  }

/** Kinds that have a table: all of them. The table has the kind's name. */
export const TABLES = Object.keys(KIND) as readonly KindName[]

/** The columns of a kind's table, in order. */
export function columnsOf(kind: KindName): Column[] {
  const own = OWN_COLUMNS[kind]
  return [
    column('ts', 'timestamptz', true), // event time, µs; null = the record has none
    column('seq', 'int8'), // shard << 48 | sequence: where the record lies; unique
    column('ts_recv', 'int8', true), // ns since 1970
    ...PAYLOAD_COLUMN[kind].map((name) => column(name, 'int8', true)), // scaled: see tick/layout.ts
    column('instrument', 'int4'), // id in `instruments`
    column('flags', 'int4'), // FLAG bits
    ...own.four.map((name) => column(name, 'int4')),
    column('ns', 'int2', true), // nanoseconds of the event time within its microsecond
    column('source', 'int2'), // index of the source in the configuration
    ...own.two.map((name) => column(name, 'int2')),
  ]
}

/** Columns of a kind's table by kind number. */
export const COLUMN_COUNT: readonly number[] = Array.from({ length: KIND_COUNT }, (_, number) => {
  const kind = TABLES.find((name) => KIND[name] === number)
  return kind === undefined ? 0 : columnsOf(kind).length
})

const BYTES = { timestamptz: 8, int8: 8, int4: 4, int2: 2 } as const

/** Bytes of a row in COPY's binary format when nothing is null: the longest it can be. */
export const ROW_BYTES_MAX: readonly number[] = Array.from({ length: KIND_COUNT }, (_, number) => {
  const kind = TABLES.find((name) => KIND[name] === number)
  if (kind === undefined) return 0
  return columnsOf(kind).reduce((sum, { type }) => sum + 4 + BYTES[type], 2)
})

/** First sequence bit above the record's own: `seq` = shard << 48 | sequence. */
export const SHARD_SHIFT = 48
