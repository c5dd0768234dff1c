// Are the tables of ticks still those that the migrations made? Looked at once a connection.
//
// Columns that an operator added are none of our business as long as PostgreSQL fills them; so are
// indexes, rights, and constraints, which refuse records and not tables (refusals.ts).

import type { Client } from 'pg'
import { TickdError } from '../../errors.ts'
import { quoted } from './schema.ts'
import { columnsOf, TABLES } from './tables.ts'

interface FoundColumn {
  table: string
  name: string
  type: string
  /** Has to be given: may not be null, and nothing fills it. */
  required: boolean
}

const TYPE_NAMES = {
  timestamptz: 'timestamp with time zone',
  int8: 'bigint',
  int4: 'integer',
  int2: 'smallint',
} as const

/**
 * Throws POSTGRES_SCHEMA_CHANGED with each difference. Returns the digest that `check_tables` of
 * the database compares (migrations/002).
 */
export async function checkTables(client: Client, schema: string): Promise<string> {
  // Before the look: what is altered between the two is found by the first transaction.
  const digest = await digestOf(client, schema)
  const { rows } = await client.query<FoundColumn>(
    `SELECT c.relname AS table, a.attname AS name, format_type(a.atttypid, a.atttypmod) AS type,
       a.attnotnull AND NOT a.atthasdef AND a.attidentity = '' AS required
     FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
     JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE n.nspname = $1 AND c.relname = ANY($2) AND a.attnum > 0 AND NOT a.attisdropped`,
    [schema, TABLES],
  )
  const differences = TABLES.flatMap((kind) =>
    differencesOf(
      kind,
      rows.filter(({ table }) => table === kind),
    ),
  )
  if (differences.length === 0) return digest
  throw new TickdError(
    'POSTGRES_SCHEMA_CHANGED',
    `schema ${schema}: ${differences.join('; ')}; undo that, or set postgres.schema to another ` +
      'name; records wait in the journal',
    { canRetry: true },
  )
}

async function digestOf(client: Client, schema: string): Promise<string> {
  const { rows } = await client.query(`SELECT ${quoted(schema)}.tables_digest() AS digest`)
  return String(rows[0]?.digest)
}

function differencesOf(kind: (typeof TABLES)[number], found: readonly FoundColumn[]): string[] {
  if (found.length === 0) return [`table ${kind} is gone`]
  const differences: string[] = []
  const ours = columnsOf(kind)
  for (const { name, type } of ours) {
    const column = found.find((candidate) => candidate.name === name)
    if (column === undefined) differences.push(`column ${kind}.${name} is gone`)
    else if (column.type !== TYPE_NAMES[type]) {
      differences.push(`column ${kind}.${name} is ${column.type}, not ${TYPE_NAMES[type]}`)
    }
  }
  for (const { name, required } of found) {
    if (!required || ours.some((column) => column.name === name)) continue
    differences.push(`column ${kind}.${name} was added, may not be null and has no default`)
  }
  return differences
}
