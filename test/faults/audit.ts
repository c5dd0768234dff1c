// Is everything where it should be? Called while nothing is pushed and nothing is broken.
//
// The database: of each pusher exactly the trades that were acknowledged, none twice, in order; and
// as many rows as its positions say, whoever pushed them. The ledger: balanced. Redis: the newest
// trade. What the subscribers saw is judged as it comes (watcher.ts).

import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { statJournal } from '../../src/journal/stat.ts'
import { journalDirectory } from '../../src/threads/open-shard.ts'
import { hourStart, type Load, VENUE } from './load.ts'
import type { Site } from './site.ts'
import type { Watcher } from './watcher.ts'

const SETTLE_MS_MAX = 90_000
const POLL_MS = 20

/** Trades of the pushers from an hour on: how many, which, and how often not the next in order. */
const TRADES_SQL = `
WITH ours AS (
  SELECT i.symbol, t.trade_id,
    lag(t.trade_id) OVER (PARTITION BY t.instrument ORDER BY t.seq) AS before
  FROM tickd.trade t JOIN tickd.instruments i ON i.id = t.instrument
  WHERE i.venue = $1 AND t.ts >= to_timestamp($2::float8 / 1000)
)
SELECT symbol, count(*)::int8 AS rows, count(DISTINCT trade_id)::int8 AS trades,
  min(trade_id)::int8 AS first, max(trade_id)::int8 AS last,
  count(*) FILTER (WHERE before IS NOT NULL AND trade_id <> before + 1)::int8 AS breaks
FROM ours GROUP BY symbol`

const TABLES = ['trade', 'quote', 'book', 'price', 'status', 'refused']
const COUNTS = TABLES.map((table) => `(SELECT count(*) FROM tickd.${table})`)
const ROWS_SQL = `SELECT (${COUNTS.join(' + ')})::int8
  AS rows, (SELECT sum(seq) FROM tickd.positions)::int8 AS positions`

/** What earlier audits have found in order. */
export interface Verified {
  /** Hour of the trades that come next. */
  hour: number
  /** By symbol: the last trade. */
  readonly last: Map<string, number>
}

export interface Found {
  readonly lost: number
  readonly doubled: number
  readonly outOfOrder: number
}

export async function until(
  what: string,
  test: () => boolean | Promise<boolean>,
  detail: () => string = () => '',
): Promise<void> {
  const deadlineMs = performance.now() + SETTLE_MS_MAX
  while (!(await test())) {
    if (performance.now() > deadlineMs) throw new Error(`not in time: ${what} ${detail()}`)
    await delay(POLL_MS)
  }
}

/** All that is acknowledged is in the journals, and is committed. */
export async function untilStored(site: Site, loads: readonly Load[]): Promise<void> {
  const wanted = new Map<number, number>()
  for (const { shard, endSeq } of loads) {
    wanted.set(shard, Math.max(endSeq, wanted.get(shard) ?? 0))
  }
  for (const [shard, seq] of wanted) {
    const { nextSeq } = statJournal(journalDirectory(join(site.stateDir, 'journal'), shard))
    if (nextSeq >= seq) continue
    // No waiting brings it back.
    throw new Error(
      `lost: shard ${shard} acknowledged all before ${seq}, its journal has ${nextSeq}`,
    )
  }
  let seen = ''
  await until(
    'all is stored',
    async () => {
      const stored = await site.database.positions()
      seen = `stored ${JSON.stringify([...stored])} of ${JSON.stringify([...wanted])}`
      return [...wanted].every(([shard, seq]) => (stored.get(shard) ?? 0) >= seq)
    },
    () => seen,
  )
}

/** The trades since the last audit, or all of them. */
export async function auditTrades(
  site: Site,
  loads: readonly Load[],
  verified: Verified,
  isFull: boolean,
): Promise<Found> {
  const fromMs = isFull ? 0 : hourStart(verified.hour)
  const rows = await site.database.query(TRADES_SQL, [VENUE, fromMs])
  const bySymbol = new Map(rows.map((row) => [String(row.symbol), row]))
  let lost = 0
  let doubled = 0
  let outOfOrder = 0
  const wrong: string[] = []
  for (const { symbol, acknowledged } of loads) {
    const before = isFull ? 0 : (verified.last.get(symbol) ?? 0)
    const row = bySymbol.get(symbol) ?? { rows: 0, trades: 0, first: null, last: null, breaks: 0 }
    const [count, trades, breaks] = [Number(row.rows), Number(row.trades), Number(row.breaks)]
    lost += acknowledged - before - trades
    doubled += count - trades
    outOfOrder += breaks
    const isRange =
      trades === 0 || (Number(row.first) === before + 1 && Number(row.last) === acknowledged)
    if (trades !== acknowledged - before || count !== trades || breaks > 0 || !isRange) {
      wrong.push(
        `${symbol}: acknowledged ${before + 1} … ${acknowledged}, stored ${JSON.stringify(row)}`,
      )
    }
    verified.last.set(symbol, acknowledged)
  }
  if (wrong.length === 0) return { lost, doubled, outOfOrder }
  const sum = `lost ${lost}, doubled ${doubled}, out of order ${outOfOrder}`
  throw new Error(`the database is not what was acknowledged: ${sum}; ${wrong.join('; ')}`)
}

/** As many rows as the positions say, in one snapshot. */
export async function auditRows(site: Site): Promise<void> {
  const [row] = await site.database.query(ROWS_SQL)
  if (Number(row?.rows) !== Number(row?.positions)) {
    throw new Error(`${row?.rows} rows are stored, and the positions say ${row?.positions}`)
  }
}

interface LedgerAnswer {
  readonly ok: boolean
  readonly imbalances: readonly unknown[]
  readonly findings: readonly unknown[]
  readonly damaged_lines: number
  readonly subscribers_ok: boolean
  readonly subscribers: readonly unknown[]
}

export async function auditLedger(site: Site): Promise<void> {
  let text = ''
  // Who serves may be made anew just now, for an armed fault.
  await until('the ledger answers', async () => {
    const response = await fetch(`${site.http}/v1/ledger`).catch(() => undefined)
    text = (await response?.text().catch(() => '')) ?? ''
    return response?.status === 200 && text !== ''
  })
  const ledger = JSON.parse(text) as LedgerAnswer
  const { imbalances, findings, damaged_lines: damagedLines, subscribers } = ledger
  if (ledger.ok && ledger.subscribers_ok) return
  const what = { imbalances, findings, damagedLines, subscribers }
  throw new Error(`the ledger does not balance: ${JSON.stringify(what)}`)
}

/** An imbalance that came and went, or that another life of the daemon saw. */
export function auditIncidents(site: Site): void {
  const path = join(site.stateDir, 'incidents.jsonl')
  if (!existsSync(path)) return
  const bad = readFileSync(path, 'utf8')
    .split('\n')
    .filter((line) =>
      /ledger_imbalance|ledger_damaged|journal_damaged|journal_lost|records_lost/.test(line),
    )
  if (bad.length > 0) throw new Error(`incidents: ${bad.join('\n')}`)
}

export async function auditRedis(site: Site, loads: readonly Load[]): Promise<void> {
  for (const { symbol, acknowledged } of loads) {
    if (acknowledged === 0) continue
    let seen = ''
    await until(
      `Redis has the newest trade of ${symbol}`,
      async () => {
        seen = await site.redis.says('HGET', `tickd:latest:${VENUE}:${symbol}`, 'trade_id')
        return seen === String(acknowledged)
      },
      () => `(${acknowledged}, not ${seen})`,
    )
  }
}

/** Each subscriber has heard what comes next, and it is what it expected. */
export async function auditWatchers(watchers: readonly Watcher[]): Promise<void> {
  const fromMs = performance.now()
  await until('each subscriber agrees with a heartbeat', () =>
    watchers.every(({ agreedMs }) => agreedMs > fromMs),
  )
}
