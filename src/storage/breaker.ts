// A circuit breaker: when to try a dependency that fails, and when to leave it alone.
//
//   closed ──failures in a row, or one that opens at once──→ open ──its wait is over──→ half-open
//     ↑                                                       ↑                            │
//     └────────────────── the probe succeeds ─────────────────┼──── the probe fails ───────┘
//
// Closed: every attempt may go ahead. Open: none. Half-open: one, the probe, decides. Waits double
// up to a cap, with jitter, so that a thousand daemons do not come back in step; they begin at the
// shortest again only once the breaker has been closed for a while: a dependency that takes one
// probe and then fails is not hammered. Time and randomness are given; it has no timer of its own.
//
// One thread owns it. Its state lies in counters, and its last error in a shared text, where
// /metrics and /readyz read them from any thread: `breakerReport`.

import type { Clock } from '../clock.ts'
import { assert } from '../errors.ts'
import { BREAKER_FAILURES_MAX, STORE_RETRY_MS_MAX, STORE_RETRY_MS_MIN } from '../limits.ts'
import type { CounterName } from '../ops/counter-catalog.ts'
import type { CounterSet } from '../ops/counters.ts'
import type { SharedText } from '../ring/shared-text.ts'

/** The order is that of the gauge `state`. */
export const BREAKER_STATES = ['closed', 'half-open', 'open'] as const
export type BreakerState = (typeof BREAKER_STATES)[number]

/** Where a breaker is to be seen from other threads. */
export interface BreakerBoard {
  readonly counters: CounterSet<CounterName<'breaker'>>
  readonly lastError: Pick<SharedText, 'read' | 'write'>
}

export interface BreakerOptions {
  /** The dependency: 'redis', 'postgres-0'. */
  readonly name: string
  readonly clock: Clock
  readonly board: BreakerBoard
  /** Failures in a row that open it. */
  readonly failuresMax?: number
  /** Gives [0, 1). */
  readonly random?: () => number
}

export class Breaker {
  readonly name: string
  readonly #options: BreakerOptions
  readonly #failuresMax: number
  #state: BreakerState = 'closed'
  #failures = 0
  #lastError = ''
  #stepMs = STORE_RETRY_MS_MIN
  #retryAtMs = Number.NEGATIVE_INFINITY
  #closedAtMs = Number.NEGATIVE_INFINITY
  #openedAtMs = Number.NEGATIVE_INFINITY

  constructor(options: BreakerOptions) {
    this.name = options.name
    this.#options = options
    this.#failuresMax = options.failuresMax ?? BREAKER_FAILURES_MAX
    assert(this.#failuresMax >= 1, 'a breaker opens after at least one failure')
    const { counters } = options.board
    counters.set('failures_in_row', 0)
    counters.set('retry_at_seconds', 0)
    this.#enter('closed')
  }

  get state(): BreakerState {
    return this.#state
  }

  /** Failures since the last success. */
  get failures(): number {
    return this.#failures
  }

  /** '' = none since it was made. */
  get lastError(): string {
    return this.#lastError
  }

  /** On the injected monotonic clock; -Infinity = never. */
  get openedAtMs(): number {
    return this.#openedAtMs
  }

  /** 0 = an attempt may go ahead now, or a probe is under way and its end will tell. */
  get retryInMs(): number {
    if (this.#state !== 'open') return 0
    return Math.max(0, this.#retryAtMs - this.#options.clock.monoMs())
  }

  /**
   * May an attempt begin? True while open once the wait is over: that attempt is the probe, and
   * until its `succeeded` or `failed` all others are told false.
   */
  tryNow(): boolean {
    if (this.#state === 'closed') return true
    if (this.#state === 'half-open' || this.retryInMs > 0) return false
    this.#options.board.counters.add('probes')
    this.#options.board.counters.set('retry_at_seconds', 0)
    this.#enter('half-open')
    return true
  }

  /** The dependency did what was asked of it. Cheap when all has been well. */
  succeeded(): void {
    if (this.#failures > 0) {
      this.#failures = 0
      this.#options.board.counters.set('failures_in_row', 0)
    }
    if (this.#state === 'closed') return
    this.#closedAtMs = this.#options.clock.monoMs()
    this.#options.board.counters.set('retry_at_seconds', 0)
    this.#enter('closed')
  }

  /**
   * An attempt failed. `opens`: it need not happen again to be believed, as with a dependency that
   * hangs, or that says no. Returns the wait until the next attempt, milliseconds.
   */
  failed(error: string, opens = false): number {
    const { counters, lastError } = this.#options.board
    this.#failures++
    this.#lastError = error
    lastError.write(error)
    counters.add('failures')
    counters.set('failures_in_row', this.#failures)
    counters.set('failed_at_seconds', this.#wallSeconds())
    // What was begun before it opened may fail after: the wait under way stands.
    if (this.#state === 'open') return this.retryInMs
    if (this.#state === 'closed' && this.#failures < this.#failuresMax && !opens) return 0
    return this.#open()
  }

  #open(): number {
    const { clock, board, random = Math.random } = this.#options
    const nowMs = clock.monoMs()
    if (this.#state === 'closed') {
      board.counters.add('opens')
      this.#openedAtMs = nowMs
      if (nowMs - this.#closedAtMs > STORE_RETRY_MS_MAX) this.#stepMs = STORE_RETRY_MS_MIN
    }
    const waitMs = this.#stepMs * (0.5 + random() / 2)
    this.#stepMs = Math.min(this.#stepMs * 2, STORE_RETRY_MS_MAX)
    this.#retryAtMs = nowMs + waitMs
    board.counters.set('retry_at_seconds', this.#wallSeconds() + waitMs / 1000)
    this.#enter('open')
    return waitMs
  }

  #enter(state: BreakerState): void {
    const { counters } = this.#options.board
    const wasClosed = this.#state === 'closed'
    this.#state = state
    counters.set('state', BREAKER_STATES.indexOf(state))
    // Between open and half-open it is the same outage.
    if (state === 'closed' || wasClosed) counters.set('since_seconds', this.#wallSeconds())
  }

  #wallSeconds(): number {
    const { clock } = this.#options
    clock.read()
    return clock.sec + clock.nsec / 1e9
  }
}

/** A breaker as /readyz shows it. Times are RFC 3339. */
export interface BreakerReport {
  readonly state: BreakerState
  /** Since when it is closed, or not closed; absent: nobody has used it yet. */
  readonly since?: string
  /** While open: when the next probe may begin. */
  readonly next_probe?: string
  readonly failures_in_row: number
  /** The latest error, which may be long over: see its time. */
  readonly last_error?: string
  readonly last_error_at?: string
}

export function breakerReport({ counters, lastError }: BreakerBoard): BreakerReport {
  const error = lastError.read()
  const state = BREAKER_STATES[counters.get('state')] ?? 'closed'
  return {
    state,
    ...timeField('since', counters.get('since_seconds')),
    ...(state === 'open' ? timeField('next_probe', counters.get('retry_at_seconds')) : {}),
    failures_in_row: counters.get('failures_in_row'),
    ...(error === '' ? {} : { last_error: error }),
    ...timeField('last_error_at', counters.get('failed_at_seconds')),
  }
}

/** 0 = never: no field. */
function timeField<Name extends string>(name: Name, seconds: number): { [key in Name]?: string } {
  if (seconds === 0) return {}
  return { [name]: new Date(seconds * 1000).toISOString() } as { [key in Name]: string }
}
