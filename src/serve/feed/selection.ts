// Which instruments a subscription names: canonical symbols, venues' spellings, globs.
//
//   BTC-USDT             the symbol on every venue (canonical, or as the venue spells it)
//   binance:BTC-USDT     on one venue
//   ETH-*   *:ETH-*   *  `*` stands for any run of characters; globs match canonical symbols
//
// A selection is open: an instrument that appears later and matches belongs to it from then on.
// Equal sets of patterns have equal keys, whatever their order.

import type { Instrument, InstrumentTable } from '../../tick/instruments.ts'
import { wildcardMatches } from '../wildcard.ts'

const ANY = '*'

interface Glob {
  readonly pattern: string
  readonly venue: string
  readonly symbol: string
}

export class Selection {
  /** Sorted, without repeats; `*` alone when it is among them. */
  readonly patterns: readonly string[]
  readonly key: string
  readonly #names: ReadonlySet<string>
  readonly #globs: readonly Glob[]

  constructor(patterns: readonly string[]) {
    this.patterns = patterns.includes(ANY) ? [ANY] : [...new Set(patterns)].sort()
    this.key = JSON.stringify(this.patterns)
    this.#names = new Set(this.patterns.filter((pattern) => !pattern.includes(ANY)))
    this.#globs = this.patterns.filter((pattern) => pattern.includes(ANY)).map(readGlob)
  }

  matches(instrument: Instrument): boolean {
    const { venue, symbol, venueSymbol } = instrument
    if (this.#names.size > 0) {
      const names = this.#names
      if (names.has(symbol) || names.has(venueSymbol)) return true
      if (names.has(`${venue}:${symbol}`) || names.has(`${venue}:${venueSymbol}`)) return true
    }
    return this.#globs.some((glob) => globMatches(glob, instrument))
  }

  /** The instruments of the table that belong to it now, in the order of their ids. */
  instruments(table: InstrumentTable): Instrument[] {
    const found: Instrument[] = []
    for (let id = 1; id <= table.count; id++) {
      const instrument = table.get(id) as Instrument
      if (this.matches(instrument)) found.push(instrument)
    }
    return found
  }
}

/** Membership of an instrument: not looked up yet, no, yes. */
const MEMBER = Object.freeze({ unknown: 0, no: 1, yes: 2 })

/** The ids of a selection, each looked up once. */
export class Members {
  readonly #selection: Selection
  readonly #table: InstrumentTable
  readonly #known: Uint8Array

  constructor(selection: Selection, table: InstrumentTable) {
    this.#selection = selection
    this.#table = table
    this.#known = new Uint8Array(table.capacity + 1)
  }

  has(id: number): boolean {
    if (this.#known[id] === MEMBER.unknown) {
      const instrument = this.#table.get(id)
      const isMember = instrument !== undefined && this.#selection.matches(instrument)
      this.#known[id] = isMember ? MEMBER.yes : MEMBER.no
    }
    return this.#known[id] === MEMBER.yes
  }
}

/** For each pattern, as the client wrote it, which of the instruments it names. */
export function byPattern(
  patterns: readonly string[],
  instruments: readonly Instrument[],
): Map<string, Instrument[]> {
  const named = new Map<string, Instrument[]>(patterns.map((pattern) => [pattern, []]))
  const globs = [...named.keys()].filter((pattern) => pattern.includes(ANY)).map(readGlob)
  for (const instrument of instruments) {
    const { venue, symbol, venueSymbol } = instrument
    const spellings = new Set([symbol, venueSymbol])
    for (const spelling of spellings) {
      named.get(spelling)?.push(instrument)
      named.get(`${venue}:${spelling}`)?.push(instrument)
    }
    for (const glob of globs) {
      if (globMatches(glob, instrument)) named.get(glob.pattern)?.push(instrument)
    }
  }
  return named
}

function readGlob(pattern: string): Glob {
  const colon = pattern.indexOf(':')
  if (colon < 0) return { pattern, venue: ANY, symbol: pattern }
  return { pattern, venue: pattern.slice(0, colon), symbol: pattern.slice(colon + 1) }
}

function globMatches(glob: Glob, instrument: Instrument): boolean {
  if (glob.venue !== ANY && !wildcardMatches(glob.venue, instrument.venue)) return false
  return glob.symbol === ANY || wildcardMatches(glob.symbol, instrument.symbol)
}
