// hot path
// Scaled integers: decimal text <-> i64, exact, without BigInt.
//
// An i64 is held as two Int32Array words (low first) or, while it is worked on, as a "split":
// sign, a, b with value = ±(a x 1e9 + b), 0 ≤ b < 1e9. Both halves are exact doubles for every i64,
// and the split is what all sources have at hand: seconds and nanoseconds, or the integer part and
// nine decimals of a price.
//
// Invariants: a ≤ SPLIT_A_MAX; (a, b) ≤ 2^63 - 1; INT64_MIN is the null and never a value.

import { NULL_HI, NULL_LO, PRICE_DECIMALS, SIZE_DECIMALS } from './layout.ts'

/** Results of the parsers; 0 is success, the others are reasons for a rejection. */
export const PARSE_OK = 0
/** Empty, a lone sign or point, a letter, an exponent, or no digit before the point. */
export const PARSE_SYNTAX = 1
/** More decimals than the scale holds, and one of the surplus ones is not zero. */
export const PARSE_TOO_MANY_DECIMALS = 2
/** Beyond ±(2^63 - 1) once scaled. */
export const PARSE_OVERFLOW = 3

const BILLION = 1_000_000_000
const SPLIT_A_MAX = 9_223_372_036
const SPLIT_B_MAX_AT_A_MAX = 854_775_807
/** A double takes one more decimal digit exactly while it is below this. */
const WHOLE_EXACT_BELOW = 9e14
/** From this scale on, an integer part of sixteen digits overflows anyway. */
const WIDE_DECIMALS = 4
const POW10: readonly number[] = [1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9]

/** An i64 taken apart: ±(a x 1e9 + b). Reused by callers; never allocated per record. */
export interface Split {
  negative: boolean
  a: number
  b: number
}

/** Writes ±(a x 1e9 + b). The caller has checked the range. */
export function writeSplit(
  words: Int32Array,
  index: number,
  negative: boolean,
  a: number,
  b: number,
): void {
  // a < 2^34 is cut at 16 bits so that each partial product is an exact double (< 2^49).
  const aHigh = Math.floor(a / 65536)
  const aLow = a - aHigh * 65536
  const high = aHigh * BILLION
  const low = aLow * BILLION + b
  const highCut = Math.floor(high / 65536)
  const sum = (high - highCut * 65536) * 65536 + low
  let lo = sum | 0
  let hi = (highCut + Math.floor(sum / 4294967296)) | 0
  // ToInt32 of a double above 2^53 is still exact here: sum < 2^51.
  if (negative) {
    lo = -lo | 0
    hi = (~hi + (lo === 0 ? 1 : 0)) | 0
  }
  words[index] = lo
  words[index + 1] = hi
}

/** Reads an i64 into `out`. Null reads as the value -2^63: test `isNull` before. */
export function readSplit(words: Int32Array, index: number, out: Split): void {
  let lo = words[index] as number
  let hi = words[index + 1] as number
  out.negative = hi < 0
  if (hi < 0) {
    lo = -lo | 0
    hi = (~hi + (lo === 0 ? 1 : 0)) | 0
  }
  let rest = hi >>> 16
  // Long division by 1e9, 16 bits at a time; the first quotient is always 0 (rest < 2^16).
  let now = rest * 65536 + (hi & 0xffff)
  const q2 = Math.floor(now / BILLION)
  rest = now - q2 * BILLION
  now = rest * 65536 + (lo >>> 16)
  const q1 = Math.floor(now / BILLION)
  rest = now - q1 * BILLION
  now = rest * 65536 + (lo & 0xffff)
  const q0 = Math.floor(now / BILLION)
  out.a = (q2 * 65536 + q1) * 65536 + q0
  out.b = now - q0 * BILLION
}

export function writeNull(words: Int32Array, index: number): void {
  words[index] = NULL_LO
  words[index + 1] = NULL_HI
}

export function isNull(words: Int32Array, index: number): boolean {
  return words[index + 1] === NULL_HI && words[index] === NULL_LO
}

/** True for 0 (not for null). */
export function isZero(words: Int32Array, index: number): boolean {
  return words[index] === 0 && words[index + 1] === 0
}

/** True for values below zero (not for null). */
export function isNegative(words: Int32Array, index: number): boolean {
  return (words[index + 1] as number) < 0 && !isNull(words, index)
}

/** -1, 0, 1: the order of two i64s (null sorts first). */
export function compareI64(a: Int32Array, ai: number, b: Int32Array, bi: number): number {
  const aHi = a[ai + 1] as number
  const bHi = b[bi + 1] as number
  if (aHi !== bHi) return aHi < bHi ? -1 : 1
  const aLo = (a[ai] as number) >>> 0
  const bLo = (b[bi] as number) >>> 0
  return aLo < bLo ? -1 : aLo > bLo ? 1 : 0
}

/** Writes a whole number from 0 to 2^53 - 1: what a double holds exactly. */
export function writeWhole(words: Int32Array, index: number, value: number): void {
  words[index] = value | 0
  words[index + 1] = (value / 4294967296) | 0
}

/** Writes a whole number of at most 2^53 - 1 in size, either sign. */
export function writeInteger(words: Int32Array, index: number, value: number): void {
  const size = value < 0 ? -value : value
  const a = Math.floor(size / BILLION)
  writeSplit(words, index, value < 0, a, size - a * BILLION)
}

/** The value as a double: exact below 2^53, else the nearest. For the rim and for tests. */
export function readNumber(words: Int32Array, index: number): number {
  return (words[index + 1] as number) * 4294967296 + ((words[index] as number) >>> 0)
}

/**
 * Parses decimal text in `bytes[start, end)` — `-`? digits (`.` digits)? — into an i64 scaled by
 * 10^decimals (0 … 9). Leading zeros are accepted (JSON's own grammar is the scanner's matter).
 * Returns PARSE_OK or a reason; nothing is written unless PARSE_OK.
 */
export function parseDecimal(
  bytes: Uint8Array,
  start: number,
  end: number,
  decimals: number,
  words: Int32Array,
  index: number,
): number {
  let at = start
  const negative = at < end && bytes[at] === 0x2d
  if (negative) at++
  let whole = 0
  const wholeStart = at
  for (; at < end; at++) {
    const digit = (bytes[at] as number) - 0x30
    if (digit < 0 || digit > 9) break
    if (whole >= WHOLE_EXACT_BELOW) {
      if (decimals >= WIDE_DECIMALS) return overflowOrSyntax(bytes, at, end)
      return parseWide(bytes, start, end, decimals, words, index)
    }
    whole = whole * 10 + digit
  }
  if (at === wholeStart) return PARSE_SYNTAX
  let fraction = 0
  if (at < end) {
    if (bytes[at] !== 0x2e || ++at === end) return PARSE_SYNTAX
    const fractionStart = at
    const fractionEnd = at + decimals
    let surplus = false
    for (; at < end; at++) {
      const digit = (bytes[at] as number) - 0x30
      if (digit < 0 || digit > 9) return PARSE_SYNTAX
      if (at < fractionEnd) fraction = fraction * 10 + digit
      else if (digit !== 0) surplus = true
    }
    if (surplus) return PARSE_TOO_MANY_DECIMALS
    const missing = decimals - (at - fractionStart)
    if (missing > 0) fraction *= POW10[missing] as number
  }
  const unit = POW10[9 - decimals] as number
  const a = decimals === 9 ? whole : Math.floor(whole / unit)
  const b = decimals === 9 ? fraction : (whole - a * unit) * (POW10[decimals] as number) + fraction
  if (a > SPLIT_A_MAX || (a === SPLIT_A_MAX && b > SPLIT_B_MAX_AT_A_MAX)) return PARSE_OVERFLOW
  writeSplit(words, index, negative, a, b)
  return PARSE_OK
}

/** `parseDecimal` at the price scale. */
export function parsePrice(
  bytes: Uint8Array,
  start: number,
  end: number,
  words: Int32Array,
  index: number,
): number {
  return parseDecimal(bytes, start, end, PRICE_DECIMALS, words, index)
}

/** `parseDecimal` at the size scale. */
export function parseSize(
  bytes: Uint8Array,
  start: number,
  end: number,
  words: Int32Array,
  index: number,
): number {
  return parseDecimal(bytes, start, end, SIZE_DECIMALS, words, index)
}

/** Parses a whole number, any i64 but INT64_MIN. Returns PARSE_OK or a reason. */
export function parseInteger(
  bytes: Uint8Array,
  start: number,
  end: number,
  words: Int32Array,
  index: number,
): number {
  let at = start
  const negative = at < end && bytes[at] === 0x2d
  if (negative) at++
  if (at === end) return PARSE_SYNTAX
  while (at < end - 1 && bytes[at] === 0x30) at++
  const aEnd = end - 9
  let a = 0
  let b = 0
  for (; at < end; at++) {
    const digit = (bytes[at] as number) - 0x30
    if (digit < 0 || digit > 9) return PARSE_SYNTAX
    if (at < aEnd) a = a * 10 + digit
    else b = b * 10 + digit
    if (a > SPLIT_A_MAX) return overflowOrSyntax(bytes, at, end)
  }
  if (a === SPLIT_A_MAX && b > SPLIT_B_MAX_AT_A_MAX) return PARSE_OVERFLOW
  writeSplit(words, index, negative, a, b)
  return PARSE_OK
}

const wide = new Uint8Array(64)

/** As parseDecimal, for integer parts beyond 2^53: writes the digits out at scale, no point. */
function parseWide(
  bytes: Uint8Array,
  start: number,
  end: number,
  decimals: number,
  words: Int32Array,
  index: number,
): number {
  let length = 0
  let at = start
  if (bytes[at] === 0x2d) wide[length++] = bytes[at++] as number
  while (at < end && bytes[at] === 0x30) at++
  for (; at < end && bytes[at] !== 0x2e; at++) {
    // So many digits cannot fit, whatever follows.
    if (length === wide.length - decimals) return overflowOrSyntax(bytes, at, end)
    const digit = (bytes[at] as number) - 0x30
    if (digit < 0 || digit > 9) return PARSE_SYNTAX
    wide[length++] = digit + 0x30
  }
  if (at < end && ++at === end) return PARSE_SYNTAX
  const fractionEnd = at + decimals
  let surplus = false
  for (; at < end; at++) {
    const digit = (bytes[at] as number) - 0x30
    if (digit < 0 || digit > 9) return PARSE_SYNTAX
    if (at < fractionEnd) wide[length++] = digit + 0x30
    else if (digit !== 0) surplus = true
  }
  if (surplus) return PARSE_TOO_MANY_DECIMALS
  for (; at < fractionEnd; at++) wide[length++] = 0x30
  return parseInteger(wide, 0, length, words, index)
}

/** A number too long to hold is an overflow only if the rest of it is a number at all. */
function overflowOrSyntax(bytes: Uint8Array, from: number, end: number): number {
  let points = 0
  for (let at = from; at < end; at++) {
    const byte = bytes[at] as number
    if (byte === 0x2e && at < end - 1 && points++ === 0) continue
    if (byte < 0x30 || byte > 0x39) return PARSE_SYNTAX
  }
  return PARSE_OVERFLOW
}

const scratch: Split = { negative: false, a: 0, b: 0 }

/** Exact decimal text of an i64 scaled by 10^decimals, shortest form, no exponent: '-0.05'. */
export function formatDecimal(words: Int32Array, index: number, decimals: number): string {
  readSplit(words, index, scratch)
  const { negative, a, b } = scratch
  const digits = a === 0 ? String(b) : String(a) + String(b).padStart(9, '0')
  const sign = negative ? '-' : ''
  if (decimals === 0) return sign + digits
  const padded = digits.padStart(decimals + 1, '0')
  const whole = padded.slice(0, -decimals)
  let fractionEnd = padded.length
  while (padded.charCodeAt(fractionEnd - 1) === 0x30 && fractionEnd > whole.length) fractionEnd--
  if (fractionEnd === whole.length) return sign + whole
  return `${sign}${whole}.${padded.slice(whole.length, fractionEnd)}`
}
