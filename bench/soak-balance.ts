// The books of the soak: what was sent must be found, once, at every place that keeps a count.

import type pg from 'pg'
import type { DaemonProcess } from '../test/support/daemon.ts'
import type { Crew } from './crew.ts'
import type { Sample } from './live-load.ts'
import { FIRST_ID, LINE_BYTES } from './trade-lines.ts'

export interface Balance {
  readonly sent: number
  /** Rows that PostgreSQL has held: each trade once. */
  readonly rows: number
  readonly delivered: number
  readonly declared: number
}

/** Counts the rows of the trade table and empties it, so that it does not grow with the soak. */
export class StoredCount {
  readonly #client: pg.Client
  #rows = 0
  /** Sum of the trade ids, less FIRST_ID each. */
  #idSum = 0n
  #idMax = -1

  constructor(client: pg.Client) {
    this.#client = client
  }

  /** Next sequence to be committed. */
  async seq(): Promise<number> {
    const { rows } = await this.#client.query('SELECT seq FROM tickd.positions WHERE shard = 0')
    return Number(rows[0]?.seq ?? 0)
  }

  /** Nothing is stored between the count and the emptying: the table is locked. */
  async collect(): Promise<void> {
    const client = this.#client
    await client.query('BEGIN')
    await client.query('LOCK TABLE tickd.trade IN ACCESS EXCLUSIVE MODE')
    const { rows } = await client.query(
      `SELECT count(*) AS count, coalesce(sum(trade_id - ${FIRST_ID}), 0) AS sum,
              coalesce(max(trade_id - ${FIRST_ID}), -1) AS max FROM tickd.trade`,
    )
    await client.query('TRUNCATE tickd.trade')
    await client.query('COMMIT')
    this.#rows += Number(rows[0].count)
    this.#idSum += BigInt(rows[0].sum)
    this.#idMax = Math.max(this.#idMax, Number(rows[0].max))
  }

  /** Throws unless the rows are ids 0 … count - 1, as far as count, sum and maximum can tell. */
  verify(count: number): number {
    const sum = (BigInt(count) * BigInt(count - 1)) / 2n
    if (this.#rows !== count || this.#idSum !== sum || this.#idMax !== count - 1) {
      throw new Error(
        `PostgreSQL has had ${this.#rows} rows up to id ${this.#idMax}, sum ${this.#idSum}; ` +
          `expected ${count}, sum ${sum}`,
      )
    }
    return this.#rows
  }
}

/** Waits until all is stored, then compares. Throws at the first count that differs. */
export async function verifyBalance(
  daemon: DaemonProcess,
  load: Crew,
  stored: StoredCount,
  subscribers: number,
): Promise<Balance> {
  const { ticks, tally } = await load.ask<Sample>({ op: 'sample' })
  const deadlineMs = performance.now() + 120_000
  while ((await stored.seq()) < ticks) {
    if (performance.now() > deadlineMs) throw new Error(`${await stored.seq()} of ${ticks} stored`)
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  await stored.collect()
  const rows = stored.verify(ticks)
  const metrics = await readMetrics(daemon)
  const metric = (name: string) => sumOf(metrics, `tickd_${name}_total`)
  const expect = (what: string, found: number, expected: number) => {
    if (found !== expected) throw new Error(`${what}: ${found}, expected ${expected}`)
  }
  expect('bytes of the source', metric('source_bytes'), ticks * LINE_BYTES)
  expect('frames dropped', metric('source_frames_dropped'), 0)
  expect('frames decoded', metric('decode_frames'), metric('source_frames'))
  expect('messages decoded', metric('decode_messages_decoded'), ticks)
  expect('records accepted', metric('decode_records_accepted'), ticks)
  expect('records journalled', metric('journal_records'), ticks)
  expect('records stored', metric('postgres_records'), ticks)
  expect('records served', metric('serve_records') + metric('serve_records_lapped'), ticks)
  const delivered = metric('serve_records_delivered')
  const owed = metric('serve_records_published')
  expect('records owed', delivered + metric('serve_records_skipped'), owed)
  expect('holes at subscribers', tally.holes, 0)
  expect('records at subscribers', tally.records, delivered)
  expect('records settled', tally.records + tally.declared, ticks * subscribers)
  return { sent: ticks, rows, delivered: tally.records, declared: tally.declared }
}

export async function readMetrics(daemon: DaemonProcess): Promise<string> {
  return await (await fetch(`${daemon.address('http')}/metrics`)).text()
}

/** Of all labels. */
export function sumOf(metrics: string, name: string): number {
  const pattern = new RegExp(`^${name}(?:\\{[^}]*\\})? (\\S+)$`, 'gm')
  const values = [...metrics.matchAll(pattern)].map(([, value]) => Number(value))
  if (values.length === 0) throw new Error(`there is no metric ${name}`)
  return values.reduce((sum, value) => sum + value, 0)
}
