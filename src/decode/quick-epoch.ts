// hot path
// Times in epoch milliseconds, whose first eight digits are mostly those of the time before.
//
// Reads whole JSON numbers of thirteen digits with a comma behind them, and leaves all others to
// the full decoder. Eight digits last for a hundred seconds: their nanoseconds since 1970 are kept
// as two words, low first, and the five behind them are added. 16 bytes can be read at `at`.

import { writeSplit } from '../tick/fixed-point.ts'
import { eightDigits, fourDigits } from './digit-words.ts'

const ZERO = 0x30
const FOUR_ZEROS = 0x30303030
const FOUR_SIXES = 0x06060606
const HIGH_HALVES = 0xf0f0f0f0 | 0
/** Three digits and a comma, first in the lowest byte. */
const ZEROS_COMMA = 0x2c303030
const THREE_SIXES = 0x00060606
const HIGH_HALVES_COMMA = 0xfff0f0f0 | 0
const SECONDS = 100
/** Whatever five digits follow eight below these, it is a time. */
const EIGHT_BELOW = 92_233_720
const NANOS_PER_MILLI = 1e6
const TWO_TO_32 = 4294967296

export class QuickEpoch {
  /** The eight digits as text (see eightBytes), and their nanoseconds. */
  #text = 0
  readonly #begin = new Int32Array(2)
  /** Milliseconds behind them. */
  #rest = 0

  constructor() {
    // Some time's, for the word is never to be that of another text.
    const text = new TextEncoder().encode('17000000')
    this.#keep(new DataView(text.buffer), 0)
  }

  /** Behind the time at `at`, and before the comma; or 0. */
  read(view: DataView, at: number): number {
    if (view.getFloat64(at, true) !== this.#text && !this.#keep(view, at)) return 0
    const four = view.getInt32(at + 8, true) ^ FOUR_ZEROS
    const last = view.getInt32(at + 10, true) ^ ZEROS_COMMA
    const others =
      (((four + FOUR_SIXES) | four) & HIGH_HALVES) |
      (((last + THREE_SIXES) | last) & HIGH_HALVES_COMMA)
    if (others !== 0) return 0
    this.#rest = fourDigits(four) * 10 + (last >>> 16)
    return at + 13
  }

  /** The time read last, in nanoseconds. */
  write(words: Int32Array, index: number): void {
    const begin = this.#begin
    const low = ((begin[0] as number) >>> 0) + this.#rest * NANOS_PER_MILLI
    words[index] = low | 0
    words[index + 1] = (begin[1] as number) + ((low / TWO_TO_32) | 0)
  }

  #keep(view: DataView, at: number): boolean {
    const eight = eightDigits(view, at)
    if (eight < 0 || eight >= EIGHT_BELOW || view.getUint8(at) === ZERO) return false
    this.#text = view.getFloat64(at, true)
    writeSplit(this.#begin, 0, false, eight * SECONDS, 0)
    return true
  }
}
