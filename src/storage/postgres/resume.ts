// Where to go on in the journal after what the database has; loss and a foreign journal are told.

import { TickdError } from '../../errors.ts'
import type { CounterName } from '../../ops/counter-catalog.ts'
import type { CounterSet } from '../../ops/counters.ts'
import type { IncidentReport } from '../../ops/incidents.ts'
import type { Log } from '../../ops/log.ts'

export interface ResumeOptions {
  readonly shard: number
  /** Next sequence after the durable ones; oldest one still in the journal. */
  readonly durable: () => number
  readonly oldest: () => number
  readonly counters: CounterSet<CounterName<'postgres'>>
  readonly log: Log
  readonly raise?: ((report: IncidentReport) => void) | undefined
}

/** The sequence to read from. Throws POSTGRES_CONFLICT: the database is ahead of the journal. */
export function resumeSeq(committed: number, options: ResumeOptions): number {
  const { shard, counters, log, durable, oldest } = options
  if (committed > durable()) {
    throw new TickdError(
      'POSTGRES_CONFLICT',
      `shard ${shard}: the database holds records up to ${committed - 1}, and the journal ends ` +
        `at ${durable() - 1}: it is not the journal these were stored from; bring that one ` +
        'back, or set postgres.schema to another name',
    )
  }
  const from = Math.max(committed, oldest())
  if (from > committed) {
    const lost = { shard, from: committed, to: from - 1, records: from - committed }
    counters.add('records_lost', lost.records)
    log.error(lost, 'records left the journal before they were stored: they are lost here')
    const summary = `records of shard ${shard} left the journal before PostgreSQL had them`
    options.raise?.({ kind: 'records_lost', severity: 'critical', summary, evidence: lost })
  }
  return from
}
