// hot path
// Reading values one after the other in a single pass: what binance-flat.ts stands on.
//
// A quick way reads the plain form in which messages come almost always, and gives up at anything
// else: the full decoder then reads the message from its beginning. So nothing here says why a
// value is not plain; giving up is always right, taking what JSON.parse refuses never is. Plain
// means: no white space, no escapes, ASCII numbers of few digits, no signs but of decimals.
//
// Each function begins at `at` and moves it behind what it has read; where it gives up, `at` has no
// meaning. Reading past `end` is harmless (a caller compares `at` with it in the end) and bounded:
// every loop stops at the first byte that does not belong.

import { writeSplit } from '../tick/fixed-point.ts'

const QUOTE = 0x22
const COMMA = 0x2c
const MINUS = 0x2d
const POINT = 0x2e
const ZERO = 0x30
const BACKSLASH = 0x5c
const SPACE = 0x20

/** Digits of which a double holds every number. */
const WHOLE_DIGITS_MAX = 15
/** A split's low part has nine decimals; a whole part below this is in range at any scale. */
const SPLIT_DECIMALS = 9
const WHOLE_BELOW = 9_223_372_036
/** `"x":` as four bytes, first in the lowest: what they are for any letter x. */
const KEY_MASK = 0xffff00ff | 0
const KEY_FORM = 0x3a220022
const TRUE = 0x65757274
const FALS = 0x736c6166
/** Four digits at once. */
const FOUR_ZEROS = 0x30303030
const FOUR_SIXES = 0x06060606
const HIGH_HALVES = 0xf0f0f0f0 | 0
const POW10: readonly number[] = [1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9]

export class ByteCursor {
  bytes: Uint8Array = new Uint8Array(0)
  at = 0
  end = 0
  /** Of `bytes`, of which four can be read from `#fourLast` at the last. */
  view: DataView = new DataView(new ArrayBuffer(0))
  #fourLast = -4

  begin(bytes: Uint8Array, at: number, end: number): void {
    if (bytes !== this.bytes) {
      this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
      this.#fourLast = bytes.length - 4
    }
    this.bytes = bytes
    this.at = at
    this.end = end
  }

  /** Is the next byte this one? Moves behind it only if it is. */
  take(byte: number): boolean {
    if (this.bytes[this.at] !== byte) return false
    this.at++
    return true
  }

  /** The first `size` bytes of `text`, as they stand there. */
  text(text: Uint8Array, size = text.length): boolean {
    const { bytes, at } = this
    for (let i = 0; i < size; i++) if (bytes[at + i] !== text[i]) return false
    this.at = at + size
    return true
  }

  /** The one-letter key of a member, `"x":`; -1 for anything else. */
  letterKey(): number {
    const { at } = this
    if (at > this.#fourLast) return -1
    const four = this.view.getInt32(at, true)
    if ((four & KEY_MASK) !== KEY_FORM) return -1
    this.at = at + 4
    return (four >>> 8) & 0xff
  }

  /** A JSON number of 1 … 15 digits and nothing else; -1 otherwise. */
  whole(): number {
    const { bytes, at } = this
    const { view } = this
    let next = at
    let value = 0
    while (next <= this.#fourLast) {
      const four = fourDigits(view.getInt32(next, true))
      if (four < 0) break
      value = value * 10_000 + four
      next += 4
    }
    for (;;) {
      const digit = (bytes[next] as number) - ZERO
      if (!(digit >= 0 && digit <= 9)) break
      value = value * 10 + digit
      next++
    }
    const size = next - at
    if (size === 0 || size > WHOLE_DIGITS_MAX) return -1
    if (bytes[at] === ZERO && size > 1) return -1
    const after = bytes[next] as number
    if (after === POINT || (after | SPACE) === 0x65) return -1
    this.at = next
    return value
  }

  /** A JSON string that is a plain decimal, scaled, into words[index]. */
  quotedDecimal(decimals: number, words: Int32Array, index: number): boolean {
    if (!this.take(QUOTE) || !this.#decimal(decimals, words, index)) return false
    return this.take(QUOTE)
  }

  /** `-`? digits (`.` digits)?, scaled; ends at the first byte that does not belong. */
  #decimal(decimals: number, words: Int32Array, index: number): boolean {
    const { bytes } = this
    let next = this.at
    const isNegative = bytes[next] === MINUS
    if (isNegative) next++
    const first = next
    let whole = 0
    let digit = (bytes[next] as number) - ZERO
    while (digit >= 0 && digit <= 9) {
      whole = whole * 10 + digit
      digit = (bytes[++next] as number) - ZERO
    }
    if (next === first || next - first > WHOLE_DIGITS_MAX || whole >= WHOLE_BELOW) return false
    let fraction = 0
    if (digit === POINT - ZERO) {
      const point = next
      next++
      const { view } = this
      while (next <= this.#fourLast) {
        const four = fourDigits(view.getInt32(next, true))
        if (four < 0) break
        fraction = (Math.imul(fraction, 10_000) + four) | 0
        next += 4
      }
      digit = (bytes[next] as number) - ZERO
      while (digit >= 0 && digit <= 9) {
        fraction = (Math.imul(fraction, 10) + digit) | 0
        digit = (bytes[++next] as number) - ZERO
      }
      const places = next - point - 1
      if (places === 0 || places > decimals) return false
      fraction *= POW10[decimals - places] as number
    }
    this.at = next
    if (decimals === SPLIT_DECIMALS) {
      writeSplit(words, index, isNegative, whole, fraction)
      return true
    }
    const unit = POW10[SPLIT_DECIMALS - decimals] as number
    const a = Math.floor(whole / unit)
    const b = (whole - a * unit) * (POW10[decimals] as number) + fraction
    writeSplit(words, index, isNegative, a, b)
    return true
  }

  /** A JSON string without escapes. Its text is bytes[at before + 1, at - 1). */
  quoted(): boolean {
    const { bytes, end } = this
    let next = this.at + 1
    if (bytes[next - 1] !== QUOTE) return false
    for (; next < end; next++) {
      const byte = bytes[next] as number
      if (byte === QUOTE) {
        this.at = next + 1
        return true
      }
      if (byte < SPACE || byte === BACKSLASH) return false
    }
    return false
  }

  /** 1 = `true`, 0 = `false`, -1 = neither. */
  boolean(): number {
    const { at } = this
    if (at > this.#fourLast) return -1
    const four = this.view.getInt32(at, true)
    if (four === TRUE) {
      this.at = at + 4
      return 1
    }
    if (four !== FALS || this.bytes[at + 4] !== 0x65) return -1
    this.at = at + 5
    return 0
  }

  /** The comma before the next member. */
  comma(): boolean {
    return this.take(COMMA)
  }
}

/** The number that four ASCII digits, first in the lowest byte, stand for; -1 if one is none. */
function fourDigits(text: number): number {
  const digits = text ^ FOUR_ZEROS
  // A digit is below 10: six more leave its high half empty.
  if ((((digits + FOUR_SIXES) | digits) & HIGH_HALVES) !== 0) return -1
  const pairs = Math.imul(digits, 10) + (digits >>> 8)
  return (pairs & 0xff) * 100 + ((pairs >>> 16) & 0xff)
}
