// The ledger of conservation: samples all counters once a second, closes a minute, keeps the book.
//
// Owned by the main thread; nothing is counted for its sake that was not counted before, and no
// other thread is stopped or asked. What the open minute has counted is in shared memory only: a
// daemon that is killed takes it along. The next start says so in the book (`interrupted`), with
// what the journal holds of that time, so that no minute is claimed that nobody closed.

import type { Clock } from '../clock.ts'
import { LEDGER_ANSWER_LINES_MAX, LEDGER_IMBALANCES_MAX } from '../limits.ts'
import type { CounterName } from '../ops/counter-catalog.ts'
import type { CounterSet } from '../ops/counters.ts'
import type { IncidentReport } from '../ops/incidents.ts'
import { formatTime } from '../tick/time.ts'
import { type AuditFinding, audit, journalLoss } from './audit.ts'
import type { LedgerBook } from './book.ts'
import { type Finding, Watch } from './checks.ts'
import {
  type Imbalance,
  type InterruptedLine,
  type LedgerLine,
  type MinuteLine,
  type Passage,
  passage,
  type ShardStart,
} from './minute.ts'
import { type LedgerInputs, type Sample, takeSample } from './sample.ts'

/** Call `turn` so often. */
export const LEDGER_EVERY_MS = 1000
const HOUR_SEC = 3600
const MINUTE_TEXT_LENGTH = '2026-11-20T21:35'.length

/** A store or reader: how far it is, and by how many records it is behind what feeds it. */
export interface StoreState {
  readonly position?: number
  readonly lag?: number
  readonly [detail: string]: number | string | boolean | undefined
}

export interface LedgerOptions {
  readonly inputs: LedgerInputs
  readonly stores: () => Readonly<Record<string, StoreState>>
  readonly book: LedgerBook
  readonly raise: (report: IncidentReport) => void
  readonly clock: Clock
  readonly counters: CounterSet<CounterName<'ledger'>>
}

/** What `GET /v1/ledger` answers; serve adds its subscribers. */
export interface LedgerReport {
  /** Everything balances: now, and in each line. */
  readonly ok: boolean
  readonly time: string
  readonly epoch: number
  readonly started: string
  readonly open: { readonly minute: string; readonly from: string } & Passage
  readonly lines: readonly LedgerLine[]
  /** There are older lines than these. */
  readonly more: boolean
  /** Since the start. */
  readonly totals: Passage
  readonly stores: Readonly<Record<string, StoreState>>
  /** That stand now. */
  readonly imbalances: readonly Imbalance[]
  /** In `lines`. */
  readonly findings: readonly AuditFinding[]
  readonly damaged_lines: number
}

export class Ledger {
  readonly #options: LedgerOptions
  readonly #watch: Watch
  readonly #epoch: number
  #started = ''
  /** The cut at which the open minute began; undefined = the start. */
  #cut: Sample | undefined
  #cutAt = ''
  /** That stand now, and that stood at any time in the open minute: by check and subject. */
  #standing = new Map<string, Finding>()
  readonly #seen = new Map<string, Finding>()

  constructor(options: LedgerOptions) {
    this.#options = options
    this.#watch = new Watch(options.inputs)
    this.#epoch = options.inputs.shards[0]?.epoch ?? 0
  }

  /** Opens the book, looks at how it ended, begins the first minute. */
  open(): void {
    const { book, inputs, counters } = this.#options
    const last = book.open()
    const now = this.#now()
    this.#started = now
    this.#cutAt = now
    const shards = inputs.shards.map(({ shard, journal, startSeq }) => {
      return { shard, journal, next_seq: startSeq }
    })
    const lines: LedgerLine[] = []
    if (last !== undefined) this.#tellLoss(last, shards)
    if (last !== undefined && !(last.type === 'minute' && last.end === 'stop')) {
      const interrupted = interruption(last, now, shards)
      lines.push(interrupted)
      counters.add('interruptions')
      const { epoch, from, at } = interrupted
      this.#options.raise({
        kind: 'ledger_interrupted',
        severity: 'warning',
        summary: 'the daemon had ended without closing its last minute; its counts are unknown',
        evidence: { epoch, from, at, shards: interrupted.shards },
      })
    }
    const damaged = counters.get('lines_damaged')
    if (damaged > 0) {
      this.#options.raise({
        kind: 'ledger_damaged',
        severity: 'warning',
        summary: 'lines of the ledger are not what was written; they are passed over',
        evidence: { lines: damaged },
      })
    }
    lines.push({ type: 'start', epoch: this.#epoch, at: now, shards })
    this.#append(lines)
  }

  /** A second has passed. */
  turn(): void {
    const { inputs, counters } = this.#options
    const sample = takeSample(inputs)
    counters.add('samples')
    this.#judge(this.#watch.look(sample))
    const now = this.#now()
    if (minuteOf(now) !== minuteOf(this.#cutAt)) this.#close(sample, now, 'minute')
    else this.#append([])
  }

  /** The daemon has stopped in order: everything is drained, the last minute is whole. */
  close(): void {
    this.#close(takeSample(this.#options.inputs), this.#now(), 'stop')
  }

  /** `since`: RFC 3339 with nine decimals, as formatTime prints it; undefined = the last hour. */
  report(since: string | undefined, source: string | undefined): LedgerReport {
    const { inputs, book, stores, clock } = this.#options
    const time = this.#now()
    const from = since ?? formatTime(Math.max(0, clock.sec - HOUR_SEC), clock.nsec)
    const { lines, more, damaged } = book.read(
      (line) => lineTime(line) >= from,
      LEDGER_ANSWER_LINES_MAX,
    )
    const sample = takeSample(inputs)
    const findings = audit(lines).slice(0, LEDGER_IMBALANCES_MAX)
    const imbalances = [...this.#standing.values()]
    return {
      ok: findings.length === 0 && imbalances.length === 0 && damaged === 0,
      time,
      epoch: this.#epoch,
      started: this.#started,
      open: {
        minute: minuteOf(this.#cutAt),
        from: this.#cutAt,
        ...ofSource(passage(inputs, this.#cut, sample), source),
      },
      lines: lines.map((line) => (line.type === 'minute' ? ofSource(line, source) : line)),
      more,
      totals: ofSource(passage(inputs, undefined, sample), source),
      stores: stores(),
      imbalances,
      findings,
      damaged_lines: damaged,
    }
  }

  #judge(findings: readonly Finding[]): void {
    const { counters } = this.#options
    const standing = new Map<string, Finding>()
    for (const finding of findings.slice(0, LEDGER_IMBALANCES_MAX)) {
      const key = `${finding.check} ${finding.subject}`
      standing.set(key, finding)
      this.#seen.set(key, finding)
      if (this.#standing.get(key)?.amount !== finding.amount) this.#tellImbalance(finding)
    }
    this.#standing = standing
    const amounts = findings.map(({ amount }) => Math.abs(amount))
    counters.set('imbalance', findings.length)
    counters.set(
      'imbalance_amount',
      amounts.reduce((sum, amount) => sum + amount, 0),
    )
  }

  #tellImbalance({ check, subject, amount, evidence }: Imbalance): void {
    this.#options.counters.add('imbalances')
    this.#options.raise({
      kind: 'ledger_imbalance',
      severity: 'critical',
      summary: `the ledger does not balance: ${check} of ${subject}`,
      evidence: {
        check,
        subject,
        amount,
        epoch: this.#epoch,
        minute: minuteOf(this.#cutAt),
        counts: evidence,
      },
    })
  }

  /** Records that were durable when the last minute was closed must still be in the journal. */
  #tellLoss(last: LedgerLine, shards: readonly ShardStart[]): void {
    if (last.type !== 'minute') return
    for (const loss of journalLoss(last.shards, shards)) this.#tellImbalance(loss)
  }

  #close(sample: Sample, now: string, end: MinuteLine['end']): void {
    const line: MinuteLine = {
      type: 'minute',
      epoch: this.#epoch,
      minute: minuteOf(this.#cutAt),
      from: this.#cutAt,
      to: now,
      end,
      ...passage(this.#options.inputs, this.#cut, sample),
      imbalances: [...this.#seen.values()],
    }
    this.#cut = sample
    this.#cutAt = now
    this.#seen.clear()
    this.#options.counters.add('minutes')
    this.#append([line])
  }

  #append(lines: readonly LedgerLine[]): void {
    const { book, clock } = this.#options
    book.append(lines, clock.sec * 1000)
  }

  #now(): string {
    const { clock } = this.#options
    clock.read()
    return formatTime(clock.sec, clock.nsec)
  }
}

/** When a line was written. */
export function lineTime(line: LedgerLine): string {
  return line.type === 'minute' ? line.to : line.at
}

/** '2026-11-20T21:35Z' of a time. */
function minuteOf(time: string): string {
  return `${time.slice(0, MINUTE_TEXT_LENGTH)}Z`
}

function interruption(
  last: LedgerLine,
  at: string,
  shards: readonly ShardStart[],
): InterruptedLine {
  const known = last.shards.map((one) => ({
    shard: one.shard,
    journal: one.journal,
    seq: 'durable' in one ? one.durable : 'to_seq' in one ? one.to_seq : one.next_seq,
  }))
  return {
    type: 'interrupted',
    epoch: last.epoch,
    from: lineTime(last),
    at,
    shards: shards.map(({ shard, journal, next_seq }) => {
      const before = known.find((one) => one.shard === shard && one.journal === journal)
      const from_seq = before?.seq ?? next_seq
      return { shard, journal, from_seq, to_seq: next_seq, records: next_seq - from_seq }
    }),
  }
}

/** Of the sources, only the one named. */
function ofSource<Part extends Passage>(part: Part, source: string | undefined): Part {
  if (source === undefined) return part
  const one = part.sources[source]
  return { ...part, sources: one === undefined ? {} : { [source]: one } }
}
