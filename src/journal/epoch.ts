// The epoch: one more at each start of the daemon. `epoch.json` in the shard's directory.
//
// It is durable before anything is done under it, so that no two starts ever share one: records
// that were served and lost in a crash have another epoch than those that take their sequences.

import { join } from 'node:path'
import { SEQ_MAX } from '../limits.ts'
import { type Disk, realDisk } from './disk.ts'
import { corrupt, ioError } from './segment-files.ts'

const FILE_NAME = 'epoch.json'
/** The file has about 20. */
const FILE_BYTES_MAX = 1024

/**
 * The epoch last opened; 0 in a new journal. `segmentEpoch` is the highest in any segment, 0 when
 * there are none. Throws JOURNAL_CORRUPT when the file cannot be right.
 */
export function readEpoch(directory: string, segmentEpoch: number, disk = realDisk): number {
  const path = join(directory, FILE_NAME)
  let text: string
  try {
    text = readText(path, disk)
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code !== 'ENOENT') {
      throw ioError(`cannot read ${path}`, thrown)
    }
    if (segmentEpoch === 0) return 0
    throw unusable(path, 'is missing', segmentEpoch)
  }
  const epoch = parseEpoch(text)
  if (epoch === undefined) throw unusable(path, 'is damaged', segmentEpoch)
  if (epoch < segmentEpoch) throw unusable(path, `says ${epoch}`, segmentEpoch)
  return epoch
}

/** Makes `epoch` the one last opened, durably. */
export function writeEpoch(directory: string, epoch: number, disk = realDisk): void {
  const path = join(directory, FILE_NAME)
  const next = `${path}.new`
  try {
    const text = new TextEncoder().encode(`${JSON.stringify({ epoch })}\n`)
    const fd = disk.open(next, 'replace')
    try {
      if (disk.write(fd, text, 0) < text.length) throw new Error('the disk is full')
      disk.sync(fd)
    } finally {
      disk.close(fd)
    }
    disk.rename(next, path)
    disk.syncDirectory(directory)
  } catch (thrown) {
    throw ioError(`cannot write ${path}`, thrown)
  }
}

function readText(path: string, disk: Disk): string {
  const fd = disk.open(path, 'read')
  try {
    const bytes = new Uint8Array(FILE_BYTES_MAX)
    return new TextDecoder().decode(bytes.subarray(0, disk.read(fd, bytes, 0)))
  } finally {
    disk.close(fd)
  }
}

function parseEpoch(text: string): number | undefined {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    return undefined
  }
  const epoch = (value as { epoch?: unknown } | null)?.epoch
  if (typeof epoch !== 'number' || !Number.isInteger(epoch)) return undefined
  return epoch > 0 && epoch <= SEQ_MAX ? epoch : undefined
}

function unusable(path: string, what: string, segmentEpoch: number): Error {
  return corrupt(
    `${path} ${what}, and the segments beside it have epochs up to ${segmentEpoch}; restore it, ` +
      `or write {"epoch":N} into it with N at least ${segmentEpoch} and above the epoch in the ` +
      'log of the last start',
  )
}
