// hot path
// The event time of each instrument's last record, by kind: did this one come out of order?
//
// Not gap detection: that venues number trades densely is implied by none of them, so a jump of ids
// proves nothing here. Decoders know their venue's rules and record gaps themselves.
//
// Bounded: 8 bytes an instrument and kind, for instruments that were seen (INSTRUMENTS_MAX).

import { assert } from '../errors.ts'
import { INSTRUMENTS_MAX } from '../limits.ts'
import { compareI64 } from '../tick/fixed-point.ts'
import { KIND_COUNT } from '../tick/layout.ts'

const INSTRUMENTS_FIRST = 256
const WORDS_PER_INSTRUMENT = KIND_COUNT * 2

export class EventTimes {
  /** ns since 1970 (low, high) by instrument and kind; 0 = none yet, before any accepted time. */
  #times = new Int32Array(0)

  /** True when the time at word `at` of `words` is before that of the last record; remembers it. */
  isBehind(instrument: number, kind: number, words: Int32Array, at: number): boolean {
    const time = instrument * WORDS_PER_INSTRUMENT + kind * 2
    if (time >= this.#times.length) this.#grow(instrument)
    const times = this.#times
    const behind = compareI64(words, at, times, time) < 0
    times[time] = words[at] as number
    times[time + 1] = words[at + 1] as number
    return behind
  }

  #grow(instrument: number): void {
    assert(instrument <= INSTRUMENTS_MAX, 'an instrument id is within the table')
    const wanted = Math.max(instrument + 1, INSTRUMENTS_FIRST) * WORDS_PER_INSTRUMENT
    const limit = (INSTRUMENTS_MAX + 1) * WORDS_PER_INSTRUMENT
    const times = new Int32Array(Math.min(Math.max(wanted, this.#times.length * 2), limit))
    times.set(this.#times)
    this.#times = times
  }
}
