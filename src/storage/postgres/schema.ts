// Brings the database's schema to what this program needs: numbered steps, each once.
//
// A step and the row that records it are one transaction, under an advisory lock, so any number of
// connections may call `migrate` at once. Steps are never edited after a release; views are not
// steps: they follow the program's text. TimescaleDB is not used: daily partitions with BRIN give
// what its hypertables would, and leave COPY, backup and every hosted PostgreSQL as they are.

import { createHash } from 'node:crypto'
import type { Client } from 'pg'
import { TickdError } from '../../errors.ts'
import { tablesSql } from './migrations/001-tables.ts'
import { refusedSql } from './migrations/002-refused.ts'
import { journalSql } from './migrations/003-journal.ts'
import { viewsSql } from './views.ts'

interface Migration {
  id: number
  name: string
  sql: (schema: string) => string
}

const MIGRATIONS: readonly Migration[] = [
  { id: 1, name: 'tables', sql: tablesSql },
  { id: 2, name: 'refused', sql: refusedSql },
  { id: 3, name: 'journal', sql: journalSql },
]
/** Its row in `migrations` records the views' text by digest, in its name. */
const VIEWS_ID = 0

/** A schema's name as SQL takes it: `full` and `order` are names like any other. */
export function quoted(schema: string): string {
  return `"${schema}"`
}

/** Applies what is missing. Returns the names of the steps applied. */
export async function migrate(client: Client, name: string): Promise<string[]> {
  const schema = quoted(name)
  const applied: string[] = []
  await step(client, schema, async () => {
    await client.query(`CREATE SCHEMA IF NOT EXISTS ${schema}`)
    await client.query(`CREATE TABLE IF NOT EXISTS ${schema}.migrations (
  id int4 PRIMARY KEY, name text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())`)
  })
  for (const { id, name, sql } of MIGRATIONS) {
    await step(client, schema, async () => {
      if ((await nameOf(client, schema, id)) !== undefined) return
      await client.query(sql(schema))
      await client.query(`INSERT INTO ${schema}.migrations (id, name) VALUES ($1, $2)`, [id, name])
      applied.push(name)
    })
  }
  await refuseNewer(client, schema)
  await step(client, schema, async () => {
    const sql = viewsSql(schema)
    const name = `views ${createHash('sha256').update(sql).digest('hex').slice(0, 16)}`
    if ((await nameOf(client, schema, VIEWS_ID)) === name) return
    await client.query(sql)
    await client.query(
      `INSERT INTO ${schema}.migrations (id, name) VALUES ($1, $2)
       ON CONFLICT (id) DO UPDATE SET name = $2, applied_at = now()`,
      [VIEWS_ID, name],
    )
    applied.push(name)
  })
  return applied
}

async function step(client: Client, schema: string, body: () => Promise<void>): Promise<void> {
  await client.query('BEGIN')
  try {
    await client.query('SELECT pg_advisory_xact_lock(hashtextextended($1, 0))', [
      `tickd migrations ${schema}`,
    ])
    await body()
    await client.query('COMMIT')
  } catch (thrown) {
    // The first failure is the one to tell of; a lost connection has rolled back by itself.
    await client.query('ROLLBACK').catch(() => {})
    throw thrown
  }
}

async function nameOf(client: Client, schema: string, id: number): Promise<string | undefined> {
  const { rows } = await client.query(`SELECT name FROM ${schema}.migrations WHERE id = $1`, [id])
  return rows[0]?.name
}

async function refuseNewer(client: Client, schema: string): Promise<void> {
  const { rows } = await client.query(`SELECT max(id) AS id FROM ${schema}.migrations`)
  const newest = Number(rows[0]?.id)
  if (newest <= (MIGRATIONS.at(-1) as Migration).id) return
  throw new TickdError(
    'POSTGRES_CONFLICT',
    `schema ${schema} of the database was made by a newer tickd (step ${newest}); run that one, ` +
      'or set postgres.schema to another name',
  )
}
