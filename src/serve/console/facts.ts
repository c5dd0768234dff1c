// The lists at the side: the ledger's balance, what this page's own feed has seen, dependencies.

import type { Feed, Gap } from '../../../client/index.ts'
import { byId, type Fact, millis, short, showFacts } from './page.ts'

export interface Readiness {
  readonly ready: boolean
  readonly status: string
  readonly dependencies: Readonly<
    Record<string, { readonly ready: boolean; readonly detail: string; readonly lag?: number }>
  >
}

interface SourceTotals {
  readonly frames: { readonly received: number }
  readonly messages: { readonly total: number; readonly decoded: number }
  readonly records: { readonly accepted: number; readonly duplicate: number }
}

export interface Ledger {
  readonly ok: boolean
  readonly epoch: number
  readonly totals: {
    readonly sources: Readonly<Record<string, SourceTotals>>
    readonly serve: { readonly published: number; readonly delivered: number }
  }
  readonly stores: Readonly<Record<string, { readonly lag?: number; readonly rows?: number }>>
}

export function showReadiness({ ready, status, dependencies }: Readiness): void {
  byId('ready').textContent = status
  byId('ready').className = `state ${ready ? (status === 'ready' ? 'good' : 'warn') : 'bad'}`
  const facts = Object.entries(dependencies).map(([name, { ready, detail, lag = 0 }]): Fact => {
    const behind = lag > 0 ? `, ${short(lag)} behind` : ''
    return { name, text: detail + behind, look: ready ? 'soft' : 'warn' }
  })
  showFacts(byId('dependencies'), facts)
}

export function showLedger({ ok, totals, stores }: Ledger): void {
  const facts: Fact[] = [
    {
      name: 'balance',
      text: ok ? 'everything accounted for' : 'broken',
      look: ok ? 'good' : 'bad',
    },
  ]
  for (const [name, { frames, messages, records }] of Object.entries(totals.sources)) {
    if (frames.received === 0) continue
    const refused = messages.total - messages.decoded
    const rest = refused > 0 ? `, ${short(refused)} ignored or rejected` : ''
    facts.push({ name, text: `${short(records.accepted)} records${rest}` })
  }
  for (const [name, { lag, rows }] of Object.entries(stores)) {
    if (lag === undefined) continue
    const stored = rows === undefined ? '' : `${short(rows)} rows, `
    facts.push({ name, text: `${stored}${short(lag)} behind` })
  }
  const { published, delivered } = totals.serve
  facts.push({ name: 'subscribers', text: `${short(delivered)} of ${short(published)} delivered` })
  showFacts(byId('ledger'), facts)
}

export function showFeed(feed: Feed, gaps: readonly Gap[], pingMs: number): void {
  const { records, missed, filled, undeclared, reconnects, latencyMs } = feed.stats
  const facts: Fact[] = [
    { name: 'connection', text: feed.state, look: feed.state === 'open' ? 'good' : 'warn' },
    { name: 'from receipt to here', text: millis(latencyMs) },
    { name: 'there and back', text: millis(pingMs) },
    { name: 'records', text: short(records) },
    { name: 'missed, declared', text: short(missed - filled) },
    { name: 'holes not declared', text: short(undeclared), look: undeclared > 0 ? 'bad' : 'soft' },
    { name: 'reconnects', text: short(reconnects) },
  ]
  for (const { cause, from, to } of gaps.slice(-3)) {
    facts.push({ name: `gap: ${cause}`, text: `${from} … ${to ?? '?'}`, look: 'warn' })
  }
  showFacts(byId('feed'), facts)
}
