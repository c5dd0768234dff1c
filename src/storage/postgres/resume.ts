// Where to go on in the journal after what the database has; loss and a foreign journal are told.

import { TickdError } from '../../errors.ts'
import type { CounterName } from '../../ops/counter-catalog.ts'
import type { CounterSet } from '../../ops/counters.ts'
import type { IncidentReport } from '../../ops/incidents.ts'
import type { Log } from '../../ops/log.ts'
import type { StoredPosition } from './positions.ts'

export interface ResumeOptions {
  readonly shard: number
  /** Next sequence after the durable ones; oldest one still in the journal. */
  readonly durable: () => number
  readonly oldest: () => number
  readonly journal?: JournalFacts | undefined
  readonly counters: CounterSet<CounterName<'postgres'>>
  readonly log: Log
  readonly raise?: ((report: IncidentReport) => void) | undefined
}

/** Which journal this is. */
export interface JournalFacts {
  readonly id: string
  /** Where it began: no sequence below was ever its own. */
  readonly firstSeq: number
  /** Id of the start of the daemon that wrote a record; '' where that cannot be told. */
  readonly startOf: (seq: number) => string
}

export interface Resumption {
  /** The sequence to read from. */
  readonly fromSeq: number
  /** Set where the database's position is to be moved there first: whose records come next. */
  readonly journal: string | undefined
}

/** Throws POSTGRES_CONFLICT: what the database has is not of this journal, or goes beyond it. */
export function resume(found: StoredPosition | undefined, options: ResumeOptions): Resumption {
  const { shard, durable, journal } = options
  const { seq, journal: id, start } = found ?? { seq: 0, journal: '', start: '' }
  const isOther = id !== '' && journal !== undefined && id !== journal.id
  if (isOther && seq <= journal.firstSeq) {
    const at = { shard, stored_seq: seq, stored_journal: id, begins_at: journal.firstSeq }
    const summary = `the journal of shard ${shard} is a new one; PostgreSQL has records of another`
    options.log.error(at, 'a new journal: what the old one had and PostgreSQL has not is lost')
    options.raise?.({ kind: 'journal_lost', severity: 'critical', summary, evidence: at })
    return { fromSeq: firstThere(journal.firstSeq, options), journal: journal.id }
  }
  const startHere = seq > 0 && seq <= durable() ? (journal?.startOf(seq - 1) ?? '') : ''
  const why =
    seq > durable()
      ? `and the journal ends at ${durable() - 1}`
      : isOther
        ? `of journal ${id}, and this is ${journal.id}`
        : start !== '' && startHere !== '' && start !== startHere
          ? 'and the journal has others in their place: it was rolled back'
          : ''
  if (why === '') {
    const fromSeq = firstThere(Math.max(seq, journal?.firstSeq ?? 0), options)
    return { fromSeq, journal: fromSeq > seq ? (journal?.id ?? id) : undefined }
  }
  throw new TickdError(
    'POSTGRES_CONFLICT',
    `shard ${shard}: the database holds records up to ${seq - 1}, ${why}: it is not the journal ` +
      'these were stored from; bring that one back, or set postgres.schema to another name, or ' +
      'move the shard’s journal away, so that a new one begins beyond these records',
  )
}

/** The first sequence from `wanted` on that is still in the journal; what is not is lost. */
function firstThere(wanted: number, options: ResumeOptions): number {
  const { shard, counters, log, oldest, raise } = options
  const from = Math.max(wanted, oldest())
  if (from > wanted) {
    const lost = { shard, from: wanted, to: from - 1, records: from - wanted }
    counters.add('records_lost', lost.records)
    log.error(lost, 'records left the journal before they were stored: they are lost here')
    const summary = `records of shard ${shard} left the journal before PostgreSQL had them`
    raise?.({ kind: 'records_lost', severity: 'critical', summary, evidence: lost })
  }
  return from
}
