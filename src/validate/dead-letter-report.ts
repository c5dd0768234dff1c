// What the command line and HTTP show of dead letters: plain objects, for JSON.
//
// A list has the beginning of each letter, `show` all of it. Text is what is valid UTF-8; hex is
// there for the rest.

import { FRAME_FORMAT } from '../ring/frame-format.ts'
import { TickBatch } from '../tick/batch.ts'
import type { InstrumentTable } from '../tick/instruments.ts'
import { type TickObject, tickToObject } from '../tick/json.ts'
import { formatTime } from '../tick/time.ts'
import type { BookEntry, BookFilter, LetterBook, LetterState } from './dead-letter-book.ts'
import type { Outcome } from './dead-letter-log.ts'
import type { DeadLetter } from './dead-letter-reader.ts'

const PREVIEW_BYTES = 120
const NS_PER_SEC = 1_000_000_000n

export interface LetterLine {
  readonly id: string
  readonly state: LetterState
  /** What became of a settled one. */
  readonly outcome: Outcome | null
  readonly source: string | null
  readonly stage: string
  readonly reason: string
  readonly received: string
  readonly format: string
  readonly venue: string | null
  readonly symbol: string | null
  readonly bytes: number
  readonly cut_bytes: number
  /** Times it was driven again, and why it was refused then. */
  readonly tries: number
  readonly last_failure: string | null
  readonly preview: string
}

export interface LetterList {
  readonly letters: readonly LetterLine[]
  /** Give it as `after` for more; null at the end. */
  readonly next: string | null
  /** Letters that had to go to stay within dead_letters.bytes_max, ever. */
  readonly discarded: number
}

export interface LetterGroup {
  readonly source: string | null
  readonly stage: string
  readonly reason: string
  letters: number
  bytes: number
  oldest: string
  newest: string
}

export interface LetterSummary {
  readonly groups: readonly LetterGroup[]
  readonly letters: number
  readonly discarded: number
}

export interface WholeLetter extends LetterLine {
  /** What a store said. */
  readonly detail: string | null
  /** The record, of one that was decoded. */
  readonly record: TickObject | null
  /** Null where the bytes are not UTF-8. */
  readonly text: string | null
  readonly hex: string
}

export function listLetters(
  book: LetterBook,
  filter: BookFilter,
  limit: number,
  instruments: InstrumentTable,
): LetterList {
  const letters: LetterLine[] = []
  let next: string | null = null
  for (const entry of book.entries(filter)) {
    if (letters.length === limit) {
      next = letters.at(-1)?.id ?? null
      break
    }
    letters.push(lineOf(entry, instruments))
  }
  return { letters, next, discarded: book.discarded() }
}

/** Counts by source, stage and reason, most first. */
export function summarizeLetters(book: LetterBook, filter: BookFilter): LetterSummary {
  const groups = new Map<string, LetterGroup>()
  let letters = 0
  for (const { letter } of book.entries(filter)) {
    letters++
    const { sourceName, stage, reason } = letter
    const key = `${sourceName} ${stage} ${reason}`
    const received = timeOf(letter)
    const group = groups.get(key) ?? {
      source: sourceName || null,
      stage,
      reason,
      letters: 0,
      bytes: 0,
      oldest: received,
      newest: received,
    }
    groups.set(key, group)
    group.letters++
    group.bytes += letter.bytes.length
    if (received < group.oldest) group.oldest = received
    if (received > group.newest) group.newest = received
  }
  const sorted = [...groups.values()].sort((a, b) => b.letters - a.letters)
  return { groups: sorted, letters, discarded: book.discarded() }
}

export function showLetter(entry: BookEntry, instruments: InstrumentTable): WholeLetter {
  const { letter } = entry
  return {
    ...lineOf(entry, instruments),
    detail: letter.detail || null,
    record: recordOf(letter, instruments),
    text: textOf(letter.bytes),
    hex: Buffer.from(letter.bytes).toString('hex'),
  }
}

function lineOf({ letter, state, fate }: BookEntry, instruments: InstrumentTable): LetterLine {
  const instrument = instruments.get(letter.instrument)
  return {
    id: letter.id,
    state,
    outcome: fate?.as ?? null,
    source: letter.sourceName || null,
    stage: letter.stage,
    reason: letter.reason,
    received: timeOf(letter),
    format: formatName(letter.format),
    venue: instrument?.venue ?? null,
    symbol: instrument?.symbol ?? null,
    bytes: letter.bytes.length,
    cut_bytes: letter.cutBytes,
    tries: fate?.tries ?? 0,
    last_failure: fate?.why || null,
    preview: previewOf(letter),
  }
}

function recordOf({ record }: DeadLetter, instruments: InstrumentTable): TickObject | null {
  if (record === undefined) return null
  const batch = new TickBatch(1)
  batch.bytes.set(record)
  batch.count = 1
  return tickToObject(batch, 0, instruments)
}

/** The beginning on one line, with what is no printable ASCII escaped; a store's words first. */
function previewOf({ bytes, detail }: DeadLetter): string {
  if (detail !== '') return detail.slice(0, PREVIEW_BYTES)
  const text = Buffer.from(bytes.subarray(0, PREVIEW_BYTES)).toString('latin1')
  return text.replace(/[^ -~]/g, (char) => {
    return `\\x${char.charCodeAt(0).toString(16).padStart(2, '0')}`
  })
}

function textOf(bytes: Uint8Array): string | null {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch {
    return null
  }
}

function timeOf({ recvNs }: DeadLetter): string {
  return formatTime(Number(recvNs / NS_PER_SEC), Number(recvNs % NS_PER_SEC))
}

function formatName(format: number): string {
  const known = Object.entries(FRAME_FORMAT).find(([, number]) => number === format)
  return known?.[0] ?? `format-${format}`
}
