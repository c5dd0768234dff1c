// What the agent of the role `postgres` is given.

import type { Clock } from '../../clock.ts'
import type { Config } from '../../config/schema.ts'
import type { CounterName } from '../../ops/counter-catalog.ts'
import type { CounterSet } from '../../ops/counters.ts'
import type { IncidentReport } from '../../ops/incidents.ts'
import type { Log } from '../../ops/log.ts'
import type { SharedSeq } from '../../ring/shared-seq.ts'
import type { TickBatch } from '../../tick/batch.ts'
import type { InstrumentTable } from '../../tick/instruments.ts'
import type { BreakerBoard } from '../breaker.ts'
import type { CopyKernel } from './encode.ts'
import type { JournalFacts } from './resume.ts'
import type { WriterOptions } from './writer.ts'

/** What is needed of the journal's reader (src/journal/reader.ts). */
export interface StoreReader {
  /** Sequence of the next record. */
  readonly seq: number
  /** Epoch of the records last read: one a batch. */
  readonly epoch: number
  /** Ids of their journal and of the start that wrote them; '' = not known. */
  readonly journal: string
  readonly start: string
  read(out: TickBatch): number
  close(): void
}

/** Where refused records go: dead letters. Neither may throw. */
export interface RefusedRecords {
  /** `sequence`: of the record; `detail`: SQLSTATE and what the server said. */
  add(batch: TickBatch, index: number, sequence: number, detail: string): void
  close(): void
}

export interface PostgresAgentOptions {
  shard: number
  config: Config['postgres']
  /** Where the database is now. */
  url: () => string
  /** A reader of the shard's journal. */
  openReader: (fromSeq: number) => StoreReader
  /** Next sequence after the durable ones; oldest one still in the journal. */
  durable: () => number
  oldest: () => number
  /** What the database's position is compared with; not at all where it is not given. */
  journal?: JournalFacts
  /** POSITION.postgres: written here. */
  stored: SharedSeq
  /** POSITION.postgresFlushed: written here; the server is not asked where it is not given. */
  flushed?: SharedSeq
  instruments: InstrumentTable
  clock: Clock
  log: Log
  counters: CounterSet<CounterName<'postgres'>>
  /** Where the circuit breaker is seen. */
  breaker: BreakerBoard
  refused: RefusedRecords
  raise?: ((report: IncidentReport) => void) | undefined
  /** Asks for a duty cycle. */
  wake: () => void
  kernel?: CopyKernel
  /** As of the writer. */
  connect?: WriterOptions['connect']
  /** Numbers in [0, 1), for the jitter of waits. */
  random?: () => number
}
