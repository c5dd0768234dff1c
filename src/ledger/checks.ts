// The balances: what must hold of a sample, and by how much it does not.
//
// Of one sample, a finding may be an accident of the instant (a thread was stopped between two
// additions). It is an imbalance once it stands in SUSTAINED samples in a row, a second apart, with
// the same sign; its amount is the smallest of theirs. A loss stays in the counters, so that it is
// found however small it is and however fast they move; an accident does not come back each time.

import { IGNORE_REASONS, QUARANTINE_REASONS, REJECT_REASONS } from './reasons.ts'
import {
  type Counts,
  type LedgerInputs,
  type Sample,
  type ShardSample,
  undelivered,
} from './sample.ts'

/** docs/ledger.md explains each (a test compares them). */
export const CHECKS = [
  'frames_lost', // received, no longer on a ring, and not decoded
  'frames_extra', // decoded, and never received
  'messages', // messages = decoded + ignored + rejected
  'records', // records = accepted + duplicate + quarantined
  'quarantined', // quarantined = the sum of its reasons
  'published', // accepted = published on the tick ring
  'positions', // stored ≤ durable ≤ written ≤ published
  'stored', // stored position = records stored + refused, since the store connected
  'delivered', // published to subscribers = delivered + skipped
  'subscriptions', // the same of each subscription that ended
  'journal_start', // the journal begins at or after what had been durable
] as const
export type Check = (typeof CHECKS)[number]

export interface Finding {
  readonly check: Check
  /** 'source push', 'shard 0', 'serve-1'. */
  readonly subject: string
  /** What is missing (positive) or too much (negative), in the check's unit. */
  readonly amount: number
  /** The numbers it was concluded from. */
  readonly evidence: Readonly<Record<string, number>>
}

export const SUSTAINED = 3

export function ignoredSum(decode: Counts<'decode'>): number {
  return IGNORE_REASONS.reduce((sum, reason) => sum + decode[`ignored_${reason}`], 0)
}

export function rejectedSum(decode: Counts<'decode'>): number {
  return REJECT_REASONS.reduce((sum, reason) => sum + decode[`rejected_${reason}`], 0)
}

/** What does not balance in a sample by itself. */
export function check(inputs: LedgerInputs, sample: Sample): Finding[] {
  const findings: Finding[] = []
  const found = (
    name: Check,
    subject: string,
    amount: number,
    evidence: Readonly<Record<string, number>>,
  ) => {
    if (amount !== 0) findings.push({ check: name, subject, amount, evidence })
  }
  for (let i = 0; i < inputs.sources.length; i++) checkSource(inputs, sample, i, found)
  inputs.shards.forEach(({ shard, startSeq }, i) => {
    const now = sample.shards[i] as ShardSample
    const { published, written, durable, stored, uncounted } = now
    const subject = `shard ${shard}`
    const evidence = { start: startSeq, published, written, durable, stored: stored ?? -1 }
    found('published', subject, uncounted, { ...evidence, uncounted })
    found('positions', subject, disorder(now), evidence)
  })
  inputs.serve.forEach(({ role }, i) => {
    const serve = sample.serve[i] as Sample['serve'][number]
    const { records_published, records_delivered, records_skipped } = serve
    const evidence = { records_published, records_delivered, records_skipped }
    found('delivered', role, undelivered(serve), evidence)
    const { subscriptions_unbalanced } = serve
    found('subscriptions', role, subscriptions_unbalanced, { subscriptions_unbalanced })
  })
  return findings
}

type Found = (
  name: Check,
  subject: string,
  amount: number,
  evidence: Readonly<Record<string, number>>,
) => void

function checkSource(inputs: LedgerInputs, sample: Sample, i: number, found: Found): void {
  const source = inputs.sources[i] as LedgerInputs['sources'][number]
  const { before, after, decode } = sample.sources[i] as Sample['sources'][number]
  const shardIndex = inputs.shards.findIndex(({ shard }) => shard === source.shard)
  const { fillBytes } = sample.shards[shardIndex] as ShardSample
  const subject = `source ${source.name}`
  const frames = { received: before.frames, received_after: after.frames, decoded: decode.frames }
  const bytes = { bytes_received: before.bytes, bytes_decoded: decode.bytes, ring_bytes: fillBytes }
  // A frame is on the ring until it is counted: the ring bounds what may be under way.
  const missing = before.frames - decode.frames
  const isOnRing = before.bytes - decode.bytes <= fillBytes && (missing <= 0 || fillBytes > 0)
  found('frames_lost', subject, isOnRing ? 0 : Math.max(1, missing), { ...frames, ...bytes })
  found('frames_extra', subject, Math.max(0, decode.frames - after.frames), frames)
  const { messages, messages_decoded: decoded } = decode
  const ignored = ignoredSum(decode)
  const rejected = rejectedSum(decode)
  const kinds = { messages, decoded, ignored, rejected }
  found('messages', subject, messages - decoded - ignored - rejected, kinds)
  const { records, records_accepted: accepted, records_duplicate: duplicate } = decode
  const { records_quarantined: quarantined } = decode
  const fates = { records, accepted, duplicate, quarantined }
  found('records', subject, records - accepted - duplicate - quarantined, fates)
  const reasons = QUARANTINE_REASONS.reduce((sum, one) => sum + decode[`quarantined_${one}`], 0)
  found('quarantined', subject, quarantined - reasons, { quarantined, reasons })
}

/** By how much a later position is ahead of an earlier one. */
function disorder({ stored, durable, written, published }: ShardSample): number {
  return (
    Math.max(0, (stored ?? 0) - durable) +
    Math.max(0, durable - written) +
    Math.max(0, written - published)
  )
}

/** Tells imbalances from accidents of the instant. */
export class Watch {
  readonly #inputs: LedgerInputs
  /** The last findings in a row of each check and subject: at most SUSTAINED, newest last. */
  #streaks = new Map<string, readonly Finding[]>()
  /** By shard: since when the store's counts go with its position. */
  readonly #stores = new Map<number, { link: string; base: number; isSure: boolean }>()

  constructor(inputs: LedgerInputs) {
    this.#inputs = inputs
  }

  /** The imbalances that stand, after one more sample. */
  look(sample: Sample): Finding[] {
    const streaks = new Map<string, readonly Finding[]>()
    for (const finding of [...check(this.#inputs, sample), ...this.#checkStores(sample)]) {
      const key = `${finding.check} ${finding.subject}`
      const known = this.#streaks.get(key) ?? []
      const goesOn = known.every(({ amount }) => Math.sign(amount) === Math.sign(finding.amount))
      streaks.set(key, [...(goesOn ? known : []), finding].slice(-SUSTAINED))
    }
    this.#streaks = streaks
    return [...streaks.values()].filter(({ length }) => length === SUSTAINED).map(smallest)
  }

  /**
   * The store's position against its own counts, as long as it stays connected: at each connection
   * the database itself says anew where it stands.
   */
  #checkStores(sample: Sample): Finding[] {
    return this.#inputs.shards.flatMap(({ shard }, i): Finding[] => {
      const { stored, postgres } = sample.shards[i] as ShardSample
      if (stored === undefined || postgres.connected !== 1) {
        this.#stores.delete(shard)
        return []
      }
      const { records, records_refused: refused, records_lost: lost, connects } = postgres
      const link = `${connects} ${lost}`
      const known = this.#stores.get(shard)
      const base = stored - records - refused
      // The first reading may fall between a commit's position and its count: two must agree.
      if (known === undefined || known.link !== link || !(known.isSure || known.base === base)) {
        this.#stores.set(shard, { link, base, isSure: false })
        return []
      }
      known.isSure = true
      const amount = base - known.base
      // Lost ones are passed over with the first batch after the connection.
      if (amount === 0 || (amount > 0 && amount <= lost)) return []
      const evidence = { stored, records, refused, lost, base: known.base }
      return [{ check: 'stored', subject: `shard ${shard}`, amount, evidence }]
    })
  }
}

function smallest(findings: readonly Finding[]): Finding {
  return findings.reduce((least, one) =>
    Math.abs(one.amount) < Math.abs(least.amount) ? one : least,
  )
}
