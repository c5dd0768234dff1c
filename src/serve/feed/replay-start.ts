// Where in the journal a replay begins: the nearest place before it at which the stream's sequence
// is known. Places are checkpoints, and the beginnings of epochs, where every sequence is 1.

import { TickBatch } from '../../tick/batch.ts'
import { compareI64 } from '../../tick/fixed-point.ts'
import { WORD } from '../../tick/layout.ts'
import type { Checkpoint } from './checkpoints.ts'
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
  const epochs = epochsOf(journal)
  const places = placesOf(journal, checkpoints, epochs)
  const { instruments, channel } = stream
  const startAt = ({ epoch, seq, counts }: Checkpoint): ReplayStart => {
    return { epoch, seq, streamSeq: 1 + sumOf(counts, instruments, channel.kinds) }
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

/** With this epoch, which may have no record yet. */
function epochsOf(journal: FeedJournal): EpochStart[] {
  const { epoch, firstSeq } = journal
  const starts = journal.epochStarts().filter((start) => start.epoch < epoch)
  const seq = Math.max(firstSeq, journal.oldest())
  return [...starts, { epoch, seq, isFirst: seq === firstSeq }]
}

/** Places of which everything behind is kept and durable, ascending. */
function placesOf(
  journal: FeedJournal,
  checkpoints: readonly Checkpoint[],
  epochs: readonly EpochStart[],
): Checkpoint[] {
  const [oldest, durable] = [journal.oldest(), journal.durable()]
  const beginnings = epochs
    .filter(({ isFirst }) => isFirst)
    .map(({ epoch, seq }) => ({ epoch, seq, recvMs: Infinity, counts: NO_COUNTS }))
  const kept = checkpoints.filter(({ epoch, seq }) => {
    // One that was noted before a crash may lie beyond what became durable.
    const next = epochs.find((start) => start.epoch > epoch)
    return seq >= oldest && seq <= Math.min(durable, next?.seq ?? durable)
  })
  return [...beginnings, ...kept].sort((a, b) => a.epoch - b.epoch || a.seq - b.seq)
}

/** Whether records before `seq` are wanted that are no longer kept. */
function isAfter(journal: FeedJournal, seq: number, moment: Moment): boolean {
  if (seq <= journal.originSeq) return false
  const reader = journal.open(seq, () => {})
  try {
    const batch = new TickBatch(1)
    if (reader.read(batch) === 0) return false
    return compareI64(batch.words, WORD.ts_recv, moment.words, 0) > 0
  } finally {
    reader.close()
  }
}
