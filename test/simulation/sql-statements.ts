// The statements that the simulated PostgreSQL knows: those that the store sends, and no others.
//
// An unknown one is an error of the simulation, thrown at once: the store has learnt something new,
// and so must this. The contract test runs the same texts against the real server.

import { columnsOf, TABLES } from '../../src/storage/postgres/tables.ts'
import { type CopyRow, parseCopyRows } from './copy-rows.ts'
import type { Draft, Meta, StoredRow } from './sql-state.ts'

type Rows = Record<string, unknown>[]
type Parameters_ = readonly unknown[]
type Handler = (draft: Draft, parameters: Parameters_, match: RegExpExecArray) => Rows

export class SqlError extends Error {
  readonly code: string

  constructor(code: string, message: string) {
    super(message)
    this.code = code
  }
}

const DAY_MS = 86_400_000
const SHARD_SHIFT = 2 ** 48

const STATEMENTS: readonly (readonly [RegExp, Handler])[] = [
  [/^(SET|SELECT pg_advisory_xact_lock)\b/, () => []],
  [/^CALL \S+\.check_tables\('simulated', /, checkTables],
  [/^SELECT \S+\.tables_digest\(\) AS digest$/, () => [{ digest: 'simulated' }]],
  [/^SELECT c\.relname AS table, a\.attname AS name/, ({ meta }) => columnRows(meta)],
  [
    /^CREATE TABLE \S+\.instruments\b/,
    (draft) => {
      draft.changes.push(({ tables }) => {
        for (const table of TABLES) tables.add(table).add(`${table}_default`)
      })
      return []
    },
  ],
  // What else is made or altered is nothing that a simulated table has.
  [/^(CREATE|ALTER|COMMENT|DROP)\b/, () => []],
  [
    /^SELECT name FROM \S+\.migrations WHERE id = \$1$/,
    ({ meta }, [id]) => {
      const name = meta.migrations.get(Number(id))
      return name === undefined ? [] : [{ name }]
    },
  ],
  [
    /^SELECT max\(id\) AS id FROM \S+\.migrations$/,
    ({ meta }) => [{ id: Math.max(...meta.migrations.keys()) }],
  ],
  [
    /^INSERT INTO \S+\.migrations \(id, name\)/,
    (draft, [id, name]) => {
      draft.changes.push(({ migrations }) => migrations.set(Number(id), String(name)))
      return []
    },
  ],
  [
    /^INSERT INTO \S+\.positions \(shard, seq, epoch\)\s+VALUES \(\$1, 0, 0\)/,
    (draft, [shard]) => {
      const of = Number(shard)
      draft.changes.push(({ positions }) => {
        if (!positions.has(of)) positions.set(of, { seq: 0, epoch: 0, journal: '', start: '' })
      })
      return []
    },
  ],
  [
    /^SELECT \* FROM \S+\.positions WHERE shard = \$1 AND seq > 0$/,
    ({ meta }, [shard]) => {
      const position = meta.positions.get(Number(shard))
      if (position === undefined || position.seq === 0) return []
      const { seq, epoch, journal, start } = position
      return [{ seq: `${seq}`, epoch: `${epoch}`, journal, start }]
    },
  ],
  [
    /^SELECT id, venue, symbol FROM \S+\.instruments ORDER BY id$/,
    ({ meta }) =>
      [...meta.instruments]
        .sort(([a], [b]) => a - b)
        .map(([id, { venue, symbol }]) => ({ id, venue, symbol })),
  ],
  [/^INSERT INTO \S+\.instruments \(id, venue, symbol, venue_symbol\)/, addInstruments],
  [/^SELECT count\(\*\)::int4 AS n FROM pg_inherits/, ({ meta }) => [{ n: meta.tables.size }]],
  [/^SELECT \S+\.add_partition\(\$1, date '1970-01-01' \+ \$2::int4, \$3\)/, addPartition],
  [/^CALL \S+\.advance\((\d+), (\d+), (\d+), (\d+), '(\w*)', '(\w*)'\)$/, advance],
]

/** Runs one statement within a transaction. Returns its rows. */
export function runStatement(draft: Draft, text: string, parameters: Parameters_): Rows {
  for (const [pattern, handler] of STATEMENTS) {
    const match = pattern.exec(text)
    if (match !== null) return handler(draft, parameters, match)
  }
  throw new Error(`the simulated PostgreSQL does not know: ${text.slice(0, 200)}`)
}

const COPY = /^COPY "?\w+"?\.(\w+) \((.*)\) FROM STDIN \(FORMAT binary\)$/

export function isCopy(text: string): boolean {
  return COPY.test(text)
}

/** Runs a COPY over the data that belongs to it. */
export function runCopy(draft: Draft, text: string, data: Uint8Array): void {
  const [, table = '', columns = ''] = COPY.exec(text) as RegExpExecArray
  if (!draft.meta.tables.has(table)) throw new SqlError('42P01', `no table ${table}`)
  for (const row of parseCopyRows(data, columns.split(', '))) draft.rows.push(stored(row, table))
}

function stored(row: CopyRow, table: string): StoredRow {
  const position = row.seq as number
  return {
    shard: Math.floor(position / SHARD_SHIFT),
    seq: position % SHARD_SHIFT,
    table,
    instrument: row.instrument as number,
    tradeId: row.trade_id ?? -1,
    price: row.price ?? -1,
  }
}

function addInstruments(draft: Draft, [ids, venues, symbols]: Parameters_): Rows {
  const added = (ids as number[]).map((id, i) => ({
    id,
    venue: (venues as string[])[i] as string,
    symbol: (symbols as string[])[i] as string,
  }))
  draft.changes.push(({ instruments }) => {
    for (const { id, venue, symbol } of added) {
      if (!instruments.has(id)) instruments.set(id, { venue, symbol })
    }
  })
  return []
}

function addPartition(draft: Draft, [kind, day]: Parameters_): Rows {
  const date = new Date(Number(day) * DAY_MS).toISOString().slice(0, 10)
  const table = `${kind}_${date.replaceAll('-', '')}`
  if (draft.meta.tables.has(table)) return [{ outcome: 'exists' }]
  draft.changes.push(({ tables }) => tables.add(table))
  return [{ outcome: 'created' }]
}

function advance(draft: Draft, _: Parameters_, match: RegExpExecArray): Rows {
  const [shard = 0, from, to = 0, epoch = 0] = match.slice(1, 5).map(Number)
  const [journal = '', start = ''] = match.slice(5)
  if (draft.meta.positions.get(shard)?.seq !== from) {
    throw new SqlError('TK001', `the position of shard ${shard} is not ${from}`)
  }
  draft.changes.push(({ positions }) => positions.set(shard, { seq: to, epoch, journal, start }))
  return []
}

const TYPE_NAMES = {
  timestamptz: 'timestamp with time zone',
  int8: 'bigint',
  int4: 'integer',
  int2: 'smallint',
} as const

function columnRows({ tables }: Meta): Rows {
  return TABLES.filter((kind) => tables.has(kind)).flatMap((kind) =>
    columnsOf(kind).map(({ name, type, isNullable }) => ({
      table: kind,
      name,
      type: TYPE_NAMES[type],
      required: !isNullable,
    })),
  )
}

/** Nobody alters a simulated table: its digest never changes. */
function checkTables({ meta }: Draft, _: Parameters_, { input }: RegExpExecArray): Rows {
  for (const [, table = ''] of input.matchAll(/\.(\w+)'/g)) {
    if (!meta.tables.has(table)) throw new SqlError('TK002', `the partition ${table} was detached`)
  }
  return []
}
