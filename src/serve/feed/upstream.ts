// A hole in a venue's own numbers: a status record of the journal, told at its place to the streams
// that carry what is missing. It takes no sequence; those of the stream stay dense.
//
//   code of the record    streams that are told
//   trade                 trades
//   quote                 quotes
//   book                  book, and quotes: the best bid and offer are of the book
//   none, or another      all

import type { TickBatch } from '../../tick/batch.ts'
import { formatDecimal, isNull, readNumber } from '../../tick/fixed-point.ts'
import { KIND, KIND_NAMES, STATUS, TICK_WORDS, WORD } from '../../tick/layout.ts'
import type { Channel } from './channels.ts'
import type { Stream } from './stream.ts'

/** Holes of which a stream keeps word between two of its records. */
const TOLD_MAX = 256

export interface VenueGap {
  readonly instrument: number
  /** KIND of the records whose ids they are; 0 = unknown. */
  readonly kind: number
  /** Ids of the venue, both included; null = it is not known which. */
  readonly from: string | null
  readonly to: string | null
}

/** undefined: the record tells of no hole. */
export function venueGap(batch: TickBatch, index: number): VenueGap | undefined {
  if (batch.kind(index) !== KIND.status || batch.action(index) !== STATUS.gap) return undefined
  const { words } = batch
  const at = index * TICK_WORDS
  const id = (word: number) => (isNull(words, word) ? null : formatDecimal(words, word, 0))
  const code = isNull(words, at + WORD.p0) ? 0 : readNumber(words, at + WORD.p0)
  const kind = KIND_NAMES[code] === undefined || code === KIND.status ? 0 : code
  const [from, to] = [id(at + WORD.p1), id(at + WORD.p2)]
  return { instrument: batch.instrument(index), kind, from, to }
}

export function concerns({ kinds }: Channel, { kind }: VenueGap): boolean {
  if (kind === 0 || kinds.includes(kind)) return true
  return kind === KIND.book && kinds.includes(KIND.quote)
}

/** Tells those who are live; who is being replayed finds it in the journal, or holds it. */
export function tellGap(gap: VenueGap, stream: Stream, nextSeq: number): void {
  const message = upstreamGap(stream.id, stream.epoch, nextSeq, gap)
  stream.told.add(nextSeq, message)
  for (const { subscriber, replay } of [...stream.subscriptions]) {
    if (replay === undefined) subscriber.sendControl(message)
    else replay.holdGap(message)
  }
}

export function upstreamGap(stream: number, epoch: number, nextSeq: number, gap: VenueGap): string {
  return JSON.stringify({
    op: 'gap',
    stream,
    epoch,
    cause: 'upstream',
    next_seq: nextSeq,
    instrument: gap.instrument,
    of: KIND_NAMES[gap.kind] ?? null,
    venue_from: gap.from,
    venue_to: gap.to,
  })
}

/** What a stream was told behind its last record: for those who join it just there. */
export class ToldGaps {
  #nextSeq = 0
  #messages: string[] = []

  add(nextSeq: number, message: string): void {
    if (nextSeq !== this.#nextSeq) this.#messages = []
    this.#nextSeq = nextSeq
    this.#messages.push(message)
    if (this.#messages.length > TOLD_MAX) this.#messages.shift()
  }

  /** Of those before `nextSeq`, where that is the next record of the stream. */
  at(nextSeq: number): readonly string[] {
    return nextSeq === this.#nextSeq ? this.#messages : []
  }
}
