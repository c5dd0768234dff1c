// hot path
// Reading members of a scanned object into a record: one function a JSON type, results as reasons.
//
// OK or an index in REJECT_REASONS comes back; nothing is written unless OK. A member that is
// absent or null is missing.

import {
  PARSE_OK,
  PARSE_OVERFLOW,
  PARSE_TOO_MANY_DECIMALS,
  parseDecimal,
  parseInteger,
} from '../tick/fixed-point.ts'
import { splitEpoch, type WallTime } from '../tick/time.ts'
import { type ObjectScan, VALUE } from './object-scan.ts'
import { OK, REJECT } from './reason-index.ts'

const INTEGER_DIGITS_MAX = 16

/** The reason for a decimal's parse result. */
export function decimalReason(parsed: number): number {
  if (parsed === PARSE_OK) return OK
  if (parsed === PARSE_TOO_MANY_DECIMALS) return REJECT.too_many_decimals
  return parsed === PARSE_OVERFLOW ? REJECT.overflow : REJECT.bad_decimal
}

/** A decimal in a JSON string, scaled, into words[index]. */
export function readDecimal(
  scan: ObjectScan,
  slot: number,
  bytes: Uint8Array,
  decimals: number,
  words: Int32Array,
  index: number,
): number {
  const type = scan.types[slot] as number
  if (type !== VALUE.string) return wrongType(type)
  const start = scan.starts[slot] as number
  return decimalReason(
    parseDecimal(bytes, start, scan.ends[slot] as number, decimals, words, index),
  )
}

/** A whole JSON number, any i64, into words[index]. */
export function readI64(
  scan: ObjectScan,
  slot: number,
  bytes: Uint8Array,
  words: Int32Array,
  index: number,
): number {
  const type = scan.types[slot] as number
  if (type !== VALUE.number) return wrongType(type)
  const start = scan.starts[slot] as number
  const parsed = parseInteger(bytes, start, scan.ends[slot] as number, words, index)
  if (parsed === PARSE_OK) return OK
  return parsed === PARSE_OVERFLOW ? REJECT.overflow : REJECT.bad_field
}

/**
 * A whole JSON number of 0 … 2^53 - 1, as a double; otherwise -1 - reason, always negative.
 * `reasonOf` takes the reason out again.
 */
export function readWhole(scan: ObjectScan, slot: number, bytes: Uint8Array): number {
  const type = scan.types[slot] as number
  if (type !== VALUE.number) return -1 - wrongType(type)
  const end = scan.ends[slot] as number
  let at = scan.starts[slot] as number
  if (end - at > INTEGER_DIGITS_MAX) return -1 - REJECT.overflow
  let value = 0
  for (; at < end; at++) {
    const digit = (bytes[at] as number) - 0x30
    if (digit < 0 || digit > 9) return -1 - REJECT.bad_field
    value = value * 10 + digit
  }
  return value <= Number.MAX_SAFE_INTEGER ? value : -1 - REJECT.overflow
}

export function reasonOf(negative: number): number {
  return -1 - negative
}

/** An epoch integer, milliseconds or microseconds. */
export function readEpoch(
  scan: ObjectScan,
  slot: number,
  bytes: Uint8Array,
  out: WallTime,
): number {
  const value = readWhole(scan, slot, bytes)
  if (value >= 0) return splitEpoch(value, out) ? OK : REJECT.bad_time
  const reason = reasonOf(value)
  return reason === REJECT.missing_field ? reason : REJECT.bad_time
}

export function wrongType(type: number): number {
  return type === VALUE.absent || type === VALUE.null ? REJECT.missing_field : REJECT.bad_field
}
