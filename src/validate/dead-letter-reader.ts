// Reads dead letters back, oldest first, while a daemon may be writing them.
//
// An entry that is torn (a crash in mid-write, or a write under way) or damaged is passed over: the
// reader goes on at the next whole entry, if there is one. A file that was discarded meanwhile is
// passed over too. Holds one file in memory.

import { readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'
import type { DeadLetterReason } from '../ledger/reasons.ts'
import { TICK_BYTES } from '../tick/layout.ts'
import {
  LETTER_ALIGN_BYTES,
  LETTER_FLAG,
  LETTER_HEADER_BYTES,
  LETTER_HEADER_BYTES_V1,
  LETTER_OFFSET,
  LETTER_STAGES,
  type LetterStage,
  letterFileNumber,
  letterHeaderBytes,
  letterSizeAt,
  STAGE_REASONS,
} from './dead-letter-format.ts'

/** A writer's directory: decode's of a shard, or the database writer's. */
const SERIES_DIRECTORY = /^(shard|store)-(\d+)$/

export interface DeadLetter {
  /** Where it lies: '<series>.<file number>.<offset>', 'shard-0.12.4096'. */
  readonly id: string
  /** Path of its file, and where in it. */
  readonly file: string
  readonly offset: number
  readonly stage: LetterStage
  /** `reason-…`: the number of one that a newer daemon knows. */
  readonly reason: DeadLetterReason | `reason-${number}`
  /** Index of the source in the configuration of the daemon that wrote it. */
  readonly source: number
  /** Its name; '' in files of version 1, which have none. */
  readonly sourceName: string
  /** FRAME_FORMAT of its frame. */
  readonly format: number
  /** Id in the instrument table; 0 where it is not known. */
  readonly instrument: number
  /** When the bytes were received, ns since 1970 UTC. */
  readonly recvNs: bigint
  /** What a store said; '' otherwise. */
  readonly detail: string
  /** Which of equal messages: see dead-letter-format.ts. -1 in files of version 1. */
  readonly origin: number
  readonly ordinal: number
  /** The 64-byte tick, of a record. */
  readonly record: Uint8Array | undefined
  /** The message as it came. */
  readonly bytes: Uint8Array
  /** Bytes that were cut from its end. */
  readonly cutBytes: number
}

/** Only letters that meet all of what is given. */
export interface DeadLetterFilter {
  readonly reasons?: readonly DeadLetter['reason'][]
  readonly sources?: readonly string[]
  readonly stages?: readonly LetterStage[]
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
    for (const letter of lettersOf(file)) if (matchesFilter(letter, filter)) yield letter
  }
}

/** The letters of one file, from an offset on. None when it is not there. */
export function* lettersOf(file: string, from = 0): Generator<DeadLetter, void, undefined> {
  const bytes = readIfThere(file)
  let offset = from
  while (bytes.length - offset >= LETTER_HEADER_BYTES_V1) {
    const size = letterSizeAt(bytes, offset)
    if (size > 0) yield readLetter(file, bytes, offset)
    offset += size > 0 ? size : LETTER_ALIGN_BYTES
  }
}

function readLetter(file: string, bytes: Buffer, offset: number): DeadLetter {
  const header = letterHeaderBytes(bytes, offset)
  const isV1 = header !== LETTER_HEADER_BYTES
  const length = bytes.readUInt32LE(offset + LETTER_OFFSET.length)
  const flags = bytes[offset + LETTER_OFFSET.flags] as number
  const number = bytes[offset + LETTER_OFFSET.reason] as number
  const isRecord = (flags & LETTER_FLAG.RECORD) !== 0
  const stage = isV1 ? Number(isRecord) : (bytes[offset + LETTER_OFFSET.stage] as number)
  const name = offset + header
  const detail = name + (isV1 ? 0 : (bytes[offset + LETTER_OFFSET.nameBytes] as number))
  const tick = detail + (isV1 ? 0 : bytes.readUInt16LE(offset + LETTER_OFFSET.detailBytes))
  const message = isRecord ? tick + TICK_BYTES : tick
  return {
    id: letterId(file, offset),
    file,
    offset,
    stage: LETTER_STAGES[stage] ?? 'decode',
    reason: STAGE_REASONS[stage]?.[number] ?? `reason-${number}`,
    source: bytes.readUInt16LE(offset + LETTER_OFFSET.source),
    sourceName: bytes.toString('utf8', name, detail),
    format: bytes[offset + LETTER_OFFSET.format] as number,
    instrument: bytes.readUInt32LE(offset + LETTER_OFFSET.instrument),
    recvNs: bytes.readBigInt64LE(offset + LETTER_OFFSET.tsRecv),
    detail: bytes.toString('utf8', detail, tick),
    origin: isV1 ? -1 : bytes.readUIntLE(offset + LETTER_OFFSET.origin, 6),
    ordinal: isV1 ? 0 : bytes.readUInt32LE(offset + LETTER_OFFSET.ordinal),
    record: isRecord ? bytes.subarray(tick, message) : undefined,
    bytes: bytes.subarray(message, offset + header + length),
    cutBytes: bytes.readUInt32LE(offset + LETTER_OFFSET.fullLength) - length,
  }
}

function letterId(file: string, offset: number): string {
  const series = path.basename(path.dirname(file))
  return `${series}.${letterFileNumber(path.basename(file))}.${offset}`
}

/** True where the letter meets all of what the filter gives. */
export function matchesFilter(letter: DeadLetter, filter: DeadLetterFilter): boolean {
  const { reasons, sources, stages, instruments, fromNs, untilNs } = filter
  if (stages !== undefined && !stages.includes(letter.stage)) return false
  if (reasons !== undefined && !reasons.includes(letter.reason)) return false
  if (sources !== undefined && !sources.includes(letter.sourceName)) return false
  if (instruments !== undefined && !instruments.includes(letter.instrument)) return false
  if (fromNs !== undefined && letter.recvNs < fromNs) return false
  return untilNs === undefined || letter.recvNs < untilNs
}

/** Paths of all letter files, writer by writer, oldest first. None when there is no directory. */
export function letterFiles(directory: string): string[] {
  const own: string[] = []
  const series: string[] = []
  for (const entry of readdirIfThere(directory)) {
    if (letterFileNumber(entry) > 0) own.push(path.join(directory, entry))
    else if (SERIES_DIRECTORY.test(entry)) series.push(entry)
  }
  own.sort()
  series.sort(compareSeries)
  return [...own, ...series.flatMap((name) => letterFiles(path.join(directory, name)))]
}

/** shard-2 before shard-10 before store-0. */
function compareSeries(a: string, b: string): number {
  const [, kindA = '', numberA] = SERIES_DIRECTORY.exec(a) ?? []
  const [, kindB = '', numberB] = SERIES_DIRECTORY.exec(b) ?? []
  return kindA.localeCompare(kindB) || Number(numberA) - Number(numberB)
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
