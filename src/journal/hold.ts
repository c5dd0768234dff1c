// The journal takes nothing now: since when, why, when to try again, when to say so again.
//
// A disk that refuses is not a crash. Records stay on the ring, which fills; decode and the sources
// are held back; and as soon as there is room everything goes on where it stood.

import { errorText, type TickdError } from '../errors.ts'
import type { CounterName } from '../ops/counter-catalog.ts'
import type { CounterSet } from '../ops/counters.ts'
import type { IncidentReport } from '../ops/incidents.ts'
import type { Log } from '../ops/log.ts'

/** A disk that refuses is tried again, and said again, this often. */
const RETRY_MS = 250
const LOG_MS = 10_000

export interface HoldOptions {
  shard: number
  log: Log
  counters: CounterSet<CounterName<'journal'>>
  raise?: ((report: IncidentReport) => void) | undefined
}

export class Hold {
  readonly #options: HoldOptions
  #sinceMs: number | undefined
  #retryDueMs = 0
  #logDueMs = 0
  /** Until when the time held is counted. */
  #countedMs = 0

  constructor(options: HoldOptions) {
    this.#options = options
    // An agent before this one may have failed while it held.
    options.counters.set('holding', 0)
    options.counters.set('over_budget', 0)
  }

  get isHeld(): boolean {
    return this.#sinceMs !== undefined
  }

  /** False while it is too early to try again. */
  mayTry(nowMs: number): boolean {
    return nowMs >= this.#retryDueMs
  }

  /** Another try failed with `error`, or the first. */
  hold(error: TickdError, nowMs: number): void {
    const { counters, log } = this.#options
    this.#retryDueMs = nowMs + RETRY_MS
    counters.set('over_budget', error.code === 'JOURNAL_FULL' ? 1 : 0)
    if (this.#sinceMs === undefined) this.#begin(error, nowMs)
    this.#count(nowMs)
    if (nowMs < this.#logDueMs) return
    this.#logDueMs = nowMs + LOG_MS
    const heldMs = Math.round(nowMs - (this.#sinceMs as number))
    log.error(
      { heldMs, code: error.code, error: errorText(error) },
      'the journal cannot grow: ingest is held back until the disk has room',
    )
  }

  /** It goes on. */
  release(nowMs: number): void {
    if (this.#sinceMs === undefined) return
    const { counters, log } = this.#options
    this.#count(nowMs)
    const heldMs = Math.round(nowMs - this.#sinceMs)
    this.#sinceMs = undefined
    this.#retryDueMs = 0
    counters.set('holding', 0)
    counters.set('over_budget', 0)
    log.info({ heldMs }, 'the journal goes on: the disk has room again')
  }

  #begin(error: TickdError, nowMs: number): void {
    const { shard, counters, raise } = this.#options
    this.#sinceMs = nowMs
    this.#logDueMs = nowMs
    this.#countedMs = nowMs
    counters.add('holds')
    counters.set('holding', 1)
    raise?.({
      kind: 'journal_held',
      severity: 'warning',
      summary: `The journal of shard ${shard} cannot grow: ingest is held back`,
      evidence: { shard, code: error.code, error: errorText(error) },
    })
  }

  #count(nowMs: number): void {
    this.#options.counters.add('held_seconds', (nowMs - this.#countedMs) / 1000)
    this.#countedMs = nowMs
  }
}
