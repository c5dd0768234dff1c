// hot path
// Numbers in messages in their plain form, as JSON numbers or in quotes: decimals, whole numbers.
//
// Plain means: no exponent, few digits. Each function returns the offset behind the value, or 0
// where it is not plain, and then has written nothing; the full decoder says what it is. 48 bytes
// can be read at `at`. What may come behind a value is the caller's matter.

import { writeSplit, writeWhole } from '../tick/fixed-point.ts'
import { digitCount, digitValue, eightDigits, fourDigits } from './digit-words.ts'

const QUOTE = 0x22
const MINUS = 0x2d
const POINT = 0x2e
const ZERO = 0x30
/** Digits of which a double holds every number. */
const WHOLE_DIGITS_MAX = 15
/** A whole part below this is in range at any scale. */
const WHOLE_BELOW = 9_223_372_036
const EXACT_BELOW = 2 ** 53
const EIGHT_PLACES = 1e8
const FOUR_ZEROS = 0x30303030
const FOUR_SIXES = 0x06060606
const HIGH_HALVES = 0xf0f0f0f0 | 0
const BILLION = 1_000_000_000
const POW10: readonly number[] = [1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9]

/** A decimal times 10^decimals into words[index]. */
export function quickDecimal(
  bytes: Uint8Array,
  view: DataView,
  at: number,
  decimals: number,
  words: Int32Array,
  index: number,
): number {
  const isQuoted = bytes[at] === QUOTE
  const sign = isQuoted ? at + 1 : at
  const isNegative = bytes[sign] === MINUS
  const first = isNegative ? sign + 1 : sign
  const count = digitCount(view, first)
  if (count === 0 || count > WHOLE_DIGITS_MAX) return 0
  // JSON numbers have no leading zeros.
  if (!isQuoted && count > 1 && bytes[first] === ZERO) return 0
  const whole = digitValue(view, first, count)
  if (whole >= WHOLE_BELOW) return 0
  let next = first + count
  let fraction = 0
  if (bytes[next] === POINT) {
    const places = digitCount(view, next + 1)
    if (places === 0 || places > decimals) return 0
    fraction = digitValue(view, next + 1, places) * (POW10[decimals - places] as number)
    next += places + 1
  }
  if (isQuoted && bytes[next++] !== QUOTE) return 0
  const unit = POW10[decimals] as number
  const scaled = whole * unit + fraction
  if (scaled < EXACT_BELOW && !isNegative) writeWhole(words, index, scaled)
  else writeLarge(words, index, isNegative, whole, fraction, unit)
  return next
}

/** whole x unit + fraction, where a double may not hold it. */
function writeLarge(
  words: Int32Array,
  index: number,
  isNegative: boolean,
  whole: number,
  fraction: number,
  unit: number,
): void {
  const perBillion = BILLION / unit
  const a = Math.floor(whole / perBillion)
  writeSplit(words, index, isNegative, a, (whole - a * perBillion) * unit + fraction)
}

/** A whole number into words[index]. */
export function quickInteger(
  bytes: Uint8Array,
  view: DataView,
  at: number,
  words: Int32Array,
  index: number,
): number {
  const isQuoted = bytes[at] === QUOTE
  const first = isQuoted ? at + 1 : at
  const count = digitCount(view, first)
  if (count === 0 || count > WHOLE_DIGITS_MAX) return 0
  if (count > 1 && bytes[first] === ZERO) return 0
  const next = first + count
  if (isQuoted && bytes[next] !== QUOTE) return 0
  writeWhole(words, index, digitValue(view, first, count))
  return isQuoted ? next + 1 : next
}

/**
 * As quickDecimal, of one that has a point, 1 … 7 digits before it and 1 … 8 behind it; `at` is
 * behind its opening quote. `unit` = 10^decimals, which are eight or nine.
 */
export function plainDecimal(
  view: DataView,
  at: number,
  unit: number,
  words: Int32Array,
  index: number,
): number {
  let whole = 0
  let next = at
  let digits = view.getInt32(at, true) ^ FOUR_ZEROS
  let others = ((digits + FOUR_SIXES) | digits) & HIGH_HALVES
  if (others === 0) {
    whole = fourDigits(digits)
    next = at + 4
    digits = view.getInt32(next, true) ^ FOUR_ZEROS
    others = ((digits + FOUR_SIXES) | digits) & HIGH_HALVES
    if (others === 0) return 0
  }
  // Bits of the digits that are left, 0 … 24; shifted in two steps, as there may be none.
  const size = (31 - Math.clz32(others & -others)) & 0x18
  const point = next + (size >> 3)
  if (point === at || ((digits >>> size) & 0xff) !== (POINT ^ ZERO)) return 0
  whole = Math.imul(whole, POW10[size >> 3] as number) + fourDigits((digits << 1) << (31 - size))
  let quote = point + 9
  const eight = eightDigits(view, point + 1)
  let scaled = whole * unit
  if (eight >= 0) {
    scaled += eight * (unit / EIGHT_PLACES)
  } else {
    const places = digitCount(view, point + 1)
    if (places === 0) return 0
    quote = point + 1 + places
    scaled += digitValue(view, point + 1, places) * (unit / (POW10[places] as number))
  }
  if (view.getUint8(quote) !== QUOTE || scaled >= EXACT_BELOW) return 0
  writeWhole(words, index, scaled)
  return quote + 1
}

/** As quickInteger, of a JSON number of at most 15 digits. */
export function plainWhole(view: DataView, at: number, words: Int32Array, index: number): number {
  let value = eightDigits(view, at)
  if (value < 0) {
    const count = digitCount(view, at)
    if (count === 0 || (count > 1 && view.getUint8(at) === ZERO)) return 0
    writeWhole(words, index, digitValue(view, at, count))
    return at + count
  }
  const count = digitCount(view, at + 8)
  if (count > WHOLE_DIGITS_MAX - 8 || view.getUint8(at) === ZERO) return 0
  if (count > 0) value = value * (POW10[count] as number) + digitValue(view, at + 8, count)
  writeWhole(words, index, value)
  return at + 8 + count
}

/** Behind a JSON number of at most 15 digits and nothing else. */
export function skipWhole(view: DataView, at: number): number {
  const count = digitCount(view, at)
  if (count === 0 || count > WHOLE_DIGITS_MAX) return 0
  return count > 1 && view.getUint8(at) === ZERO ? 0 : at + count
}
