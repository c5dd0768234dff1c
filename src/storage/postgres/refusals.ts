// Records that the database refuses for what is in them: found one by one, so that the rest of
// their batch is stored.
//
// The server mostly names the row (its line of the COPY). Where it does not, as with a deferred
// constraint, the range it refused is halved until one record is left: the good halves are stored
// on the way, so each step is a transaction that counts. A record found is a *culprit*: from then
// on the batch goes without it, and the same transaction notes it as refused.
//
// Bounded: so many culprits a minute. Beyond that it is no bad record but a rule that the feed does
// not meet, and to hold is better than to refuse everything.
//
// Invariants: a culprit is at or above the position that is committed; suspects lie in [from, to).

import { assert, TickdError } from '../../errors.ts'
import { STORE_REFUSALS_PER_MINUTE_MAX } from '../../limits.ts'
import type { DataRefusal } from './explain.ts'

const MINUTE_MS = 60_000

/** Thrown of a transaction that the server refused for what is in its rows: nothing is stored. */
export class RowsRefused extends Error {
  readonly why: DataRefusal
  /** The tick of the batch that the server named; -1 = it named none. */
  readonly index: number

  constructor(why: DataRefusal, index: number) {
    super(why.text)
    this.why = why
    this.index = index
  }
}

export class Refusals {
  /** Culprits that are not committed as refused yet, by sequence. */
  readonly culprits = new Map<number, DataRefusal>()
  /** End of the range that holds a culprit not yet found; 0 = none is suspected. */
  #suspectTo = 0
  #minuteStartMs = Number.NEGATIVE_INFINITY
  #minuteCount = 0

  /** The end of the next attempt from `from`, at most `to`: the first half of the suspects. */
  limit(from: number, to: number): number {
    const suspects = this.#suspectTo - from
    if (suspects <= 0) return to
    return Math.min(to, from + Math.ceil(suspects / 2))
  }

  /**
   * Records [from, to) were refused; `named` is the one that the server named, -1 = it named none.
   * Returns the culprit, or what comes instead: the range is to be halved, or no more may be
   * refused (too many were, or it is not for a record of the range).
   */
  refused(
    from: number,
    to: number,
    named: number,
    why: DataRefusal,
    nowMs: number,
  ): number | 'halved' | 'too many' {
    assert(from < to, 'what was refused is a range')
    const culprit = named < 0 && to - from === 1 ? from : named
    if (culprit < 0) {
      this.#suspectTo = to
      return this.#allKnown(from, to) ? 'too many' : 'halved'
    }
    assert(culprit >= from && culprit < to, 'a culprit is of the range that was refused')
    if (this.culprits.has(culprit) || !this.#mayRefuse(nowMs)) return 'too many'
    this.culprits.set(culprit, why)
    this.#suspectTo = 0
    return culprit
  }

  /** All before `seq` is committed. Returns how many culprits were among it. */
  committed(seq: number): number {
    if (this.#suspectTo <= seq) this.#suspectTo = 0
    if (this.culprits.size === 0) return 0
    let count = 0
    for (const culprit of this.culprits.keys()) {
      if (culprit >= seq) continue
      this.culprits.delete(culprit)
      count++
    }
    return count
  }

  #allKnown(from: number, to: number): boolean {
    for (let seq = from; seq < to; seq++) if (!this.culprits.has(seq)) return false
    return true
  }

  #mayRefuse(nowMs: number): boolean {
    if (nowMs - this.#minuteStartMs >= MINUTE_MS) {
      this.#minuteStartMs = nowMs
      this.#minuteCount = 0
    }
    if (this.#minuteCount >= STORE_REFUSALS_PER_MINUTE_MAX) return false
    this.#minuteCount++
    return true
  }
}

/** The trouble when `Refusals` refuses no more. */
export function tooManyRefused(why: DataRefusal): TickdError {
  return new TickdError(
    'POSTGRES_SCHEMA_CHANGED',
    `PostgreSQL refuses more than ${STORE_REFUSALS_PER_MINUTE_MAX} records a minute, the last ` +
      `with ${why.sqlState}: ${why.text}; storing holds, and records wait in the journal; look ` +
      'at the constraints and triggers of the table',
    { canRetry: true },
  )
}
