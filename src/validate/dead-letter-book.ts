// The dead letters of a state directory as one list: each once, with what became of it.
//
// Reads files and log, and changes neither (purge is beside it). Order: writer by writer, oldest
// first. A letter that a crash made decode write twice is known by its digest and passed over the
// second time; so many digests are remembered as a crash can make be written again. Holds one
// file in memory.

import { existsSync, readdirSync } from 'node:fs'
import path from 'node:path'
import { TickdError } from '../errors.ts'
import { DEAD_LETTER_REPEATS_MAX } from '../limits.ts'
import { discardedCount } from './dead-letter-files.ts'
import { letterFileName, letterFileNumber } from './dead-letter-format.ts'
import { type Fate, letterDigest, type SettlementLog } from './dead-letter-log.ts'
import {
  type DeadLetter,
  type DeadLetterFilter,
  letterFiles,
  lettersOf,
  matchesFilter,
} from './dead-letter-reader.ts'

/** open: refused; doubt: driven again, and not known with what result; settled: has an outcome. */
export const LETTER_STATES = ['open', 'doubt', 'settled'] as const
export type LetterState = (typeof LETTER_STATES)[number]

export interface BookFilter extends DeadLetterFilter {
  readonly states?: readonly LetterState[]
  /** Only letters behind the one with this id. */
  readonly after?: string
}

export interface BookEntry {
  readonly letter: DeadLetter
  readonly digest: string
  readonly state: LetterState
  readonly fate: Fate | undefined
}

/** '<series>.<file number>.<offset>'. */
const ID = /^((?:shard|store)-\d{1,3})\.(\d{1,10})\.(\d{1,15})$/

interface Place {
  readonly series: string
  readonly file: number
  readonly offset: number
}

export class LetterBook {
  readonly directory: string
  readonly log: SettlementLog

  /** `directory`: `<state>/dead-letters`. */
  constructor(directory: string, log: SettlementLog) {
    this.directory = directory
    this.log = log
  }

  /** The letters that meet the filter. Open ones and those in doubt where it names no states. */
  *entries(filter: BookFilter): Generator<BookEntry, void, undefined> {
    const { states = ['open', 'doubt'], after } = filter
    const from = after === undefined ? undefined : this.#placeOf(after)
    const files = letterFiles(this.directory)
    const seen = new RecentDigests(DEAD_LETTER_REPEATS_MAX)
    for (const file of from === undefined ? files : files.slice(this.#indexFrom(files, from))) {
      for (const letter of lettersOf(file)) {
        const digest = letterDigest(letter)
        // Before any filter: the first of two may be settled, and is then so for both.
        if (!seen.add(digest)) continue
        if (from !== undefined && isUpTo(file, letter.offset, from)) continue
        if (!matchesFilter(letter, filter)) continue
        const fate = this.log.fates.get(digest)
        const state = stateOf(fate)
        if (states.includes(state)) yield { letter, digest, state, fate }
      }
    }
  }

  /** The letter with this id; undefined when it is not there (any more). Throws USAGE. */
  find(id: string): BookEntry | undefined {
    const { series, file, offset } = this.#placeOf(id)
    const name = path.join(this.directory, series, letterFileName(file))
    for (const letter of lettersOf(name, offset)) {
      if (letter.offset !== offset) return undefined
      const digest = letterDigest(letter)
      const fate = this.log.fates.get(digest)
      return { letter, digest, fate, state: stateOf(fate) }
    }
    return undefined
  }

  /** True while the file of a letter, or the one before it (for its repeat), is there. */
  isThere(id: string): boolean {
    const { series, file } = this.#placeOf(id)
    return [file, file + 1].some((number) =>
      existsSync(path.join(this.directory, series, letterFileName(number))),
    )
  }

  /** Letters that were discarded to stay within the budget, ever. */
  discarded(): number {
    if (!existsSync(this.directory)) return 0
    return readdirSync(this.directory, { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .reduce((sum, { name }) => sum + discardedCount(path.join(this.directory, name)), 0)
  }

  #placeOf(id: string): Place {
    const [, series, file, offset] = ID.exec(id) ?? []
    if (series !== undefined) return { series, file: Number(file), offset: Number(offset) }
    throw new TickdError('USAGE', `${id} is no letter's id; one looks like shard-0.1.4096`)
  }

  /** The file before the one of `from`, so that what repeats in that one is known as a repeat. */
  #indexFrom(files: readonly string[], from: Place): number {
    const index = files.findIndex((file) => {
      return seriesOf(file) === from.series && numberOf(file) >= from.file
    })
    const previous = files[index - 1]
    if (previous !== undefined && seriesOf(previous) === from.series) return index - 1
    if (index >= 0) return index
    // Its file, and all later ones of its writer, are gone.
    const order = [...new Set([...files.map(seriesOf), from.series])]
    order.sort(compareSeriesNames)
    const next = order[order.indexOf(from.series) + 1]
    return next === undefined ? files.length : files.findIndex((file) => seriesOf(file) === next)
  }
}

/** shard-2, shard-10, store-0: as the files are listed. */
function compareSeriesNames(a: string, b: string): number {
  const [kindA = '', numberA] = a.split('-')
  const [kindB = '', numberB] = b.split('-')
  return kindA.localeCompare(kindB) || Number(numberA) - Number(numberB)
}

function isUpTo(file: string, offset: number, place: Place): boolean {
  if (seriesOf(file) !== place.series || numberOf(file) > place.file) return false
  return numberOf(file) < place.file || offset <= place.offset
}

function seriesOf(file: string): string {
  return path.basename(path.dirname(file))
}

function numberOf(file: string): number {
  return letterFileNumber(path.basename(file))
}

function stateOf(fate: Fate | undefined): LetterState {
  if (fate?.as !== undefined) return 'settled'
  return fate?.doubt === undefined ? 'open' : 'doubt'
}

/** Remembers at least the last `countMax` digests, at most twice as many. */
class RecentDigests {
  readonly #countMax: number
  #fresh = new Set<string>()
  #old = new Set<string>()

  constructor(countMax: number) {
    this.#countMax = countMax
  }

  /** False for one that is remembered. */
  add(digest: string): boolean {
    if (this.#fresh.has(digest) || this.#old.has(digest)) return false
    this.#fresh.add(digest)
    if (this.#fresh.size >= this.#countMax) {
      this.#old = this.#fresh
      this.#fresh = new Set()
    }
    return true
  }
}
