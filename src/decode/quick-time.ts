// hot path
// Times of day as text, whose second is mostly that of the line before.
//
// Reads 'YYYY-MM-DDTHH:MM:SS[.fraction]Z' in quotes, and leaves to the full decoder what is not
// plain. The nanoseconds since 1970 are kept as two words, low first.

import { writeSplit } from '../tick/fixed-point.ts'
import { parseTime, TIME_SEC_MAX } from '../tick/time.ts'
import { digitCount, digitValue, eightDigits } from './digit-words.ts'
import { skipString } from './json-scan.ts'
import { QuotedWord } from './quoted-word.ts'

const QUOTE = 0x22
const POINT = 0x2e
const ZERO = 0x30
const LETTER_Z = 0x5a
/** 'YYYY-MM-DDTHH:MM:SS'. */
const SECOND_BYTES = 19
const TWO_TO_32 = 4294967296
const POW10: readonly number[] = [1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9]

export class QuickTime {
  /** The second read last, as text and as words. */
  readonly #text = new QuotedWord()
  readonly #second = new Int32Array(2)
  readonly #parsed = { sec: 0, nsec: 0 }
  /** The time read last. */
  low = 0
  high = 0

  /** Behind the quoted time at `at`, or 0. 48 bytes can be read there. */
  read(bytes: Uint8Array, view: DataView, at: number, end: number): number {
    if (bytes[at] !== QUOTE) return 0
    if (!this.#text.isAt(view, at + 1)) return this.#newSecond(bytes, view, at, end)
    let next = at + 1 + SECOND_BYTES
    let nsec = 0
    if (bytes[next] === POINT) {
      const eight = eightDigits(view, next + 1)
      const ninth = (bytes[next + 9] as number) - ZERO
      if (eight >= 0 && ninth >= 0 && ninth <= 9 && bytes[next + 10] === LETTER_Z) {
        nsec = eight * 10 + ninth
        next += 10
      } else {
        const places = digitCount(view, next + 1)
        if (places === 0 || places > 9) return 0
        nsec = digitValue(view, next + 1, places) * (POW10[9 - places] as number)
        next += places + 1
      }
    }
    if (bytes[next] !== LETTER_Z || bytes[next + 1] !== QUOTE) return 0
    const low = ((this.#second[0] as number) >>> 0) + nsec
    this.low = low | 0
    this.high = (this.#second[1] as number) + (low >= TWO_TO_32 ? 1 : 0)
    return next + 2
  }

  #newSecond(bytes: Uint8Array, view: DataView, at: number, end: number): number {
    const behind = skipString(bytes, at, end)
    const parsed = this.#parsed
    if (behind <= 0 || !parseTime(bytes, at + 1, behind - 1, parsed)) return 0
    const second = this.#second
    writeSplit(second, 0, false, parsed.sec, parsed.nsec)
    this.low = second[0] as number
    this.high = second[1] as number
    writeSplit(second, 0, false, parsed.sec, 0)
    // In the last second of all not every nanosecond is a time.
    const isWhole = parsed.sec < TIME_SEC_MAX
    this.#text.keep(view, at + 1, isWhole ? SECOND_BYTES : 0)
    return behind
  }
}
