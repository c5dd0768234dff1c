// Rows of the tables of ticks -> the records that they were: the way back of encode.ts.
//
// One query gives the rows of all kinds in the order of their sequence, and those that the database
// refused (they were journalled and sent, too), by COPY in its binary form: exact integers, and
// nothing to parse. Every field of a record is in its row, so the record is the same to the bit.

import { assert } from '../../errors.ts'
import type { TickBatch } from '../../tick/batch.ts'
import { KIND, NULL_HI, NULL_LO, OFFSET, TICK_BYTES, TICK_WORDS, WORD } from '../../tick/layout.ts'
import { quoted } from './schema.ts'
import { columnsOf, SHARD_SHIFT, TABLES } from './tables.ts'

export interface RowRange {
  readonly schema: string
  readonly shard: number
  /** Sequences [from, to) of the shard. */
  readonly from: number
  readonly to: number
  /** Event times to look at, ms since 1970, and rows without one; undefined = everywhere. */
  readonly times: { readonly fromMs: number; readonly toMs: number } | undefined
}

/** "PGCOPY\n\377\r\n\0", flags, length of the extension. */
const HEADER_BYTES = 19
const SIGNATURE = Buffer.from('PGCOPY\n\xff\r\n\0', 'latin1')
const TRAILER = -1
/** Kind of a row that holds the record as it is. */
const WHOLE = 0
/** 2000-01-01 in µs since 1970. */
const EPOCH_US = 946_684_800_000_000n
const TIME_MS_MAX = 8.64e15

/** As `COPY (…) TO STDOUT`. */
export function rowsSql({ schema, shard, from, to, times }: RowRange): string {
  const seqs = `seq >= ${seqOf(shard, from)} AND seq < ${seqOf(shard, to)}`
  const during = times === undefined ? '' : ` AND (ts IS NULL OR ts BETWEEN ${between(times)})`
  const selects = TABLES.map((kind) => {
    const own = new Set(columnsOf(kind).map(({ name }) => name))
    // Behind ts, seq and ts_recv.
    const payload = columnsOf(kind).slice(3, 7)
    const or0 = (name: string, type: string) => (own.has(name) ? name : `0::${type}`)
    const columns = [
      `${KIND[kind]}::int2 AS kind`,
      'seq, ts, ns, ts_recv, instrument, flags, source',
      `${or0('side', 'int2')} AS side, ${or0('action', 'int2')} AS action`,
      `${or0('market', 'int2')} AS market, ${or0('interval_minutes', 'int4')} AS minutes`,
      ...payload.map(({ name }, i) => `${name} AS p${i}`),
      'NULL::bytea AS tick',
    ]
    return `SELECT ${columns.join(', ')} FROM ${quoted(schema)}.${kind} WHERE ${seqs}${during}`
  })
  const refused = `SELECT ${WHOLE}::int2, seq, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
  NULL, NULL, NULL, NULL, NULL, NULL, tick FROM ${quoted(schema)}.refused WHERE ${seqs}`
  return `COPY (SELECT * FROM (${[...selects, refused].join('\nUNION ALL ')}) rows ORDER BY seq)
TO STDOUT (FORMAT binary)`
}

/** Fills a batch with consecutive records, up to the first that is missing or does not fit. */
export class RowReader {
  readonly #out: TickBatch
  readonly #view: DataView
  readonly #shard: number
  #rest: Buffer = Buffer.alloc(0)
  #isStarted = false
  #isEnded = false
  #nextSeq: bigint

  /** `fromSeq`: of the first record wanted. */
  constructor(out: TickBatch, shard: number, fromSeq: number) {
    out.count = 0
    this.#out = out
    this.#view = new DataView(out.bytes.buffer, out.bytes.byteOffset, out.bytes.byteLength)
    this.#shard = shard
    this.#nextSeq = seqOf(this.#shard, fromSeq)
  }

  /** A piece of what COPY sends: wherever it was cut. */
  push(piece: Buffer): void {
    const data = this.#rest.length === 0 ? piece : Buffer.concat([this.#rest, piece])
    let at = 0
    if (!this.#isStarted) {
      if (data.length < HEADER_BYTES) {
        this.#rest = data
        return
      }
      assert(data.subarray(0, SIGNATURE.length).equals(SIGNATURE), 'COPY begins with its signature')
      at = HEADER_BYTES + data.readInt32BE(HEADER_BYTES - 4)
      this.#isStarted = true
    }
    for (;;) {
      const size = tupleSize(data, at)
      if (size === 0) break
      if (!this.#isEnded && data.readInt16BE(at) !== TRAILER) this.#take(data, at + 2)
      at += size
    }
    this.#rest = data.subarray(at)
  }

  #take(data: Buffer, start: number): void {
    const out = this.#out
    const seq = data.readBigInt64BE(start + 10)
    if (seq !== this.#nextSeq || out.count >= out.capacity) {
      this.#isEnded = true
      return
    }
    const index = out.count++
    this.#nextSeq++
    out.clear(index)
    const row = new Row(data, start)
    const kind = row.small()
    row.skip(1)
    if (kind === WHOLE) {
      row.skip(14)
      row.bytes().copy(out.bytes, index * TICK_BYTES)
    } else this.#fields(row, index, kind)
  }

  #fields(row: Row, index: number, kind: number): void {
    const out = this.#out
    const byte = index * TICK_BYTES
    const us = row.long()
    const ns = row.small()
    this.#put(index, WORD.ts_event, us === null ? null : (us + EPOCH_US) * 1000n + BigInt(ns))
    this.#put(index, WORD.ts_recv, row.long())
    out.words[index * TICK_WORDS + WORD.instrument] = row.small()
    out.bytes[byte + OFFSET.kind] = kind
    out.halves[(byte + OFFSET.flags) / 2] = row.small()
    out.halves[(byte + OFFSET.source) / 2] = row.small()
    out.bytes[byte + OFFSET.side] = row.small()
    out.bytes[byte + OFFSET.action] = row.small()
    out.bytes[byte + OFFSET.market] = row.small()
    out.halves[(byte + OFFSET.interval) / 2] = row.small()
    for (const word of [WORD.p0, WORD.p1, WORD.p2, WORD.p3]) this.#put(index, word, row.long())
  }

  #put(index: number, word: number, value: bigint | null): void {
    const at = index * TICK_WORDS + word
    if (value === null) {
      this.#out.words[at] = NULL_LO
      this.#out.words[at + 1] = NULL_HI
    } else this.#view.setBigInt64(at * 4, value, true)
  }
}

/** The columns of a tuple, one after the other. */
class Row {
  readonly #data: Buffer
  #at: number

  constructor(data: Buffer, at: number) {
    this.#data = data
    this.#at = at
  }

  /** An int2 or int4; null as 0. */
  small(): number {
    const value = this.bytes()
    return value.length === 0 ? 0 : value.readIntBE(0, value.length)
  }

  long(): bigint | null {
    const value = this.bytes()
    return value.length === 0 ? null : value.readBigInt64BE()
  }

  bytes(): Buffer {
    const size = Math.max(0, this.#data.readInt32BE(this.#at))
    const from = this.#at + 4
    this.#at = from + size
    return this.#data.subarray(from, this.#at)
  }

  skip(count: number): void {
    for (let i = 0; i < count; i++) this.bytes()
  }
}

/** Bytes of the tuple, or trailer, that begins there; 0 = it is not all here. */
function tupleSize(data: Buffer, start: number): number {
  if (data.length < start + 2) return 0
  const count = data.readInt16BE(start)
  let at = start + 2
  for (let i = 0; i < count; i++) {
    if (data.length < at + 4) return 0
    at += 4 + Math.max(0, data.readInt32BE(at))
  }
  return at <= data.length ? at - start : 0
}

function seqOf(shard: number, seq: number): bigint {
  return (BigInt(shard) << BigInt(SHARD_SHIFT)) + BigInt(seq)
}

function between({ fromMs, toMs }: { fromMs: number; toMs: number }): string {
  return [fromMs, toMs].map((ms) => `to_timestamp(${secondsOf(ms)})`).join(' AND ')
}

function secondsOf(ms: number): string {
  return (Math.max(-TIME_MS_MAX, Math.min(TIME_MS_MAX, Math.floor(ms))) / 1000).toFixed(3)
}
