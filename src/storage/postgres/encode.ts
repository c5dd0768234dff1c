// hot path
// Ticks -> rows of PostgreSQL's binary COPY format: the JS reference of the COPY kernel.
//
// Straight from the words of a batch into a buffer that the caller provides, so large that the rows
// fit (ROW_BYTES_MAX each). Big-endian; a row is an i16 column count, then a i32 length (-1 = null)
// and the bytes of each column, in the order of tables.ts. No I/O, no framing: that is the
// transaction's.
//
// Times: ns since 1970 (i64) become µs since 2000 (i64) and the ns within the µs, by exact integer
// arithmetic on parts that each fit a double.

import { assert } from '../../errors.ts'
import type { TickBatch } from '../../tick/batch.ts'
import { KIND, NULL_HI, NULL_LO, OFFSET, TICK_BYTES, TICK_WORDS, WORD } from '../../tick/layout.ts'
import { COLUMN_COUNT, SHARD_SHIFT } from './tables.ts'

const HALVES = TICK_BYTES / 2
const FLAGS = OFFSET.flags / 2
const SOURCE = OFFSET.source / 2
const INTERVAL = OFFSET.interval / 2
const TWO_32 = 2 ** 32
const TWO_16 = 65536
/** 2000-01-01 in µs since 1970, as (high, low) to the base 2^16. */
const EPOCH_US = 946_684_800_000_000
const EPOCH_HIGH = Math.floor(EPOCH_US / TWO_16)
const EPOCH_LOW = EPOCH_US - EPOCH_HIGH * TWO_16

export interface CopyKernel {
  readonly name: string
  /**
   * Encodes rows [from, to) of one kind: row r is tick order[r] of the batch, and tick i of the
   * batch has sequence firstSeq + i. Returns the offset behind the last byte written.
   */
  encode(
    kind: number,
    batch: TickBatch,
    order: Int32Array,
    from: number,
    to: number,
    shard: number,
    firstSeq: number,
    out: DataView,
    offset: number,
  ): number
}

export const jsCopyKernel: CopyKernel = Object.freeze({ name: 'js', encode })

function encode(
  kind: number,
  batch: TickBatch,
  order: Int32Array,
  from: number,
  to: number,
  shard: number,
  firstSeq: number,
  out: DataView,
  offset: number,
): number {
  const columnCount = COLUMN_COUNT[kind] as number
  assert(columnCount > 0, 'a stored tick is of a known kind')
  const { words, halves, bytes } = batch
  const shardBits = shard * 2 ** (SHARD_SHIFT - 32)
  let at = offset
  for (let row = from; row < to; row++) {
    const index = order[row] as number
    const word = index * TICK_WORDS
    const half = index * HALVES
    const byte = index * TICK_BYTES
    const seq = firstSeq + index
    out.setInt16(at, columnCount)
    at = putTime(out, at + 2, words, word)
    out.setInt32(at, 8)
    out.setInt32(at + 4, shardBits + Math.floor(seq / TWO_32))
    out.setInt32(at + 8, seq | 0)
    at = putI64(out, at + 12, words, word + WORD.ts_recv)
    at = putI64(out, at, words, word + WORD.p0)
    at = putI64(out, at, words, word + WORD.p1)
    at = putI64(out, at, words, word + WORD.p2)
    at = putI64(out, at, words, word + WORD.p3)
    out.setInt32(at, 4)
    out.setInt32(at + 4, words[word + WORD.instrument] as number)
    out.setInt32(at + 8, 4)
    out.setInt32(at + 12, halves[half + FLAGS] as number)
    at += 16
    if (kind === KIND.price) at = putI32(out, at, halves[half + INTERVAL] as number)
    at = putNanoseconds(out, at, words, word)
    at = putI16(out, at, halves[half + SOURCE] as number)
    // The same branch for the whole loop: predicted, and cheaper than five copies of the loop.
    if (kind === KIND.trade) at = putI16(out, at, bytes[byte + OFFSET.side] as number)
    else if (kind === KIND.book) {
      at = putI16(out, at, bytes[byte + OFFSET.side] as number)
      at = putI16(out, at, bytes[byte + OFFSET.action] as number)
    } else if (kind === KIND.price) at = putI16(out, at, bytes[byte + OFFSET.market] as number)
    else if (kind === KIND.status) at = putI16(out, at, bytes[byte + OFFSET.action] as number)
  }
  return at
}

function putI64(out: DataView, at: number, words: Int32Array, index: number): number {
  const lo = words[index] as number
  const hi = words[index + 1] as number
  if (hi === NULL_HI && lo === NULL_LO) return putNull(out, at)
  out.setInt32(at, 8)
  out.setInt32(at + 4, hi)
  out.setInt32(at + 8, lo)
  return at + 12
}

function putI32(out: DataView, at: number, value: number): number {
  out.setInt32(at, 4)
  out.setInt32(at + 4, value)
  return at + 8
}

function putI16(out: DataView, at: number, value: number): number {
  out.setInt32(at, 2)
  out.setInt16(at + 4, value)
  return at + 6
}

function putNull(out: DataView, at: number): number {
  out.setInt32(at, -1)
  return at + 4
}

/** The event time as timestamptz: floor(ns / 1000) - EPOCH_US. */
function putTime(out: DataView, at: number, words: Int32Array, word: number): number {
  const lo = words[word + WORD.ts_event] as number
  const hi = words[word + WORD.ts_event + 1] as number
  if (hi === NULL_HI && lo === NULL_LO) return putNull(out, at)
  // ns = top x 2^16 + (lo & 0xffff); top has 48 bits. µs = high x 2^16 + low, low < 2^16, as the
  // remainder of the first division is below 1000.
  const top = hi * TWO_16 + (lo >>> 16)
  let high = Math.floor(top / 1000)
  let low = Math.floor(((top - high * 1000) * TWO_16 + (lo & 0xffff)) / 1000)
  high -= EPOCH_HIGH
  low -= EPOCH_LOW
  if (low < 0) {
    low += TWO_16
    high -= 1
  }
  out.setInt32(at, 8)
  out.setInt32(at + 4, Math.floor(high / TWO_16))
  out.setInt32(at + 8, (high << 16) | low)
  return at + 12
}

/** Nanoseconds of the event time within its microsecond, 0 … 999, as int2. */
function putNanoseconds(out: DataView, at: number, words: Int32Array, word: number): number {
  const lo = words[word + WORD.ts_event] as number
  const hi = words[word + WORD.ts_event + 1] as number
  if (hi === NULL_HI && lo === NULL_LO) return putNull(out, at)
  const top = hi * TWO_16 + (lo >>> 16)
  const rest = (top - Math.floor(top / 1000) * 1000) * TWO_16 + (lo & 0xffff)
  return putI16(out, at, rest - Math.floor(rest / 1000) * 1000)
}
