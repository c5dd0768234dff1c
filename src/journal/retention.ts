// Which segments may go: closed, stored, and too old or too many.
//
// Two rules stand above the settings. Nothing goes before the stores have read it, whatever the
// budget says. And the newest closed segment that is known to be durable stays, for it alone says
// which sequence comes next when the open one turns out to be empty, or what follows is cut back.

import type { SharedSeq } from '../ring/shared-seq.ts'
import { type Disk, realDisk } from './disk.ts'
import { ioError, type SegmentInfo, segmentPath } from './segment-files.ts'

export interface RetentionRules {
  /** Next sequence after those that all stores have committed. */
  storedSeq: number
  /** Next sequence after those that everybody was told are durable: a restart cuts back to it. */
  durableSeq: number
  /** A closed segment older than this goes, milliseconds. */
  retainMs: number
  /** Older segments go while all together (the open one too) have more bytes than this. */
  retainBytes: number
  nowMs: number
  openBytes: number
}

/** How many of the oldest of `segments` (all closed, ascending) may be removed now. */
export function removableCount(segments: readonly SegmentInfo[], rules: RetentionRules): number {
  let totalBytes = segments.reduce((sum, { sizeBytes }) => sum + sizeBytes, rules.openBytes)
  let count = 0
  for (const segment of segments.slice(0, -1)) {
    if (segment.endSeq > rules.storedSeq) break
    const follower = segments[count + 1] as SegmentInfo
    if (follower.endSeq > rules.durableSeq) break
    const isOld = rules.nowMs - segment.closedMs > rules.retainMs
    if (!isOld && totalBytes <= rules.retainBytes) break
    totalBytes -= segment.sizeBytes
    count++
  }
  return count
}

/**
 * Removes the oldest segment. `oldest` moves first, so that nobody starts to read what is about to
 * go; and the removal is durable before the next, so that no crash leaves a hole.
 */
export function removeOldest(
  directory: string,
  segment: SegmentInfo,
  oldest: SharedSeq,
  disk: Disk = realDisk,
): void {
  oldest.store(segment.endSeq)
  const path = segmentPath(directory, segment.firstSeq)
  try {
    disk.unlink(path)
    disk.syncDirectory(directory)
  } catch (thrown) {
    throw ioError(`cannot remove ${path}`, thrown)
  }
}
