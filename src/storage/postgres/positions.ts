// What the database says of each shard: up to where it has stored, and of which journal.

import type { Client } from 'pg'
import type { Instrument } from '../../tick/instruments.ts'
import { connect } from './connection.ts'
import { quoted } from './schema.ts'

export interface StoredPosition {
  /** Next sequence to store. */
  readonly seq: number
  /** Epoch of the last record stored. */
  readonly epoch: number
  /** Id of its journal, and of the start that wrote it; '' = not known. */
  readonly journal: string
  readonly start: string
}

/** Of a shard; undefined = nothing was stored yet. For a database that has the positions table. */
export async function readPosition(
  client: Client,
  schema: string,
  shard: number,
): Promise<StoredPosition | undefined> {
  const sql = `SELECT * FROM ${quoted(schema)}.positions WHERE shard = $1 AND seq > 0`
  const { rows } = await client.query(sql, [shard])
  return rows.length === 0 ? undefined : positionOf(rows[0])
}

/** What the database has, before anything is stored: positions by shard, instruments by id. */
export interface StoredState {
  readonly positions: ReadonlyMap<number, StoredPosition>
  readonly instruments: readonly Instrument[]
}

export const NOTHING_STORED: StoredState = Object.freeze({ positions: new Map(), instruments: [] })

/** Throws a TickdError when there is no answer. */
export async function askStored(
  url: string,
  schema: string,
  timeoutMs: number,
): Promise<StoredState> {
  const connection = await connect({ url, name: `tickd ${schema}`, timeoutMs })
  try {
    const { client } = connection
    const name = `${quoted(schema)}.positions`
    const found = await client.query('SELECT to_regclass($1) AS name', [name])
    if (found.rows[0]?.name === null) return NOTHING_STORED
    // Every column: an older schema has no journal in it.
    const { rows } = await client.query(`SELECT * FROM ${name} WHERE seq > 0`)
    const positions = new Map(rows.map((row) => [Number(row.shard), positionOf(row)]))
    const instruments = await client.query<Instrument>(
      `SELECT id, venue, symbol, venue_symbol AS "venueSymbol"
       FROM ${quoted(schema)}.instruments ORDER BY id`,
    )
    return { positions, instruments: instruments.rows }
  } finally {
    connection.close()
  }
}

function positionOf(row: Record<string, unknown>): StoredPosition {
  return {
    seq: Number(row.seq),
    epoch: Number(row.epoch),
    journal: String(row.journal ?? ''),
    start: String(row.start ?? ''),
  }
}
