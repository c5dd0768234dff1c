// Control messages of the server, as text. The fields are those of docs/protocol.md.

import { FEED_INSTRUMENTS_LISTED_MAX } from '../../limits.ts'
import type { Instrument } from '../../tick/instruments.ts'
import type { ControlId } from './control.ts'
import { BOOK_NOTICES, type BookNoticeName } from './errors.ts'
import { byPattern } from './selection.ts'
import type { Stream } from './stream.ts'

export type GapCause = 'slow' | 'conflated' | 'overrun'

/** An id is echoed when there was one. */
function withId(id: ControlId): { id?: string | number } {
  return id === undefined ? {} : { id }
}

function listed(instruments: readonly Instrument[]) {
  return instruments.map(({ id, venue, symbol }) => ({ id, venue, symbol }))
}

export function subscribeAck(
  id: ControlId,
  stream: Stream,
  symbols: readonly string[],
  instruments: readonly Instrument[],
  from: { epoch: number; nextSeq: number | null; isReplay: boolean },
): string {
  return JSON.stringify({
    op: 'ack',
    ...withId(id),
    stream: stream.id,
    channel: stream.name,
    epoch: from.epoch,
    next_seq: from.nextSeq,
    ...(from.isReplay ? { replay: true } : {}),
    symbols: resultsOf(stream, symbols, instruments),
  })
}

/** What became of each symbol that was asked for. */
function resultsOf(stream: Stream, symbols: readonly string[], instruments: readonly Instrument[]) {
  let room = FEED_INSTRUMENTS_LISTED_MAX
  return [...byPattern(symbols, instruments)].map(([symbol, named]) => {
    const shown = listed(named.slice(0, room))
    room -= shown.length
    const isUnknown = named.length === 0 && !symbol.includes('*') && stream.name !== 'test'
    const result = isUnknown ? 'unknown' : 'ok'
    return { symbol, result, instrument_count: named.length, instruments: shown }
  })
}

/** The subscription goes on as `stream`; what it was has ended before `was.nextSeq`. */
export function updateAck(
  id: ControlId,
  was: { readonly id: number; readonly nextSeq: number },
  stream: Stream,
  change: {
    readonly added: readonly string[]
    readonly removed: readonly string[]
    readonly absent: readonly string[]
    readonly instruments: readonly Instrument[]
  },
): string {
  const { added, removed, absent, instruments } = change
  return JSON.stringify({
    op: 'ack',
    ...withId(id),
    stream: stream.id,
    channel: stream.name,
    epoch: stream.epoch,
    from_seq: stream.nextSeq,
    was: { stream: was.id, next_seq: was.nextSeq },
    symbols: [
      ...resultsOf(stream, added, instruments),
      ...removed.map((symbol) => ({ symbol, result: 'removed' })),
      ...absent.map((symbol) => ({ symbol, result: 'absent' })),
    ],
  })
}

export function unsubscribeAck(id: ControlId, stream: Stream): string {
  return JSON.stringify({ op: 'ack', ...withId(id), stream: stream.id, next_seq: stream.nextSeq })
}

export function fillAck(
  id: ControlId,
  stream: number,
  { epoch, from, to }: { epoch: number; from: number; to: number },
): string {
  return JSON.stringify({ op: 'ack', ...withId(id), stream, epoch, from, to })
}

export function pong(id: ControlId, serverTime: string): string {
  return JSON.stringify({ op: 'pong', ...withId(id), server_time: serverTime })
}

/** The stream's sequences from … to were not sent to this subscriber. */
export function gap(stream: number, from: number, to: number, cause: GapCause): string {
  return JSON.stringify({ op: 'gap', stream, from, to, cause })
}

/** Sequences of an epoch that a crash took back before they were durable. */
export function restartGap(lost: {
  stream: number
  epoch: number
  from: number
  to: number
  nextEpoch: number
}): string {
  const { stream, epoch, from, to, nextEpoch } = lost
  const cause = 'restart'
  return JSON.stringify({ op: 'gap', stream, epoch, from, to, cause, next_epoch: nextEpoch })
}

/** The stream's next records are of this epoch, from next_seq on. */
export function epochBegins(stream: number, epoch: number, nextSeq: number): string {
  return JSON.stringify({ op: 'epoch', stream, epoch, next_seq: nextSeq })
}

export function replayCompleted(
  id: ControlId,
  stream: number,
  extent: Readonly<Record<string, number>>,
  totals: { count: number; digest: string },
): string {
  return JSON.stringify({ op: 'replay_completed', ...withId(id), stream, ...extent, ...totals })
}

/** The queue is half full, or its oldest byte half as old as it may be. */
export function slow(queue: {
  queued: number
  ageMs: number
  bufferBytes: number
  bufferAgeMs: number
}): string {
  return JSON.stringify({
    op: 'slow',
    queued_bytes: queue.queued,
    age_ms: Math.round(queue.ageMs),
    buffer_bytes: queue.bufferBytes,
    buffer_age_ms: queue.bufferAgeMs,
  })
}

/** Journal sequences were lost before the stream's next_seq; which were its own is unknown. */
export function overrunGap(stream: Stream, shard: number, from: number, to: number): string {
  return JSON.stringify({
    op: 'gap',
    stream: stream.id,
    cause: 'overrun',
    next_seq: stream.nextSeq,
    shard,
    from_seq: from,
    to_seq: to,
  })
}

/** The next `count` records of the stream are an image: they carry no sequences of their own. */
export function snapshot(stream: number, nextSeq: number, count: number): string {
  return JSON.stringify({ op: 'snapshot', stream, next_seq: nextSeq, count })
}

/** The books of these instruments are not right, from the stream's next_seq on. */
export function booksBroken(
  stream: Stream,
  name: BookNoticeName,
  instruments: readonly Instrument[],
): string {
  return JSON.stringify({
    op: 'book',
    stream: stream.id,
    state: 'broken',
    code: BOOK_NOTICES[name].code,
    name,
    next_seq: stream.nextSeq,
    instruments: listed(instruments),
  })
}

export function instrumentsJoined(stream: Stream, joined: readonly Instrument[]): string {
  return JSON.stringify({
    op: 'instruments',
    stream: stream.id,
    instrument_count: joined.length,
    instruments: listed(joined.slice(0, FEED_INSTRUMENTS_LISTED_MAX)),
  })
}

export function heartbeat(serverTime: string, streams: Readonly<Record<string, number>>): string {
  return JSON.stringify({ op: 'heartbeat', server_time: serverTime, streams })
}
