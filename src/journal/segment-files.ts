// Segment files of a shard's directory: names, listing, headers, and durable directory entries.

import { join } from 'node:path'
import { errorText, TickdError } from '../errors.ts'
import { type Disk, isRefusal, realDisk } from './disk.ts'
import { decodeSegmentHeader, HeaderBuffer, type SegmentHeader } from './headers.ts'
import { SEGMENT_HEADER_BYTES } from './segment-layout.ts'

/** 2^48 - 1 has 15 digits: names sort as their numbers do. */
const NAME_DIGITS = 15
const SEGMENT_NAME = /^(\d{15})\.seg$/

/** A sealed segment. */
export interface SegmentInfo {
  readonly firstSeq: number
  /** First sequence of the next segment. */
  readonly endSeq: number
  readonly epoch: number
  /** Of the journal and of the start that wrote it; 0n in segments of version 1. */
  readonly journalId: bigint
  readonly startId: bigint
  /** Of batches in it; 0 = none for certain. */
  readonly markCount: number
  readonly sizeBytes: number
  /** When it was last written, ms since 1970 UTC. */
  readonly closedMs: number
}

/** The directory of a shard within the state directory. */
export function shardDirectory(stateDir: string, shard: number): string {
  return join(stateDir, 'journal', `shard-${shard}`)
}

export function segmentName(firstSeq: number): string {
  return `${String(firstSeq).padStart(NAME_DIGITS, '0')}.seg`
}

export function segmentPath(directory: string, firstSeq: number): string {
  return join(directory, segmentName(firstSeq))
}

/** Size of a segment's file; 0 when it is gone. */
export function segmentFileBytes(directory: string, firstSeq: number, disk = realDisk): number {
  return disk.pathBytes(segmentPath(directory, firstSeq))
}

/** First sequences of the segments in `directory`, ascending. Other files are left alone. */
export function listSegments(directory: string, disk = realDisk): number[] {
  let names: string[]
  try {
    names = disk.list(directory)
  } catch (thrown) {
    throw ioError(`cannot list ${directory}`, thrown)
  }
  const seqs: number[] = []
  for (const name of names) {
    const match = SEGMENT_NAME.exec(name)
    if (match !== null) seqs.push(Number(match[1]))
  }
  return seqs.sort((a, b) => a - b)
}

/** The header of an open segment, or what is wrong with it. */
export function readSegmentHeader(
  fd: number,
  path: string,
  disk: Disk = realDisk,
): SegmentHeader | string {
  const buffer = new HeaderBuffer(SEGMENT_HEADER_BYTES)
  let size = 0
  try {
    size = disk.read(fd, buffer.bytes, 0)
  } catch (thrown) {
    throw ioError(`cannot read ${path}`, thrown)
  }
  return size < SEGMENT_HEADER_BYTES ? `it has only ${size} bytes` : decodeSegmentHeader(buffer)
}

/** JOURNAL_IO with the system's own words; can be retried where the disk only refuses for now. */
export function ioError(what: string, thrown: unknown): TickdError {
  const canRetry = isRefusal(thrown)
  return new TickdError('JOURNAL_IO', `${what}: ${errorText(thrown)}`, { cause: thrown, canRetry })
}

export function corrupt(what: string): TickdError {
  return new TickdError('JOURNAL_CORRUPT', what)
}
