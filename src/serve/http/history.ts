// What the HTTP API asks of the store of history, and that store over PostgreSQL's views.
//
// Rows come back in the fields and order of normalised JSON (tick/json.ts), newest first. Bounded
// three ways: rows by the query, time by the server's statement_timeout, queries at once by the
// pool. Not for bulk: an analyst reads PostgreSQL itself. While no server answers, the breaker
// answers for it at once; of several hosts, each is asked until one does, a standby too.

import type pg from 'pg'
import { errorText } from '../../errors.ts'
import { HISTORY_QUERIES_MAX, HISTORY_QUERY_MS_MAX } from '../../limits.ts'
import type { Log } from '../../ops/log.ts'

export type HistoryKind = 'trades' | 'quotes'

/** Where a page ended: the position of its last row. */
export interface HistoryCursor {
  /** RFC 3339 with six digits. */
  readonly ts: string
  readonly shard: number
  readonly seq: number
}

export interface HistoryQuery {
  /** Instrument ids; undefined = all. */
  readonly instruments: readonly number[] | undefined
  /** RFC 3339: start ≤ event time < end. */
  readonly start: string
  readonly end: string
  readonly rowsMax: number
  /** Only rows before this one in the order of answers. */
  readonly before: HistoryCursor | undefined
}

/** A record in normalised form, with its shard and sequence. */
export type HistoryRow = Readonly<Record<string, unknown>> & {
  readonly ts_event: string
  readonly shard: number
  readonly seq: number
}

/** away: no database answers. busy: all connections are in use. slow: it took too long. */
export type HistoryFault = 'away' | 'busy' | 'slow'

export class HistoryUnavailable extends Error {
  readonly fault: HistoryFault

  constructor(fault: HistoryFault, message: string, cause: unknown) {
    super(message, { cause })
    this.fault = fault
  }
}

export interface History {
  /** Rejects with HistoryUnavailable. */
  query(kind: HistoryKind, query: HistoryQuery): Promise<HistoryRow[]>
  close(): Promise<void>
}

const OWN_COLUMNS: Readonly<Record<HistoryKind, readonly string[]>> = {
  trades: ['id', 'side', 'price', 'size'],
  quotes: ['bid_price', 'bid_size', 'ask_price', 'ask_size'],
}
const TYPE: Readonly<Record<HistoryKind, string>> = { trades: 'trade', quotes: 'quote' }
/** SQLSTATE of a statement that was cancelled by its time-out. */
const QUERY_CANCELED = '57014'

/** What is needed of a circuit breaker (src/storage/breaker.ts). */
export interface QueryBreaker {
  tryNow(): boolean
  succeeded(): void
  failed(error: string): number
}

export interface PostgresHistoryOptions {
  /** Connection strings, passwords included: one a host. They may change. */
  readonly urls: () => readonly string[]
  readonly breaker: QueryBreaker
  readonly schema: string
  readonly connectTimeoutMs: number
  /** Queries at once; HISTORY_QUERIES_MAX if not given. */
  readonly queriesMax?: number
  readonly log: Log
}

export class PostgresHistory implements History {
  readonly #options: PostgresHistoryOptions
  readonly #pools = new Map<string, pg.Pool>()
  /** The host that answered last. */
  #preferred = ''

  /** Connects at the first query only: the daemon starts with or without its database. */
  constructor(options: PostgresHistoryOptions) {
    this.#options = options
  }

  async query(kind: HistoryKind, query: HistoryQuery): Promise<HistoryRow[]> {
    const { breaker, schema, queriesMax = HISTORY_QUERIES_MAX } = this.#options
    // Loaded by the first query, not by the start of the daemon.
    const { Pool } = (await import('pg')).default
    const pools = this.#poolsNow(Pool)
    if (pools.some((pool) => pool.waitingCount >= queriesMax)) {
      throw new HistoryUnavailable('busy', 'too many queries at once; try again', undefined)
    }
    if (!breaker.tryNow()) {
      throw new HistoryUnavailable('away', 'PostgreSQL does not answer; try again', undefined)
    }
    const { text, values } = statement(schema, kind, query)
    let thrown: unknown
    for (const pool of pools) {
      try {
        const { rows } = await pool.query(text, values)
        this.#preferred = String(pool.options.connectionString)
        breaker.succeeded()
        return rows.map((row) => toRecord(kind, row))
      } catch (error) {
        thrown = error
        if (isQuerysFault(error)) break
      }
    }
    if (isQuerysFault(thrown)) breaker.succeeded()
    else breaker.failed(errorText(thrown))
    throw unavailable(thrown)
  }

  async close(): Promise<void> {
    const pools = [...this.#pools.values()]
    this.#pools.clear()
    await Promise.all(pools.map((pool) => pool.end()))
  }

  /** A pool a host, the one that answered last first; those of former addresses are ended. */
  #poolsNow(Pool: typeof pg.Pool): pg.Pool[] {
    const urls = this.#options.urls()
    for (const [url, pool] of this.#pools) {
      if (urls.includes(url)) continue
      this.#pools.delete(url)
      pool.end().catch(() => {})
    }
    for (const url of urls)
      if (!this.#pools.has(url)) this.#pools.set(url, this.#newPool(Pool, url))
    const rank = (url: string) => (url === this.#preferred ? -1 : urls.indexOf(url))
    return [...this.#pools].sort(([a], [b]) => rank(a) - rank(b)).map(([, pool]) => pool)
  }

  #newPool(Pool: typeof pg.Pool, url: string): pg.Pool {
    const { connectTimeoutMs, queriesMax = HISTORY_QUERIES_MAX, log } = this.#options
    const pool = new Pool({
      connectionString: url,
      application_name: 'tickd serve',
      max: queriesMax,
      connectionTimeoutMillis: connectTimeoutMs,
      statement_timeout: HISTORY_QUERY_MS_MAX,
      // Beyond the server's own, for a server that no longer answers at all.
      query_timeout: HISTORY_QUERY_MS_MAX + 1000,
      allowExitOnIdle: true,
    })
    // An idle connection that is lost is replaced at the next query; unheard it would throw.
    pool.on('error', (error) => {
      log.warn({ cause: errorText(error) }, 'history: connection to PostgreSQL lost')
    })
    return pool
  }
}

function statement(schema: string, kind: HistoryKind, query: HistoryQuery) {
  const values: unknown[] = [query.start, query.end]
  const value = (v: unknown) => `$${values.push(v)}`
  const where = ['ts >= $1::timestamptz', 'ts < $2::timestamptz']
  if (query.instruments !== undefined) {
    where.push(`instrument = ANY(${value(query.instruments)}::int4[])`)
  }
  if (query.before !== undefined) {
    const { ts, shard, seq } = query.before
    const place = `${value(ts)}::timestamptz, ${value(shard)}::int4, ${value(seq)}::int8`
    where.push(`(ts, shard, seq) < (${place})`)
  }
  const columns = ['venue', 'symbol', 'ts_event', 'ts_recv', ...OWN_COLUMNS[kind], 'flags']
  const text = `SELECT ${columns.join(', ')}, shard, seq FROM ${schema}.${kind}
WHERE ${where.join(' AND ')}
ORDER BY ts DESC, shard DESC, seq DESC LIMIT ${value(query.rowsMax)}`
  return { text, values }
}

/** Decimals and ids arrive as text, exact; flags in the program's upper case. */
function toRecord(kind: HistoryKind, row: Record<string, unknown>): HistoryRow {
  return {
    type: TYPE[kind],
    ...row,
    ts_event: String(row.ts_event),
    flags: (row.flags as string[]).map((flag) => flag.toLowerCase()),
    shard: Number(row.shard),
    seq: Number(row.seq),
  }
}

/** The server answered, and to another query it would have answered well. */
function isQuerysFault(thrown: unknown): boolean {
  const code = String((thrown as { code?: unknown }).code ?? '')
  return code === QUERY_CANCELED || /^(?!08|28|3D|53|57|58|XX)(?=.*\d)[0-9A-Z]{5}$/.test(code)
}

function unavailable(thrown: unknown): HistoryUnavailable {
  const code = String((thrown as { code?: unknown }).code ?? '')
  const said = errorText(thrown)
  if (code === QUERY_CANCELED || said === 'Query read timeout') {
    const message = `the query took longer than ${HISTORY_QUERY_MS_MAX} ms; narrow start and end`
    return new HistoryUnavailable('slow', message, thrown)
  }
  // Five characters are a SQLSTATE: it answered.
  const message = /^[0-9A-Z]{5}$/.test(code)
    ? `PostgreSQL refused the query: ${said}`
    : 'PostgreSQL does not answer'
  return new HistoryUnavailable('away', message, thrown)
}
