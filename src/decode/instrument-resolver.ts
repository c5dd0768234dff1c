// hot path
// Symbol bytes of a message -> instrument id, adding instruments that are new.
//
// Ticks of a feed come in runs of one instrument: the last answer is kept with its bytes, and the
// shared table is asked only when the symbol changes. An unknown symbol is added under its
// canonical name, the venue's spelling beside it; the ids are durable before they are used.

import { INSTRUMENT_NAME_BYTES_MAX } from '../limits.ts'
import type { InstrumentTable } from '../tick/instruments.ts'
import { canonicalSymbol } from '../tick/symbols.ts'

/** In place of an id (which is 1 or more). */
export const NO_SYMBOL = 0
export const NO_ROOM = -1

export const VENUE_BYTES_MAX = 32
const BACKSLASH = 0x5c
const SPACE = 0x20
const DELETE = 0x7f

export class InstrumentResolver {
  readonly #instruments: InstrumentTable
  /** The last question: venue text, then symbol text. */
  readonly #last = new Uint8Array(2 * INSTRUMENT_NAME_BYTES_MAX)
  #lastVenueLength = 0
  #lastSymbolLength = 0
  #lastId = NO_SYMBOL

  constructor(instruments: InstrumentTable) {
    this.#instruments = instruments
  }

  /**
   * The id of symbol[symbolStart, symbolEnd) at venue[venueStart, venueEnd). NO_SYMBOL when either
   * cannot be a name (empty, too long, control characters, escapes, broken UTF-8); NO_ROOM when
   * the table is full.
   */
  resolve(
    venue: Uint8Array,
    venueStart: number,
    venueEnd: number,
    symbol: Uint8Array,
    symbolStart: number,
    symbolEnd: number,
  ): number {
    const last = this.#last
    const venueLength = venueEnd - venueStart
    const symbolLength = symbolEnd - symbolStart
    if (venueLength === this.#lastVenueLength && symbolLength === this.#lastSymbolLength) {
      const isSame =
        isEqual(last, venueLength, symbol, symbolStart, symbolLength) &&
        isEqual(last, 0, venue, venueStart, venueLength)
      if (isSame) return this.#lastId
    }
    if (symbolLength === 0 || venueLength === 0 || venueLength > VENUE_BYTES_MAX) return NO_SYMBOL
    if (symbolLength + venueLength > INSTRUMENT_NAME_BYTES_MAX) return NO_SYMBOL
    const known = this.#instruments.find(
      venue,
      venueStart,
      venueEnd,
      symbol,
      symbolStart,
      symbolEnd,
    )
    const id =
      known !== 0 ? known : this.#add(venue, venueStart, venueEnd, symbol, symbolStart, symbolEnd)
    if (id <= 0) return id
    for (let i = 0; i < venueLength; i++) last[i] = venue[venueStart + i] as number
    for (let i = 0; i < symbolLength; i++) last[venueLength + i] = symbol[symbolStart + i] as number
    this.#lastVenueLength = venueLength
    this.#lastSymbolLength = symbolLength
    this.#lastId = id
    return id
  }

  #add(
    venue: Uint8Array,
    venueStart: number,
    venueEnd: number,
    symbol: Uint8Array,
    symbolStart: number,
    symbolEnd: number,
  ): number {
    if (!isName(venue, venueStart, venueEnd)) return NO_SYMBOL
    if (!isName(symbol, symbolStart, symbolEnd)) return NO_SYMBOL
    const venueName = text(venue, venueStart, venueEnd)
    const symbolName = text(symbol, symbolStart, symbolEnd)
    if (venueName === undefined || symbolName === undefined) return NO_SYMBOL
    const canonical = canonicalSymbol(venueName, symbolName)
    const id = this.#instruments.add(venueName, canonical, symbolName)
    if (id !== 0) return id
    // The venue's spelling fits (see above); the canonical one is a little longer.
    const canonicalBytes = Buffer.byteLength(canonical) + venueEnd - venueStart
    return canonicalBytes > INSTRUMENT_NAME_BYTES_MAX ? NO_SYMBOL : NO_ROOM
  }
}

function isEqual(
  a: Uint8Array,
  aStart: number,
  b: Uint8Array,
  bStart: number,
  length: number,
): boolean {
  for (let i = 0; i < length; i++) if (a[aStart + i] !== b[bStart + i]) return false
  return true
}

/** No control characters, no blanks at the ends, nothing that had to stay escaped. */
function isName(bytes: Uint8Array, start: number, end: number): boolean {
  if (bytes[start] === SPACE || bytes[end - 1] === SPACE) return false
  for (let at = start; at < end; at++) {
    const byte = bytes[at] as number
    if (byte < SPACE || byte === DELETE || byte === BACKSLASH) return false
  }
  return true
}

/** The text of UTF-8 bytes; undefined when they are not UTF-8. Once per new instrument. */
function text(bytes: Uint8Array, start: number, end: number): string | undefined {
  const copy = Buffer.from(bytes.subarray(start, end))
  const decoded = copy.toString('utf8')
  return Buffer.from(decoded).equals(copy) ? decoded : undefined
}
