// Which records can never be read again, where a reader met damage: the exact range, and no more.
//
// Only damage within a segment that says itself which it is: blocks whose checksum is wrong, or
// that end before they should. A segment that is missing, or whose header is unusable, may be on a
// disk that is not mounted: whether it is gone is a person's to say, and nothing is told of it
// here.

import { TickdError } from '../errors.ts'
import { type Disk, realDisk } from './disk.ts'
import { checkedHeader, openSegmentFile } from './sealed-segment.ts'
import { listSegments, segmentPath } from './segment-files.ts'
import { type SegmentScan, scanSegment } from './segment-scan.ts'

/** Records fromSeq … toSeq - 1 of a file. */
export interface Damage {
  readonly file: string
  readonly offset: number
  readonly what: string
  readonly fromSeq: number
  readonly toSeq: number
}

export interface DamageQuery {
  directory: string
  shard: number
  /** The first record that could not be read. */
  seq: number
  /** Next sequence after the durable ones. */
  durableSeq: number
  disk?: Disk | undefined
}

/** Where to go on behind damage. */
export interface WayOn {
  /**
   * What is passed over; undefined when the block of `seq` is good, and something before it not.
   */
  readonly damage: Damage | undefined
  readonly seq: number
  /** The segment and the offset of the block that holds `seq`; undefined: in a later segment. */
  readonly block: { readonly segmentSeq: number; readonly offset: number } | undefined
}

/** undefined: the trouble is not damage of a block, so that nobody may pass over it. */
export function wayOn(query: DamageQuery): WayOn | undefined {
  const { directory, shard, seq, durableSeq, disk = realDisk } = query
  const firstSeqs = listSegments(directory, disk)
  const index = firstSeqs.findLastIndex((firstSeq) => firstSeq <= seq)
  if (index === -1) return undefined
  const segmentSeq = firstSeqs[index] as number
  const endSeq = Math.min(firstSeqs[index + 1] ?? durableSeq, durableSeq)
  const file = segmentPath(directory, segmentSeq)
  const found = scanOf(disk, file, shard, segmentSeq)
  if (found === undefined) return undefined
  const damage = damageOf(found.scan, file, seq, endSeq)
  const goOn = damage?.toSeq ?? seq
  const offset = found.blocks.find((block) => block.endSeq > goOn)?.startOffset
  // Neither damaged nor there: a segment is missing.
  if (damage === undefined && offset === undefined) return undefined
  return { damage, seq: goOn, block: offset === undefined ? undefined : { segmentSeq, offset } }
}

/** The damage that hits `seq`, in a segment whose records should end at `endSeq`. */
function damageOf(
  scan: SegmentScan,
  file: string,
  seq: number,
  endSeq: number,
): Damage | undefined {
  const fault = scan.faults.find(
    ({ fromSeq, toSeq }) => fromSeq <= seq && (toSeq > seq || toSeq === -1),
  )
  if (fault !== undefined) {
    const { offset, what, toSeq } = fault
    return { file, offset, what, fromSeq: seq, toSeq: toSeq === -1 ? endSeq : toSeq }
  }
  if (scan.isSealed || scan.endSeq > seq || endSeq <= seq) return undefined
  const what = 'the file ends before it'
  return { file, offset: scan.endOffset, what, fromSeq: seq, toSeq: endSeq }
}

interface Block {
  readonly endSeq: number
  readonly startOffset: number
}

/** undefined: there is no such segment, or its header is unusable. */
function scanOf(
  disk: Disk,
  path: string,
  shard: number,
  firstSeq: number,
): { scan: SegmentScan; blocks: Block[] } | undefined {
  const blocks: Block[] = []
  const onBlock = (endSeq: number, _end: number, startOffset: number) => {
    blocks.push({ endSeq, startOffset })
    return true
  }
  try {
    const fd = openSegmentFile(path, 'read', disk)
    try {
      const header = checkedHeader(fd, path, shard, firstSeq, disk)
      return { scan: scanSegment(fd, path, header, onBlock, disk), blocks }
    } finally {
      disk.close(fd)
    }
  } catch (thrown) {
    if (thrown instanceof TickdError) return undefined
    throw thrown
  }
}
