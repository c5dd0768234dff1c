// `positions.json` in a shard's directory: how far the journal was durable, and stored, when it was
// last written. For those who look at a journal at rest: it says what must be there, and what a
// database has already.
//
// A lower bound, and no more: written now and then, without an fsync. A crash may leave an older
// one, or none; it never leaves one that claims too much, for what it says was durable before.

import { join } from 'node:path'
import { SEQ_MAX } from '../limits.ts'
import { type Disk, realDisk } from './disk.ts'

const FILE_NAME = 'positions.json'
/** The file has about 60. */
const FILE_BYTES_MAX = 1024

export interface KnownPositions {
  /** Next sequence after those known to be durable. */
  durable: number
  /** Next sequence after those that every store has committed; SEQ_MAX where there is none. */
  stored: number
}

/** Throws what the disk says; nothing depends on the outcome. */
export function writePositions(directory: string, known: KnownPositions, disk: Disk): void {
  const path = join(directory, FILE_NAME)
  const next = `${path}.new`
  const fd = disk.open(next, 'replace')
  try {
    const { durable, stored } = known
    disk.write(fd, new TextEncoder().encode(`${JSON.stringify({ durable, stored })}\n`), 0)
  } finally {
    disk.close(fd)
  }
  disk.rename(next, path)
}

/** undefined where the file is missing or is not whole. */
export function readPositions(
  directory: string,
  disk: Disk = realDisk,
): KnownPositions | undefined {
  try {
    const fd = disk.open(join(directory, FILE_NAME), 'read')
    try {
      const bytes = new Uint8Array(FILE_BYTES_MAX)
      return parse(new TextDecoder().decode(bytes.subarray(0, disk.read(fd, bytes, 0))))
    } finally {
      disk.close(fd)
    }
  } catch {
    return undefined
  }
}

function parse(text: string): KnownPositions | undefined {
  const { durable, stored } = (JSON.parse(text) ?? {}) as Partial<KnownPositions>
  return isSeq(durable) && isSeq(stored) ? { durable, stored } : undefined
}

function isSeq(value: unknown): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= SEQ_MAX
}
