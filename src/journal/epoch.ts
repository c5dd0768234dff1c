// The epoch: one more at each start of the daemon. `epoch.json` in the shard's directory, and with
// it the journal's id and the sequence that its first record had.
//
// It is durable before anything is done under it, so that no two starts ever share one: records
// that were served and lost in a crash have another epoch than those that take their sequences.

import { join } from 'node:path'
import { SEQ_MAX } from '../limits.ts'
import { type Disk, realDisk } from './disk.ts'
import { idOfText, idText } from './identity.ts'
import { corrupt, ioError } from './segment-files.ts'

const FILE_NAME = 'epoch.json'
/** The file has about 60. */
const FILE_BYTES_MAX = 1024

export interface EpochFile {
  /** The epoch last opened. */
  epoch: number
  /** 0n in files written before journals had one. */
  journalId: bigint
  /** Where the journal began: the next sequence while it has no segment. */
  firstSeq: number
}

export function epochPath(directory: string): string {
  return join(directory, FILE_NAME)
}

/**
 * What the file says; undefined in a new journal. `segmentEpoch` is the highest in any segment, 0
 * when there are none. Throws JOURNAL_CORRUPT when the file cannot be right.
 */
export function readEpoch(
  directory: string,
  segmentEpoch: number,
  disk: Disk = realDisk,
): EpochFile | undefined {
  const path = epochPath(directory)
  let text: string
  try {
    text = readText(path, disk)
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code !== 'ENOENT') {
      throw ioError(`cannot read ${path}`, thrown)
    }
    if (segmentEpoch === 0) return undefined
    throw unusable(path, 'is missing', segmentEpoch)
  }
  const file = parseFile(text)
  if (file === undefined) throw unusable(path, 'is damaged', segmentEpoch)
  if (file.epoch < segmentEpoch) throw unusable(path, `says ${file.epoch}`, segmentEpoch)
  return file
}

/** Makes the epoch the one last opened, durably. */
export function writeEpoch(directory: string, file: EpochFile, disk: Disk = realDisk): void {
  const path = epochPath(directory)
  const next = `${path}.new`
  try {
    const { epoch, journalId, firstSeq: first_seq } = file
    const fields = { epoch, journal: idText(journalId), first_seq }
    const text = new TextEncoder().encode(`${JSON.stringify(fields)}\n`)
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

/** The id and the first sequence may be absent: a person who mends the file knows neither. */
function parseFile(text: string): EpochFile | undefined {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    return undefined
  }
  const { epoch, journal, first_seq: firstSeq = 0 } = (value ?? {}) as Record<string, unknown>
  if (!isNumber(epoch) || epoch === 0 || !isNumber(firstSeq)) return undefined
  return { epoch, journalId: idOfText(journal) ?? 0n, firstSeq }
}

function isNumber(value: unknown): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= SEQ_MAX
}

function unusable(path: string, what: string, segmentEpoch: number): Error {
  return corrupt(
    `${path} ${what}, and the segments beside it have epochs up to ${segmentEpoch}; restore it, ` +
      `or write {"epoch":N} into it with N at least ${segmentEpoch} and above the epoch in the ` +
      'log of the last start',
  )
}
