// hot path
// Times: RFC 3339 text and epoch integers <-> whole seconds and nanoseconds.
//
// A time is an i64 of nanoseconds since 1970 UTC, held as seconds and nanoseconds: exactly the
// split of fixed-point.ts. Legal times are 1970-01-01T00:00:00Z … 2262-04-11T23:47:16.854775807Z;
// anything else is refused, never clamped. Text is read strictly: calendar-checked, UTC only
// ('Z' or '+00:00'), at most nine decimals, no leap second (the venues' clocks have none), and
// printed with exactly nine.

import { isNull, readSplit, type Split } from './fixed-point.ts'

/** A time taken apart. Reused by callers; never allocated per record. */
export interface WallTime {
  /** Whole seconds since 1970-01-01T00:00:00Z. */
  sec: number
  /** Nanoseconds within that second, 0 … 999,999,999. */
  nsec: number
}

const DAY_SECONDS = 86_400
/** The last second of an i64 of nanoseconds, and the last nanosecond in it. */
export const TIME_SEC_MAX = 9_223_372_036
const TIME_NSEC_MAX_AT_SEC_MAX = 854_775_807

/** Epoch integers from here on are microseconds: as milliseconds this is the year 5138. */
const MICROS_MIN = 1e14

const POW10: readonly number[] = [1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9]
// Indexed by month, 1 … 12.
const DAYS_BEFORE_MONTH: readonly number[] = [
  0, 0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334,
]
const DAYS_IN_MONTH: readonly number[] = [0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
const DAYS_TO_1970 = 719_162

/** True when the time fits the record. */
export function isTime(sec: number, nsec: number): boolean {
  if (sec < 0 || sec > TIME_SEC_MAX) return false
  return sec < TIME_SEC_MAX || nsec <= TIME_NSEC_MAX_AT_SEC_MAX
}

/** Reads RFC 3339 text, 'YYYY-MM-DDTHH:MM:SS[.fraction](Z|+00:00)'. False = not such a time. */
export function parseTime(bytes: Uint8Array, start: number, end: number, out: WallTime): boolean {
  if (end - start < 20) return false
  const year = digits(bytes, start, 2) * 100 + digits(bytes, start + 2, 2)
  const month = digits(bytes, start + 5, 2)
  const day = digits(bytes, start + 8, 2)
  const hour = digits(bytes, start + 11, 2)
  const minute = digits(bytes, start + 14, 2)
  const second = digits(bytes, start + 17, 2)
  // A digit that is none makes its number NaN, which fails every comparison below.
  if (!(year >= 1970 && year <= 2262 && month >= 1 && month <= 12)) return false
  if (!(day >= 1 && day <= daysInMonth(year, month))) return false
  if (!(hour <= 23 && minute <= 59 && second <= 59)) return false
  if (bytes[start + 4] !== 0x2d || bytes[start + 7] !== 0x2d) return false
  if (bytes[start + 10] !== 0x54) return false
  if (bytes[start + 13] !== 0x3a || bytes[start + 16] !== 0x3a) return false
  let at = start + 19
  let nsec = 0
  if (bytes[at] === 0x2e) {
    const first = ++at
    for (; at < end; at++) {
      const digit = (bytes[at] as number) - 0x30
      if (digit < 0 || digit > 9) break
      nsec = nsec * 10 + digit
    }
    const count = at - first
    if (count === 0 || count > 9) return false
    nsec *= POW10[9 - count] as number
  }
  if (!isUtc(bytes, at, end)) return false
  const sec = daysSince1970(year, month, day) * DAY_SECONDS + hour * 3600 + minute * 60 + second
  if (!isTime(sec, nsec)) return false
  out.sec = sec
  out.nsec = nsec
  return true
}

/**
 * Takes an epoch integer apart: milliseconds, or microseconds where it is too large for those.
 * False = negative, not whole, or beyond 2262.
 */
export function splitEpoch(value: number, out: WallTime): boolean {
  const perSecond = value < MICROS_MIN ? 1e3 : 1e6
  const sec = Math.floor(value / perSecond)
  const nsec = (value - sec * perSecond) * (1e9 / perSecond)
  if (!(Number.isInteger(value) && isTime(sec, nsec))) return false
  out.sec = sec
  out.nsec = nsec
  return true
}

/** '2024-08-08T23:54:15.208000000Z'. The caller has checked the range. */
export function formatTime(sec: number, nsec: number): string {
  if (sec !== shownSec) {
    shownSec = sec
    shownText = new Date(sec * 1000).toISOString().slice(0, 20)
  }
  return `${shownText}${(1e9 + nsec).toString().slice(1)}Z`
}

/** The text of a record's time; null where it is null or before 1970. */
export function formatTimeAt(words: Int32Array, index: number): string | null {
  if (isNull(words, index)) return null
  readSplit(words, index, split)
  return split.negative ? null : formatTime(split.a, split.b)
}

// Neighbouring records share their second: its text is made once.
let shownSec = -1
let shownText = ''
const split: Split = { negative: false, a: 0, b: 0 }

/** The number that `count` digits make; NaN when one of them is no digit. */
function digits(bytes: Uint8Array, start: number, count: number): number {
  let value = 0
  for (let at = start; at < start + count; at++) {
    const digit = (bytes[at] as number) - 0x30
    if (digit < 0 || digit > 9) return Number.NaN
    value = value * 10 + digit
  }
  return value
}

function isUtc(bytes: Uint8Array, at: number, end: number): boolean {
  if (end - at === 1) return bytes[at] === 0x5a
  if (end - at !== 6 || bytes[at] !== 0x2b || bytes[at + 3] !== 0x3a) return false
  return digits(bytes, at + 1, 2) === 0 && digits(bytes, at + 4, 2) === 0
}

function isLeap(year: number): boolean {
  return year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0)
}

function daysInMonth(year: number, month: number): number {
  return month === 2 && isLeap(year) ? 29 : (DAYS_IN_MONTH[month] as number)
}

function daysSince1970(year: number, month: number, day: number): number {
  const before = year - 1
  const leapDays = Math.floor(before / 4) - Math.floor(before / 100) + Math.floor(before / 400)
  const leapDay = month > 2 && isLeap(year) ? 1 : 0
  const days = before * 365 + leapDays + (DAYS_BEFORE_MONTH[month] as number) + leapDay + day - 1
  return days - DAYS_TO_1970
}
