// Which journal this is, and which start of the daemon wrote a segment: two random numbers.
//
// Sequences and epochs are small numbers that another journal has as well. The journal's id stays
// for as long as its directory does; a start's id is new each time. Segments carry both, and a
// database remembers those of the last record it stored: so it is known again whether the journal
// beside it is the one its rows came from (a copy that was restored goes on under other start ids).

import { randomBytes } from 'node:crypto'

export interface JournalIdentity {
  /** 64 bits, never 0; 0n = not known (segments of version 1). */
  readonly journalId: bigint
  readonly startId: bigint
}

export const UNKNOWN_IDENTITY: JournalIdentity = Object.freeze({ journalId: 0n, startId: 0n })

const ID_TEXT = /^[0-9a-f]{16}$/

export function newId(): bigint {
  const id = randomBytes(8).readBigUInt64LE()
  return id === 0n ? newId() : id
}

/** 16 hexadecimal digits; '' for an id that is not known. */
export function idText(id: bigint): string {
  return id === 0n ? '' : id.toString(16).padStart(16, '0')
}

/** The id of such a text; undefined when it is none. */
export function idOfText(text: unknown): bigint | undefined {
  return typeof text === 'string' && ID_TEXT.test(text) ? BigInt(`0x${text}`) : undefined
}
