// hot path
// The venues that lines name, and the symbols that came with each.
//
// A line's venue is mostly that of the line before. Each has symbols of its own: the same symbol of
// two venues is two instruments. Venues beyond the first few are not kept, and resolved in full.

import { QuotedWord } from './quoted-word.ts'
import { SymbolCache } from './symbol-cache.ts'

const VENUES_MAX = 8
/** No venue that is kept. */
export const NO_VENUE = -1

export class VenueSymbols {
  readonly #names: QuotedWord[] = []
  readonly #symbols: SymbolCache[] = []
  #last = 0
  /** Bytes of the text found last, with its quotes. */
  size = 0

  /** The number of the quoted venue at `at`, its bytes counted in `size`; or NO_VENUE. */
  venue(view: DataView, at: number): number {
    for (let i = 0; i < this.#names.length; i++) {
      // The last one first.
      const venue = i === 0 ? this.#last : i === this.#last ? 0 : i
      const name = this.#names[venue] as QuotedWord
      if (!name.isAt(view, at)) continue
      this.#last = venue
      this.size = name.size
      return venue
    }
    return NO_VENUE
  }

  /** Keeps the quoted venue at `at`, of `size` bytes, where there is a place for one more. */
  keepVenue(view: DataView, at: number, size: number): number {
    const venue = this.#names.length
    if (venue === VENUES_MAX) return NO_VENUE
    const name = new QuotedWord()
    name.keep(view, at, size)
    if (name.size === 0) return NO_VENUE
    this.#names.push(name)
    this.#symbols.push(new SymbolCache())
    return venue
  }

  /** Instrument of the quoted symbol at `at`, its bytes counted in `size`; 0 = not known. */
  find(venue: number, view: DataView, at: number): number {
    if (venue < 0) return 0
    const symbols = this.#symbols[venue] as SymbolCache
    const instrument = symbols.find(view, at)
    this.size = symbols.size
    return instrument
  }

  /** Notes the instrument of the quoted symbol at `at`, of `size` bytes with its quotes. */
  remember(venue: number, view: DataView, at: number, size: number, instrument: number): void {
    if (venue < 0) return
    const symbols = this.#symbols[venue] as SymbolCache
    symbols.remember(view, at, size, instrument)
  }
}
