// The epoch: one more at each start of the daemon. `epoch.json` in the shard's directory.
//
// It is durable before anything is done under it, so that no two starts ever share one: records
// that were served and lost in a crash have another epoch than those that take their sequences.

import { closeSync, fsyncSync, openSync, readFileSync, renameSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { SEQ_MAX } from '../limits.ts'
import { corrupt, ioError, syncDirectory } from './segment-files.ts'

const FILE_NAME = 'epoch.json'

/**
 * The epoch last opened; 0 in a new journal. `segmentEpoch` is the highest in any segment, 0 when
 * there are none. Throws JOURNAL_CORRUPT when the file cannot be right.
 */
export function readEpoch(directory: string, segmentEpoch: number): number {
  const path = join(directory, FILE_NAME)
  let text: string
  try {
    text = readFileSync(path, 'utf8')
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
export function writeEpoch(directory: string, epoch: number): void {
  const path = join(directory, FILE_NAME)
  const next = `${path}.new`
  try {
    const fd = openSync(next, 'w', 0o640)
    try {
      writeSync(fd, `${JSON.stringify({ epoch })}\n`)
      fsyncSync(fd)
    } finally {
      closeSync(fd)
    }
    renameSync(next, path)
    syncDirectory(directory)
  } catch (thrown) {
    throw ioError(`cannot write ${path}`, thrown)
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
