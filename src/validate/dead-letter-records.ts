// Which records of dead letters a journal holds: a multiset of records, compared by what does not
// change on the way (not flags, nor an event time that validation may have replaced).

import { OFFSET, TICK_BYTES } from '../tick/layout.ts'

/** Instrument, source, kind, side, then action, market, interval, then the payload. */
const PARTS = [
  [OFFSET.ts_recv, OFFSET.flags],
  [OFFSET.action, TICK_BYTES],
] as const

export class RecordCounts {
  /** By key: how many are wanted, and how many were found. */
  readonly #counts = new Map<string, { wanted: number; found: number }>()

  want(key: string): void {
    const count = this.#counts.get(key)
    if (count === undefined) this.#counts.set(key, { wanted: 1, found: 0 })
    else count.wanted++
  }

  /** A record of the journal. Others than those that are wanted are passed over. */
  found(tick: Uint8Array): void {
    const count = this.#counts.get(recordKey(tick))
    if (count !== undefined) count.found++
  }

  /** Those of the packed ticks that were not found. A found one answers for one of its equals. */
  missing(ticks: Uint8Array): Uint8Array {
    const left: Uint8Array[] = []
    for (let at = 0; at < ticks.length; at += TICK_BYTES) {
      const tick = ticks.subarray(at, at + TICK_BYTES)
      const count = this.#counts.get(recordKey(tick))
      if (count !== undefined && count.found > 0) count.found--
      else left.push(tick)
    }
    return Buffer.concat(left)
  }
}

/** The keys of packed ticks. */
export function recordKeys(ticks: Uint8Array): string[] {
  const keys: string[] = []
  for (let at = 0; at < ticks.length; at += TICK_BYTES) {
    keys.push(recordKey(ticks.subarray(at, at + TICK_BYTES)))
  }
  return keys
}

function recordKey(tick: Uint8Array): string {
  const bytes = Buffer.from(tick.buffer, tick.byteOffset, tick.byteLength)
  return PARTS.map(([from, end]) => bytes.toString('latin1', from, end)).join('')
}
