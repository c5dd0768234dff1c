// hot path
// Runs of ASCII digits, four at a time: how long one is, and what it stands for. And fixed text, as
// the words that a view reads.
//
// Not a parser: signs, points and what may come behind a run are the caller's matter, and so is
// that 16 bytes from `at` on can be read.

import { assert } from '../errors.ts'

const FOUR_ZEROS = 0x30303030
const FOUR_SIXES = 0x06060606
const HIGH_HALVES = 0xf0f0f0f0 | 0
const POW10: readonly number[] = [1, 1e1, 1e2, 1e3]

/** A longer run is told as one of so many digits. */
const RUN_MAX = 16

/** Four bytes of text as a view's getInt32 reads them. */
export function fourBytes(text: string): number {
  return viewOf(text, 4).getInt32(0, true)
}

/**
 * Eight bytes of text as a view's getFloat64 reads them. As a double it is the same as another only
 * where the bytes are: of ASCII without NUL and DEL it is no NaN and no zero.
 */
export function eightBytes(text: string): number {
  return viewOf(text, 8).getFloat64(0, true)
}

function viewOf(text: string, size: number): DataView {
  const bytes = new TextEncoder().encode(text)
  assert(bytes.length === size, 'a text of the size of the word')
  return new DataView(bytes.buffer, bytes.byteOffset, size)
}

/** Digits from `at` on: 0 … 16. */
export function digitCount(view: DataView, at: number): number {
  for (let count = 0; count < RUN_MAX; count += 4) {
    const digits = view.getInt32(at + count, true) ^ FOUR_ZEROS
    // A digit is below 10: six more leave its high half empty. Above the first other byte there
    // may be a carry, which says nothing.
    const others = ((digits + FOUR_SIXES) | digits) & HIGH_HALVES
    if (others !== 0) return count + ((31 - Math.clz32(others & -others)) >> 3)
  }
  return RUN_MAX
}

/** The number that the `count` digits at `at` stand for, an exact double up to 15 of them. */
export function digitValue(view: DataView, at: number, count: number): number {
  let value = 0
  let next = at
  let rest = count
  for (; rest >= 4; rest -= 4) {
    value = value * 10_000 + fourDigits(view.getInt32(next, true) ^ FOUR_ZEROS)
    next += 4
  }
  if (rest === 0) return value
  const digits = (view.getInt32(next, true) ^ FOUR_ZEROS) << ((4 - rest) << 3)
  return value * (POW10[rest] as number) + fourDigits(digits)
}

/** The number that eight digits at `at` stand for; -1 where one of them is none. */
export function eightDigits(view: DataView, at: number): number {
  const first = view.getInt32(at, true) ^ FOUR_ZEROS
  const second = view.getInt32(at + 4, true) ^ FOUR_ZEROS
  const highs = (first + FOUR_SIXES) | first | (second + FOUR_SIXES) | second
  return (highs & HIGH_HALVES) !== 0 ? -1 : fourDigits(first) * 10_000 + fourDigits(second)
}

/** The number of four digits, each 0 … 9 in a byte, first in the lowest. */
export function fourDigits(digits: number): number {
  const pairs = Math.imul(digits, 10) + (digits >>> 8)
  return (pairs & 0xff) * 100 + ((pairs >>> 16) & 0xff)
}
