// Incidents: what an operator must know of even if nobody reads the log when it happens.
//
// Raised by the main thread, or by any thread through a message to it (FactoryOptions.raise). Each
// is a line of `incidents.jsonl` in the state directory (fsynced), a log line and a count. It is
// not a log: an incident is rare, has a kind of the closed list below, and carries the evidence
// from which it was concluded. docs/incidents.md says what each kind means and what to do.
//
// Bounded: the file keeps the newest INCIDENTS_MAX and INCIDENT_FILE_BYTES_MAX; evidence that is
// too long is replaced by its beginning; the same kind and summary again within
// INCIDENT_REPEAT_MS is counted and not written.

import {
  closeSync,
  existsSync,
  fsyncSync,
  openSync,
  readFileSync,
  renameSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import path from 'node:path'
import type { Clock } from '../clock.ts'
import { errorText } from '../errors.ts'
import {
  INCIDENT_EVIDENCE_LENGTH_MAX,
  INCIDENT_FILE_BYTES_MAX,
  INCIDENT_REPEAT_MS,
  INCIDENTS_MAX,
} from '../limits.ts'
import { formatTime } from '../tick/time.ts'
import { type CounterName, counterNames } from './counter-catalog.ts'
import { CounterSet } from './counters.ts'
import type { Log } from './log.ts'

/** Append only; docs/incidents.md explains each (a test compares them). */
export const INCIDENT_KINDS = [
  'ledger_imbalance', // counts that must agree do not
  'ledger_interrupted', // the daemon ended without closing its last minute
  'ledger_damaged', // lines of the ledger's own file are not what was written
  'journal_lost', // the journal is gone, or ends before what was durable
  'journal_damaged', // blocks of the journal are not what was written
  'frames_lost', // a venue's frames found no room: how many, from when to when
  'journal_held', // the disk takes no more of the journal: ingest is held back
  'database_restored', // a store's position is not where we left it
  'records_lost', // records left the journal before a store had them
  'records_refused', // a store refused records for good; they are dead letters
  'poison_frame', // a frame crashed decode twice, and is a dead letter
  'agent_restarted', // an agent threw, hung or died, and was made anew
  'store_held', // a store answers, and takes nothing until somebody mends it
] as const
export type IncidentKind = (typeof INCIDENT_KINDS)[number]

export const SEVERITIES = ['notice', 'warning', 'critical'] as const
/** critical: something was lost, or is not what it claims to be. */
export type Severity = (typeof SEVERITIES)[number]

const LOGGED_AS = { notice: 'info', warning: 'warn', critical: 'error' } as const

/** What is raised. Plain data: it may cross threads, and becomes JSON. */
export interface IncidentReport {
  readonly kind: IncidentKind
  readonly severity: Severity
  /** One sentence, the same for the same trouble: repeats are recognised by it. */
  readonly summary: string
  readonly evidence: Readonly<Record<string, unknown>>
}

/** A report as it is kept: with a number that grows by one across starts, and its time, UTC. */
export interface Incident extends IncidentReport {
  readonly id: number
  readonly at: string
  /** Times the same was raised, and not written, since the last one of it that was. */
  readonly repeats: number
}

export interface IncidentsOptions {
  readonly path: string
  readonly clock: Clock
  readonly log: Log
}

export class Incidents {
  readonly #options: IncidentsOptions
  #counters: CounterSet<CounterName<'incidents'>> = new CounterSet(counterNames('incidents'))
  /** Oldest first; at most INCIDENTS_MAX. */
  #kept: Incident[]
  #fileBytes: number
  #idLast: number
  /** By kind and summary: when it was written last, and how often it came since. */
  readonly #recent = new Map<string, { atMs: number; repeats: number }>()

  constructor(options: IncidentsOptions) {
    this.#options = options
    const { incidents, sizeBytes, isWhole } = readIncidents(options.path)
    this.#kept = incidents.slice(-INCIDENTS_MAX)
    this.#fileBytes = sizeBytes
    this.#idLast = this.#kept.at(-1)?.id ?? 0
    if (!isWhole) this.#rewrite()
  }

  /** Keeps, logs and counts. Never throws: a disk that refuses is logged, memory still has it. */
  raise(report: IncidentReport): void {
    const { clock, log } = this.#options
    const counters = this.#counters
    const key = `${report.kind} ${report.summary}`
    const nowMs = clock.monoMs()
    const recent = this.#recent.get(key)
    if (recent !== undefined && nowMs - recent.atMs < INCIDENT_REPEAT_MS) {
      recent.repeats++
      counters.add('repeated')
      return
    }
    clock.read()
    const incident: Incident = {
      id: ++this.#idLast,
      at: formatTime(clock.sec, clock.nsec),
      kind: report.kind,
      severity: report.severity,
      summary: report.summary,
      repeats: recent?.repeats ?? 0,
      evidence: bounded(report.evidence),
    }
    this.#remember(key, nowMs)
    counters.add('raised')
    if (report.severity === 'critical') counters.add('critical')
    const { id, kind, severity, summary, evidence } = incident
    log[LOGGED_AS[severity]]({ incident: id, kind, severity, evidence }, summary)
    this.#keep(incident)
  }

  /** Counts in shared memory from now on: incidents of the start come before there is any. */
  countIn(counters: CounterSet<CounterName<'incidents'>>): void {
    for (const name of counters.names) counters.add(name, this.#counters.get(name))
    this.#counters = counters
  }

  /** Those with an id above `afterId`, oldest first. */
  list(afterId = 0): readonly Incident[] {
    return this.#kept.filter(({ id }) => id > afterId)
  }

  #remember(key: string, nowMs: number): void {
    this.#recent.delete(key)
    this.#recent.set(key, { atMs: nowMs, repeats: 0 })
    const [oldest] = this.#recent.keys()
    if (this.#recent.size > INCIDENTS_MAX && oldest !== undefined) this.#recent.delete(oldest)
  }

  #keep(incident: Incident): void {
    this.#kept.push(incident)
    const line = Buffer.from(`${JSON.stringify(incident)}\n`)
    const isFull = this.#fileBytes + line.length > INCIDENT_FILE_BYTES_MAX
    if (isFull || this.#kept.length > INCIDENTS_MAX) {
      this.#kept = this.#kept.slice(-INCIDENTS_MAX / 2)
      this.#rewrite()
      return
    }
    this.#write('a', line)
    this.#fileBytes += line.length
  }

  /** The file anew, from memory: what it holds is never half-written. */
  #rewrite(): void {
    const bytes = Buffer.from(this.#kept.map((one) => `${JSON.stringify(one)}\n`).join(''))
    this.#fileBytes = bytes.length
    this.#write('w', bytes)
  }

  #write(how: 'a' | 'w', bytes: Buffer): void {
    const { path: target, log } = this.#options
    try {
      if (how === 'w') {
        writeFileSync(`${target}.new`, bytes, { mode: 0o640, flush: true })
        renameSync(`${target}.new`, target)
      } else {
        append(target, bytes)
      }
    } catch (error) {
      log.error({ file: path.basename(target), error: errorText(error) }, 'incident not written')
      // There may be half a line now: the next one writes the file anew.
      this.#fileBytes = Number.POSITIVE_INFINITY
    }
  }
}

/** What the file holds; a torn last line, or one that is no incident, is passed over. */
export function readIncidents(file: string): {
  incidents: Incident[]
  sizeBytes: number
  isWhole: boolean
} {
  if (!existsSync(file)) return { incidents: [], sizeBytes: 0, isWhole: true }
  const text = readFileSync(file, 'utf8')
  const incidents: Incident[] = []
  const lines = text.split('\n')
  let isWhole = lines.pop() === ''
  for (const line of lines) {
    const incident = parse(line)
    if (incident === undefined) isWhole = false
    else incidents.push(incident)
  }
  return { incidents, sizeBytes: Buffer.byteLength(text), isWhole }
}

function parse(line: string): Incident | undefined {
  try {
    const value = JSON.parse(line) as Partial<Incident> | null
    const isIncident = typeof value?.id === 'number' && typeof value.kind === 'string'
    return isIncident ? (value as Incident) : undefined
  } catch {
    return undefined
  }
}

function bounded(evidence: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> {
  const text = JSON.stringify(evidence)
  if (text.length <= INCIDENT_EVIDENCE_LENGTH_MAX) return evidence
  return { cut: text.slice(0, INCIDENT_EVIDENCE_LENGTH_MAX), length: text.length }
}

function append(file: string, bytes: Buffer): void {
  const fd = openSync(file, 'a', 0o640)
  try {
    for (let written = 0; written < bytes.length; ) written += writeSync(fd, bytes, written)
    fsyncSync(fd)
  } finally {
    closeSync(fd)
  }
}
