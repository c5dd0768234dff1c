// Reads dead letters back, oldest first, while a daemon may be writing them.
//
// An entry that is torn (a crash in mid-write, or a write under way) or damaged is passed over: the
// reader goes on at the next whole entry, if there is one. A file that was discarded meanwhile is
// passed over too. Holds one file in memory.

import { readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { type DeadLetterReason, QUARANTINE_REASONS, REJECT_REASONS } from '../ledger/reasons.ts'
import { TICK_BYTES } from '../tick/layout.ts'
import {
  LETTER_ALIGN_BYTES,
  LETTER_FLAG,
  LETTER_HEADER_BYTES,
  LETTER_OFFSET,
  letterFileNumber,
  letterSizeAt,
} from './dead-letter-format.ts'

const SHARD_DIRECTORY = /^shard-(\d+)$/

export interface DeadLetter {
  /** Path of its file, and where in it: together they name the letter. */
  readonly file: string
  readonly offset: number
  /** `reason-…`: the number of one that a newer daemon knows. */
  readonly reason: DeadLetterReason | `reason-${number}`
  /** Index of the source in the configuration of the daemon that wrote it. */
  readonly source: number
  /** FRAME_FORMAT of its frame. */
  readonly format: number
  /** Id in the instrument table; 0 where it is not known. */
  readonly instrument: number
  /** When the bytes were received, ns since 1970 UTC. */
  readonly recvNs: bigint
  /** The 64-byte tick, of a quarantined record. */
  readonly record: Uint8Array | undefined
  /** The message as it came. */
  readonly bytes: Uint8Array
  /** Bytes that were cut from its end. */
  readonly cutBytes: number
}

/** Only letters that meet all of what is given. */
export interface DeadLetterFilter {
  readonly reasons?: readonly DeadLetter['reason'][]
  readonly sources?: readonly number[]
  readonly instruments?: readonly number[]
  /** Received at or after, and before. */
  readonly fromNs?: bigint
  readonly untilNs?: bigint
}

/** The letters in `directory`: a shard's, or `<state>/dead-letters` with one directory a shard. */
export function* readDeadLetters(
  directory: string,
  filter: DeadLetterFilter = {},
): Generator<DeadLetter, void, undefined> {
  for (const file of letterFiles(directory)) {
    for (const letter of lettersOf(file)) if (matches(letter, filter)) yield letter
  }
}

function* lettersOf(file: string): Generator<DeadLetter, void, undefined> {
  const bytes = readIfThere(file)
  let offset = 0
  while (bytes.length - offset >= LETTER_HEADER_BYTES) {
    const size = letterSizeAt(bytes, offset)
    if (size > 0) yield readLetter(file, bytes, offset)
    offset += size > 0 ? size : LETTER_ALIGN_BYTES
  }
}

function readLetter(file: string, bytes: Buffer, offset: number): DeadLetter {
  const length = bytes.readUInt32LE(offset + LETTER_OFFSET.length)
  const flags = bytes[offset + LETTER_OFFSET.flags] as number
  const number = bytes[offset + LETTER_OFFSET.reason] as number
  const isRecord = (flags & LETTER_FLAG.RECORD) !== 0
  const start = offset + LETTER_HEADER_BYTES
  const message = isRecord ? start + TICK_BYTES : start
  const reason = isRecord ? QUARANTINE_REASONS[number] : REJECT_REASONS[number]
  return {
    file,
    offset,
    reason: reason ?? `reason-${number}`,
    source: bytes.readUInt16LE(offset + LETTER_OFFSET.source),
    format: bytes[offset + LETTER_OFFSET.format] as number,
    instrument: bytes.readUInt32LE(offset + LETTER_OFFSET.instrument),
    recvNs: bytes.readBigInt64LE(offset + LETTER_OFFSET.tsRecv),
    record: isRecord ? bytes.subarray(start, message) : undefined,
    bytes: bytes.subarray(message, start + length),
    cutBytes: bytes.readUInt32LE(offset + LETTER_OFFSET.fullLength) - length,
  }
}

function matches(letter: DeadLetter, filter: DeadLetterFilter): boolean {
  const { reasons, sources, instruments, fromNs, untilNs } = filter
  if (reasons !== undefined && !reasons.includes(letter.reason)) return false
  if (sources !== undefined && !sources.includes(letter.source)) return false
  if (instruments !== undefined && !instruments.includes(letter.instrument)) return false
  if (fromNs !== undefined && letter.recvNs < fromNs) return false
  return untilNs === undefined || letter.recvNs < untilNs
}

/** Paths of all letter files, shard by shard, oldest first. None when there is no directory. */
function letterFiles(directory: string): string[] {
  const own: string[] = []
  const shards: string[] = []
  for (const entry of readdirIfThere(directory)) {
    if (letterFileNumber(entry) > 0) own.push(path.join(directory, entry))
    else if (SHARD_DIRECTORY.test(entry)) shards.push(entry)
  }
  own.sort()
  shards.sort((a, b) => shardOf(a) - shardOf(b))
  return [...own, ...shards.flatMap((shard) => letterFiles(path.join(directory, shard)))]
}

function shardOf(directory: string): number {
  return Number(SHARD_DIRECTORY.exec(directory)?.[1])
}

function readdirIfThere(directory: string): string[] {
  try {
    return readdirSync(directory)
  } catch (error) {
    if (isMissing(error)) return []
    throw error
  }
}

function readIfThere(file: string): Buffer {
  try {
    return readFileSync(file)
  } catch (error) {
    if (isMissing(error)) return Buffer.alloc(0)
    throw error
  }
}

function isMissing(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ENOENT'
}
