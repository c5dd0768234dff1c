// The ledger for people: a report, or the lines of a book, as text.

import type { AuditFinding } from './audit.ts'
import type { StoreState } from './ledger.ts'
import {
  type Imbalance,
  type LedgerLine,
  type MinuteLine,
  type Passage,
  type SourceMinute,
  total,
} from './minute.ts'

const HEAD = [
  'minute',
  'source',
  'frames',
  'dropped',
  'on ring',
  'messages',
  'ignored',
  'rejected',
  'records',
  'accepted',
  'repeats',
  'quarantined',
]

/** One line a source and minute, under a head; what is no minute stands between them. */
export function minutesText(lines: readonly LedgerLine[], open?: OpenMinute): string {
  const rows: (readonly string[] | string)[] = [HEAD]
  for (const line of lines) {
    if (line.type === 'minute') rows.push(...minuteRows(line.minute, line))
    else rows.push(eventText(line))
  }
  if (open !== undefined) rows.push(...minuteRows(`${open.minute} …`, open))
  return table(rows)
}

export type OpenMinute = { readonly minute: string } & Passage

export function totalsText(totals: Passage): string {
  return table([HEAD.with(0, 'in all'), ...minuteRows('', totals)])
}

function minuteRows(label: string, { sources }: Passage): string[][] {
  const rows = Object.entries(sources).map(([name, source]) => [label, name, ...cells(source)])
  return rows.length === 0 && label !== '' ? [[label, '-']] : rows
}

function cells({ frames, messages, records }: SourceMinute): string[] {
  return [
    frames.received,
    frames.dropped,
    frames.in_flight,
    messages.total,
    total(messages.ignored),
    total(messages.rejected),
    records.total,
    records.accepted,
    records.duplicate,
    total(records.quarantined),
  ].map(String)
}

function eventText(line: Exclude<LedgerLine, MinuteLine>): string {
  if (line.type === 'start') return `${line.at}  the daemon started, epoch ${line.epoch}`
  const records = line.shards.reduce((sum, shard) => sum + shard.records, 0)
  return (
    `${line.at}  epoch ${line.epoch} was interrupted after ${line.from}: its counts since then ` +
    `are unknown; the journal holds ${records} records of it`
  )
}

export function storesText(stores: Readonly<Record<string, StoreState>>): string {
  const rows = Object.entries(stores).map(([name, { position, lag, ...details }]) => [
    name,
    position === undefined ? '-' : String(position),
    lag === undefined ? '-' : String(lag),
    Object.entries(details)
      .map(([key, value]) => `${key} ${value}`)
      .join(', '),
  ])
  return table([['store', 'position', 'lag', ''], ...rows])
}

export function findingText(finding: Imbalance | AuditFinding): string {
  const at = 'at' in finding ? `${finding.at} ` : ''
  const numbers = Object.entries(finding.evidence).map(([name, value]) => `${name} ${value}`)
  return (
    `IMBALANCE ${at}${finding.check} of ${finding.subject}: ${finding.amount} ` +
    `(${numbers.join(', ')})`
  )
}

/** The first two columns to the left, numbers to the right. A row that is a text stands alone. */
function table(rows: readonly (readonly string[] | string)[]): string {
  const widths: number[] = []
  for (const row of rows) {
    if (typeof row === 'string') continue
    row.forEach((cell, i) => {
      widths[i] = Math.max(widths[i] ?? 0, cell.length)
    })
  }
  return rows
    .map((row) => {
      if (typeof row === 'string') return `${row}\n`
      const texts = row.map((cell, i) => {
        const width = widths[i] as number
        return i < 2 ? cell.padEnd(width) : cell.padStart(width)
      })
      return `${texts.join('  ').trimEnd()}\n`
    })
    .join('')
}
