// Where in the journal a replay begins: the nearest place before it at which the stream's sequence
// is known. Places are checkpoints, and the beginnings of epochs, where every sequence is 1.

import { TickBatch } from '../../tick/batch.ts'
import { compareI64 } from '../../tick/fixed-point.ts'
import { WORD } from '../../tick/layout.ts'
import { type Checkpoint, isBeginning } from './checkpoints.ts'
import type { FeedErrorName } from './errors.ts'
import type { EpochStart, FeedJournal } from './feed-journal.ts'
import type { Stream } from './stream.ts'
import { sumOf } from './tally.ts'

/** A time as an i64 of nanoseconds, and rounded down. */
export interface Moment {
  readonly words: Int32Array
  readonly ms: number
}

/** What a client asks for: the first record that it wants, or the first received from then on. */
export type Target = { readonly epoch: number; readonly seq: number } | Moment

export interface ReplayStart {
  readonly epoch: number
  /** In the journal. */
  readonly seq: number
  /** Of the stream: that of its first record at or behind `seq`. */
  readonly streamSeq: number
  /** What lies before it was received before, ms since 1970; infinite = not known. */
  readonly recvMs: number
  /** Epochs of which something can be read, ascending. */
  readonly epochs: readonly EpochStart[]
}

const NO_COUNTS = new Float64Array(0)

export function isMoment(target: Target): target is Moment {
  return 'words' in target
}

/** The place, or why there is none. */
export function startOf(
  journal: FeedJournal,
  checkpoints: readonly Checkpoint[],
  stream: Stream,
  target: Target,
): ReplayStart | FeedErrorName {
  const epochs = epochsOf(journal, checkpoints)
  const places = placesOf(journal, checkpoints, epochs)
  const { instruments, channel } = stream
  const startAt = ({ epoch, seq, recvMs, counts }: Checkpoint): ReplayStart => {
    const streamSeq = 1 + sumOf(counts, instruments, channel.kinds)
    return { epoch, seq, recvMs, streamSeq, epochs }
  }
  if (isMoment(target)) {
    const place = places.findLast(({ recvMs }) => recvMs < target.ms)
    if (place !== undefined) return startAt(place)
    const first = places[0]
    if (first === undefined || isAfter(journal, first.seq, target)) return 'replay_aged_out'
    return startAt(first)
  }
  if (target.epoch > journal.epoch) return 'unknown_sequence'
  const inEpoch = places.filter(({ epoch }) => epoch === target.epoch).map(startAt)
  const start = inEpoch.findLast(({ streamSeq }) => streamSeq <= target.seq)
  if (start !== undefined) return start
  const isKept = epochs.some(({ epoch }) => epoch === target.epoch)
  const oldest = epochs[0] as EpochStart
  const isOlder = target.epoch < oldest.epoch && oldest.seq > journal.originSeq
  if (isKept || isOlder) return 'replay_aged_out'
  // Nothing of that epoch became durable: what there is begins with the next one.
  const next = places.find(({ epoch }) => epoch > target.epoch)
  return next === undefined ? 'replay_aged_out' : startAt(next)
}

/** With this epoch, which may have no record yet; with a store, those before the journal, too. */
function epochsOf(journal: FeedJournal, checkpoints: readonly Checkpoint[]): EpochStart[] {
  const { epoch, firstSeq, store } = journal
  const starts = journal.epochStarts().filter((start) => start.epoch < epoch)
  const seq = Math.max(firstSeq, journal.oldest())
  const kept = [...starts, { epoch, seq, isFirst: seq === firstSeq }]
  if (store === undefined) return kept
  const noted = new Map(checkpoints.filter(isBeginning).map(({ epoch, seq }) => [epoch, seq]))
  const beginningOf = (epoch: number): EpochStart | undefined => {
    const seq = epoch === journal.epoch ? firstSeq : noted.get(epoch)
    return seq === undefined ? undefined : { epoch, seq, isFirst: true }
  }
  const [oldest, ...others] = kept as [EpochStart, ...EpochStart[]]
  const epochs = [oldest.isFirst ? oldest : (beginningOf(oldest.epoch) ?? oldest), ...others]
  // Only as far back as every beginning is known: else records of two epochs were taken for one's.
  for (;;) {
    const first = epochs[0] as EpochStart
    const before = first.isFirst ? beginningOf(first.epoch - 1) : undefined
    if (before === undefined) return epochs
    epochs.unshift(before)
  }
}

/** Places of which everything behind can be read and is durable, ascending. */
function placesOf(
  journal: FeedJournal,
  checkpoints: readonly Checkpoint[],
  epochs: readonly EpochStart[],
): Checkpoint[] {
  const [oldest, durable] = [journal.oldest(), journal.durable()]
  const beginnings = epochs
    .filter(({ isFirst }) => isFirst)
    .map(({ epoch, seq }) => ({
      epoch,
      seq,
      recvMs: beganMs(checkpoints, epoch),
      counts: NO_COUNTS,
    }))
  const kept = checkpoints.filter((checkpoint) => {
    const { epoch, seq } = checkpoint
    if (isBeginning(checkpoint)) return false
    // One that was noted before a crash may lie beyond what became durable.
    const next = epochs.find((start) => start.epoch > epoch)
    if (seq > Math.min(durable, next?.seq ?? durable)) return false
    const isStored = journal.store !== undefined && epochs.some((start) => start.epoch === epoch)
    return seq >= oldest || isStored
  })
  return [...beginnings, ...kept].sort((a, b) => a.epoch - b.epoch || a.seq - b.seq)
}

/** Everything before the epoch was received before then. */
function beganMs(checkpoints: readonly Checkpoint[], epoch: number): number {
  const noted = checkpoints.find((each) => each.epoch === epoch && isBeginning(each))
  return noted?.recvMs ?? Number.POSITIVE_INFINITY
}

/** Whether records before `seq` are wanted that are no longer kept. */
function isAfter(journal: FeedJournal, seq: number, moment: Moment): boolean {
  if (seq <= journal.originSeq) return false
  if (seq < journal.oldest()) return true
  const reader = journal.open(seq, () => {})
  try {
    const batch = new TickBatch(1)
    if (reader.read(batch) === 0) return false
    return compareI64(batch.words, WORD.ts_recv, moment.words, 0) > 0
  } finally {
    reader.close()
  }
}
