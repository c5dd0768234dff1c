// The views that people read: names for ids, decimals for scaled integers, texts for codes.
//
// Made anew whenever this text changes (schema.ts), so they always fit the program. `ts` is the
// table's own column, untouched: a range of it picks partitions and uses the index. The others are
// computed, and cost only the query that asks for them.

import {
  ACTION_NAMES,
  FLAG,
  FLAG_NAMES,
  type KindName,
  MARKET_NAMES,
  PRICE_DECIMALS,
  SIDE_NAMES,
  SIZE_DECIMALS,
  STATUS_NAMES,
} from '../../tick/layout.ts'
import { SHARD_SHIFT } from './tables.ts'

/** View of a kind's table. */
export const VIEW_NAMES: Readonly<Record<KindName, string>> = {
  trade: 'trades',
  quote: 'quotes',
  book: 'book_changes',
  price: 'prices',
  status: 'statuses',
}

const DAY_NS = 86_400_000_000_000

/** Statements that create or replace the functions and views. */
export function viewsSql(schema: string): string {
  const kinds = Object.keys(VIEW_NAMES) as KindName[]
  return [...functions(schema), ...kinds.map((kind) => view(schema, kind))].join(';\n')
}

/** The SQL of a scaled integer as an exact decimal without trailing zeros. */
function decimal(column: string, decimals: number): string {
  return `trim_scale(t.${column} * 0.${'0'.repeat(decimals - 1)}1)`
}

const price = (column: string) => `${decimal(column, PRICE_DECIMALS)} AS ${column}`
const size = (column: string) => `${decimal(column, SIZE_DECIMALS)} AS ${column}`

/** The SQL of a code's name. */
function name(column: string, names: readonly string[], as = column): string {
  const texts = names.map((text) => `'${text}'`).join(', ')
  return `(ARRAY[${texts}])[t.${column} + 1] AS ${as}`
}

const OWN_COLUMNS: Readonly<Record<KindName, readonly string[]>> = {
  trade: [
    price('price'),
    size('size'),
    name('side', SIDE_NAMES),
    't.trade_id AS id',
    't.venue_seq',
  ],
  quote: [price('bid_price'), size('bid_size'), price('ask_price'), size('ask_size')],
  book: [
    name('side', SIDE_NAMES),
    price('price'),
    size('size'),
    name('action', ACTION_NAMES),
    't.update_id',
    't.order_count',
  ],
  price: [
    name('market', MARKET_NAMES),
    't.interval_minutes',
    ...['price', 'energy', 'congestion', 'loss'].map(price),
  ],
  status: [name('action', STATUS_NAMES, 'status'), 't.code', 't.from_id', 't.to_id', 't.value'],
}

function view(schema: string, kind: KindName): string {
  const columns = [
    'i.venue',
    'i.symbol',
    't.ts',
    `${schema}.time_text(t.ts, t.ns) AS ts_event`,
    `${schema}.time_text(t.ts_recv) AS ts_recv`,
    ...OWN_COLUMNS[kind],
    `${schema}.flag_names(t.flags) AS flags`,
    't.source',
    `(t.seq >> ${SHARD_SHIFT})::int4 AS shard`,
    `t.seq & ${2 ** SHARD_SHIFT - 1} AS seq`,
    't.instrument',
  ]
  return `CREATE OR REPLACE VIEW ${schema}.${VIEW_NAMES[kind]} AS
SELECT ${columns.join(',\n  ')}
FROM ${schema}.${kind} t LEFT JOIN ${schema}.instruments i ON i.id = t.instrument`
}

function functions(schema: string): string[] {
  const format = `'YYYY-MM-DD"T"HH24:MI:SS.US'`
  const flags = FLAG_NAMES.map(
    (flag) => `CASE WHEN flags & ${FLAG[flag]} <> 0 THEN '${flag.toLowerCase()}' END`,
  ).join(',\n  ')
  return [
    // RFC 3339 with nine digits, from µs and the ns within the µs.
    `CREATE OR REPLACE FUNCTION ${schema}.time_text(ts timestamptz, ns int2) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
SELECT to_char(ts AT TIME ZONE 'UTC', ${format}) || lpad(ns::text, 3, '0') || 'Z'
$$`,
    // The same from ns since 1970; whole days and the rest apart, which cannot overflow.
    `CREATE OR REPLACE FUNCTION ${schema}.time_text(ns int8) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
SELECT to_char(
    (date '1970-01-01' + (ns / ${DAY_NS} - (ns % ${DAY_NS} < 0)::int4)::int4)::timestamp
      + (ns % ${DAY_NS} + ${DAY_NS}) % ${DAY_NS} / 1000 * interval '1 microsecond',
    ${format})
  || lpad(((ns % 1000 + 1000) % 1000)::text, 3, '0') || 'Z'
$$`,
    `CREATE OR REPLACE FUNCTION ${schema}.flag_names(flags int4) RETURNS text[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
SELECT array_remove(ARRAY[${flags}], NULL)
$$`,
  ]
}
