// Looks through a book's lines: does each balance, and does each begin where the one before ended?
//
// Needs the lines only, not the daemon: an auditor's view. What the daemon itself found while it
// ran is in the lines as well, and is reported with the rest.

import {
  type Imbalance,
  type LedgerLine,
  type MinuteLine,
  type ShardMinute,
  type ShardStart,
  total,
} from './minute.ts'

export interface AuditFinding extends Imbalance {
  /** The line's minute, or time. */
  readonly at: string
}

/** Findings, oldest first. `lines`: as they follow each other in the book. */
export function audit(lines: readonly LedgerLine[]): AuditFinding[] {
  const findings: AuditFinding[] = []
  let before: LedgerLine | undefined
  for (const line of lines) {
    if (line.type === 'minute') {
      const own = [...line.imbalances, ...auditMinute(line), ...auditChain(before, line)]
      for (const finding of own) findings.push({ at: line.minute, ...finding })
    } else {
      for (const finding of auditJournal(before, line)) findings.push({ at: line.at, ...finding })
    }
    before = line
  }
  return findings
}

/** The balances within a minute. */
function auditMinute(line: MinuteLine): Imbalance[] {
  const findings: Imbalance[] = []
  const equal = (check: string, subject: string, whole: number, parts: ByPart) => {
    const amount = whole - total(parts)
    if (amount !== 0) findings.push({ check, subject, amount, evidence: { whole, ...parts } })
  }
  let acceptedOfSources = 0
  for (const [name, { messages, records }] of Object.entries(line.sources)) {
    const subject = `source ${name}`
    const { decoded } = messages
    const ignored = total(messages.ignored)
    const rejected = total(messages.rejected)
    equal('messages', subject, messages.total, { decoded, ignored, rejected })
    const { accepted, duplicate } = records
    const quarantined = total(records.quarantined)
    equal('records', subject, records.total, { accepted, duplicate, quarantined })
    acceptedOfSources += accepted
  }
  const acceptedOfShards = line.shards.reduce((sum, { accepted }) => sum + accepted, 0)
  equal('published', 'all shards', acceptedOfShards, { acceptedOfSources })
  return findings
}

type ByPart = Readonly<Record<string, number>>

/** What a minute hands over is what the next one takes up. */
function auditChain(before: LedgerLine | undefined, line: MinuteLine): Imbalance[] {
  // Nothing is carried into the first minute of a run; into the first line that was read, unknown.
  if (before === undefined || before.epoch !== line.epoch) return []
  const last = before.type === 'minute' ? before : undefined
  const findings: Imbalance[] = []
  const inHand = last?.serve.in_hand ?? 0
  const { published, delivered, skipped, in_hand } = line.serve
  const undelivered = inHand + published - delivered - skipped - in_hand
  if (undelivered !== 0) {
    const evidence = { carried: inHand, published, delivered, skipped, in_hand }
    findings.push({ check: 'delivered', subject: 'serve', amount: undelivered, evidence })
  }
  for (const [name, source] of Object.entries(line.sources)) {
    const carried = last?.sources[name]?.frames.in_flight ?? 0
    const { received, dropped, decoded, in_flight } = source.frames
    const amount = carried + received - dropped - decoded - in_flight
    if (amount === 0) continue
    const evidence = { carried, received, dropped, decoded, in_flight }
    findings.push({ check: 'frames', subject: `source ${name}`, amount, evidence })
  }
  for (const shard of line.shards) {
    const then = last?.shards.find((one) => one.shard === shard.shard)
    if (then !== undefined) findings.push(...auditPositions(then, shard))
  }
  return findings
}

function auditPositions(last: ShardMinute, now: ShardMinute): Imbalance[] {
  const subject = `shard ${now.shard}`
  const findings: Imbalance[] = []
  const counted = now.published - now.uncounted - (last.published - last.uncounted)
  if (counted !== now.accepted) {
    const evidence = { from: last.published, to: now.published, accepted: now.accepted }
    findings.push({ check: 'published', subject, amount: counted - now.accepted, evidence })
  }
  if (now.durable < last.durable) {
    const evidence = { before: last.durable, durable: now.durable }
    findings.push({ check: 'positions', subject, amount: last.durable - now.durable, evidence })
  }
  return findings
}

/** A run begins at or after what the one before it had made durable. */
function auditJournal(before: LedgerLine | undefined, line: LedgerLine): Imbalance[] {
  if (line.type === 'minute' || before?.type !== 'minute') return []
  if (line.type === 'start') return journalLoss(before.shards, line.shards)
  const now = line.shards.map(({ to_seq, ...shard }) => ({ ...shard, next_seq: to_seq }))
  return journalLoss(before.shards, now)
}

/** Records that had been durable and that the journal no longer has; another journal has none. */
export function journalLoss(
  before: readonly Pick<ShardMinute, 'shard' | 'journal' | 'durable'>[],
  now: readonly ShardStart[],
): Imbalance[] {
  return before.flatMap(({ shard, journal, durable }) => {
    const start = now.find((one) => one.shard === shard)
    if (start === undefined || durable === 0) return []
    const { next_seq } = start
    const isOther = journal !== start.journal
    if (!isOther && next_seq >= durable) return []
    // Another one may begin anywhere: how much it lacks is not known.
    const amount = Math.max(1, durable - next_seq)
    const evidence = { durable, next_seq, ...(isOther ? { another_journal: 1 } : {}) }
    return [{ check: 'journal_start', subject: `shard ${shard}`, amount, evidence }]
  })
}
