// hot path
// The ids of each instrument's trades: one that leaps over some shows that those did not come.
//
// Binance numbers the trades of a symbol one by one (`t`; aggregates, `a`, likewise), which its
// documents imply and do not promise. A leap is counted, and recorded: a status record, status
// `gap`, code `trade`, p1 … p2 = the ids, before the trade that revealed it. So a lost connection
// or dropped frames are told by what they cost. No book is touched by it, and nothing asked for.
//
// An id at or below the greatest seen is a repeat, or late: no leap. What came before the first
// trade of an instrument is not known. Should a venue begin its numbers anew, leaps are seen again
// once they have passed the old ones.
//
// Bounded: 8 bytes an instrument.

import { assert } from '../errors.ts'
import { INSTRUMENTS_MAX } from '../limits.ts'
import type { TickBatch } from '../tick/batch.ts'
import { writeInteger, writeNull } from '../tick/fixed-point.ts'
import { FLAG, KIND, SIDE, STATUS, TICK_WORDS, WORD } from '../tick/layout.ts'
import { type DecodeTally, EVENT } from './decoder.ts'

const INSTRUMENTS_FIRST = 256
const HIGH_WORD = 4_294_967_296

export class TradeChain {
  /** By instrument: the id that comes next; 0 = no trade has come. */
  #next = new Float64Array(0)

  /** The trade that was just accepted is the last record of `out`. */
  follow(out: TickBatch, tally: DecodeTally): void {
    const { words } = out
    const at = (out.count - 1) * TICK_WORDS
    const instrument = words[at + WORD.instrument] as number
    const high = words[at + WORD.p2 + 1] as number
    const id = high * HIGH_WORD + ((words[at + WORD.p2] as number) >>> 0)
    if (instrument >= this.#next.length) this.#grow(instrument)
    const next = this.#next[instrument] as number
    if (id < next) return
    // Beyond what a double holds exactly, and for a null, there is nothing to be said.
    if (!(id >= 0 && id < Number.MAX_SAFE_INTEGER)) return
    this.#next[instrument] = id + 1
    if (id > next && next > 0) record(next, id - 1, out, tally)
  }

  #grow(instrument: number): void {
    assert(instrument <= INSTRUMENTS_MAX, 'an instrument id is within the table')
    const wanted = Math.max(instrument + 1, INSTRUMENTS_FIRST, this.#next.length * 2)
    const next = new Float64Array(Math.min(wanted, INSTRUMENTS_MAX + 1))
    next.set(this.#next)
    this.#next = next
  }
}

/** Puts the record of a leap over the ids [from, to] before the last record of `out`. */
function record(from: number, to: number, out: TickBatch, tally: DecodeTally): void {
  tally.gaps++
  tally.idsMissing += to - from + 1
  const { count, words } = out
  const index = count - 1
  if (count >= out.capacity) return
  out.move(index, count)
  out.count = count + 1
  tally.origins[2 * count] = tally.origins[2 * index] as number
  tally.origins[2 * count + 1] = tally.origins[2 * index + 1] as number
  out.setKindSide(index, KIND.status, SIDE.none)
  out.setAction(index, STATUS.gap)
  out.addFlags(index, FLAG.SYNTHETIC)
  const at = index * TICK_WORDS
  writeInteger(words, at + WORD.p0, KIND.trade)
  writeInteger(words, at + WORD.p1, from)
  writeInteger(words, at + WORD.p2, to)
  writeNull(words, at + WORD.p3)
  tally.records++
  tally.events[EVENT.status] = (tally.events[EVENT.status] as number) + 1
}
