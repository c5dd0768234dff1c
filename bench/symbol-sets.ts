// Which symbols each of many subscribers asks for: another set each, the same in every run.

import { Random } from '../src/source/random.ts'
import { symbolAt } from './trade-lines.ts'

export interface SymbolSets {
  /** The load is of so many symbols. */
  readonly symbols: number
  /** So many of them are asked for by each subscriber. */
  readonly size: number
}

/** Indices of the symbols of subscriber `nth`. */
export function setOf({ symbols, size }: SymbolSets, nth: number): Set<number> {
  const random = new Random(nth)
  const set = new Set<number>()
  while (set.size < Math.min(size, symbols)) set.add(random.below(symbols))
  return set
}

export function symbolsOf(set: Iterable<number>): string[] {
  return [...set].map(symbolAt)
}
