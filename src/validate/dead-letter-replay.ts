// Drives dead letters through the decoder of today, each to one end only.
//
//   decode → `try` to the log, fsynced → frames on the way of ticks → receipts → journal durable →
//   `done` to the log, fsynced
//
// Whatever ends in between, of this thread or the daemon, the log says what had been begun, and the
// journal whether it was taken: its records since the `try` that carry the flag REPLAYED and are,
// payload and times of receipt included, those of the letter. Found ones are done, missing ones are
// driven again, and of a letter that was torn its missing records only. Where the journal no longer
// reaches back so far nobody can know: the letter stays in doubt, and is not driven again unless
// that is asked for.
//
// It decodes by itself and puts packed ticks on the ring: a decoder that crashes or hangs on a
// letter takes nobody with it. Not here: what a letter decodes to (threads/letters-decoder.ts).

import { TickdError } from '../errors.ts'
import { LETTERS_UNDER_WAY_BYTES_MAX, LETTERS_UNDER_WAY_MAX } from '../limits.ts'
import type { BookEntry, BookFilter, LetterBook } from './dead-letter-book.ts'
import { type Fate, type LogLine, NOT_TAKEN, type Outcome, type Try } from './dead-letter-log.ts'
import type { DeadLetter } from './dead-letter-reader.ts'
import { RecordCounts, recordKeys } from './dead-letter-records.ts'

/** What a letter is today: records to be taken, or why there are none. */
export type Reading =
  | { readonly is: 'records'; readonly shard: number; readonly ticks: Uint8Array }
  | { readonly is: 'ignored'; readonly why: string }
  | { readonly is: 'refused'; readonly why: string }
  /** Cannot be driven at all now: no such source, its bytes were cut. */
  | { readonly is: 'skipped'; readonly why: string }

/** What became of records that were put on the way of ticks. */
export interface Taken {
  readonly accepted: number
  readonly duplicate: number
}

/** A letter's records under way, packed. */
export interface Parcel {
  readonly letter: DeadLetter
  readonly shard: number
  readonly ticks: Uint8Array
}

/** The way of ticks. */
export interface LetterLanes {
  /** Where the journal of a shard stands: what a try begins with. */
  place(shard: number): Try
  /** Resolves, when the records are durable, to what became of each parcel. */
  drive(parcels: readonly Parcel[]): Promise<Taken[]>
  /** Resolves when all that anybody had put there before is durable. */
  settle(shard: number): Promise<void>
  /** False when that is another journal, or it does not reach back so far, or not up to it. */
  reaches(place: Try): boolean
  /**
   * Calls back with each record flagged REPLAYED of a shard's journal from `seq` to its durable
   * end: 64 bytes, valid during the call.
   */
  replayed(shard: number, seq: number, onRecord: (tick: Uint8Array) => void): void
}

export interface ReplayOptions {
  readonly book: LetterBook
  readonly read: (letter: DeadLetter) => Reading
  readonly lanes: LetterLanes
}

export interface ReplayRequest {
  readonly filter: BookFilter
  /** Letters looked at, at most. */
  readonly limit: number
  /** Drive also letters in doubt which the journal cannot decide. They may come twice. */
  readonly evenDoubtful: boolean
  /** Say what would become of them, and do nothing. */
  readonly dryRun: boolean
}

export interface ReplayResult {
  /** Letters looked at. */
  letters: number
  /** Settled, by outcome. */
  readonly settled: Partial<Record<Outcome, number>>
  /** Records that were stored. */
  records: number
  /** Letters that stay what they are, by reason. */
  readonly refused: Record<string, number>
  readonly skipped: Record<string, number>
  /** Id of the last letter looked at, where there may be more; '' at the end. */
  next: string
}

interface Pending extends Parcel {
  readonly digest: string
}

/** A letter in doubt, as it reads today. */
interface Doubt extends Pending {
  readonly tried: Try
}

export class LetterReplay {
  readonly #options: ReplayOptions
  readonly #pending: Pending[] = []
  #pendingBytes = 0
  /** Of letters that are not under way: lost in a crash, they are only said again. */
  readonly #lines: LogLine[] = []
  #result: ReplayResult = emptyResult()

  constructor(options: ReplayOptions) {
    this.#options = options
  }

  /** Throws IO when the log or the way of ticks does not work; what was begun is then in doubt. */
  async run(request: ReplayRequest): Promise<ReplayResult> {
    const { book } = this.#options
    const { damagedCount } = book.log
    if (damagedCount > 0 && !request.evenDoubtful) {
      const text = `${damagedCount} lines of ${book.directory}/settled.log are damaged: letters may`
      throw new TickdError('IO', `${text} be stored already; drive them again with even_doubtful`)
    }
    this.#result = emptyResult()
    this.#pending.length = 0
    this.#pendingBytes = 0
    this.#lines.length = 0
    book.log.compact((id) => book.isThere(id))
    if (!request.dryRun) await this.#resolveDoubts(request.evenDoubtful)
    await this.#driveAll(request)
    return this.#result
  }

  async #driveAll({ filter, limit, dryRun }: ReplayRequest): Promise<void> {
    const result = this.#result
    let last = ''
    for (const entry of this.#options.book.entries({ ...filter, states: ['open', 'doubt'] })) {
      if (result.letters === limit) {
        result.next = last
        break
      }
      result.letters++
      last = entry.letter.id
      if (entry.state === 'doubt') increment(result.skipped, 'in_doubt')
      else await this.#look(entry, dryRun)
    }
    await this.#drive()
    this.#flushNotes()
  }

  async #look({ letter, digest }: BookEntry, dryRun: boolean): Promise<void> {
    const reading = this.#options.read(letter)
    const line = { letter: digest, id: letter.id }
    switch (reading.is) {
      case 'skipped':
        return increment(this.#result.skipped, reading.why)
      case 'refused':
        increment(this.#result.refused, reading.why)
        if (!dryRun) this.#note({ is: 'failed', ...line, why: reading.why })
        return
      case 'ignored':
        increment(this.#result.settled, 'ignored')
        if (!dryRun) this.#note({ is: 'done', ...line, as: 'ignored' })
        return
      case 'records':
        if (dryRun) increment(this.#result.settled, 'recovered')
        else await this.#add({ letter, digest, shard: reading.shard, ticks: reading.ticks })
    }
  }

  #note(line: LogLine): void {
    this.#lines.push(line)
    if (this.#lines.length >= LETTERS_UNDER_WAY_MAX) this.#flushNotes()
  }

  #flushNotes(): void {
    this.#options.book.log.append(this.#lines.splice(0))
  }

  async #add(pending: Pending): Promise<void> {
    const isFull =
      this.#pending.length >= LETTERS_UNDER_WAY_MAX ||
      this.#pendingBytes + pending.ticks.length > LETTERS_UNDER_WAY_BYTES_MAX
    if (isFull) await this.#drive()
    this.#pending.push(pending)
    this.#pendingBytes += pending.ticks.length
  }

  /** The letters at hand, to their end. */
  async #drive(): Promise<void> {
    const parcels = this.#pending.splice(0)
    this.#pendingBytes = 0
    if (parcels.length === 0) return
    const { lanes, book } = this.#options
    // Must happen before the first frame is on its way, durably: after a crash it is the only
    // witness that these letters may be stored already, and of where in the journal to look.
    book.log.append(
      parcels.map(({ letter, digest, shard }): LogLine => {
        return { is: 'try', letter: digest, id: letter.id, ...lanes.place(shard) }
      }),
    )
    const taken = await lanes.drive(parcels)
    // Only after the journal has them durably: a letter that is done is never driven again.
    book.log.append(parcels.map((parcel, i) => this.#done(parcel, outcomeOf(taken[i] as Taken))))
    for (const { accepted } of taken) this.#result.records += accepted
  }

  #done({ letter, digest }: Pending, as: Outcome): LogLine {
    increment(this.#result.settled, as)
    return { is: 'done', letter: digest, id: letter.id, as }
  }

  /** Asks the journal what became of letters whose driving was cut short. */
  async #resolveDoubts(evenDoubtful: boolean): Promise<void> {
    const doubts = new Map<number, Doubt[]>()
    for (const [digest, fate] of this.#options.book.log.fates) {
      if (fate.doubt === undefined || fate.as !== undefined) continue
      const doubt = this.#readAgain(digest, fate, fate.doubt)
      if (doubt === undefined) continue
      const ofShard = doubts.get(doubt.shard) ?? []
      ofShard.push(doubt)
      doubts.set(doubt.shard, ofShard)
    }
    this.#flushNotes()
    for (const [shard, ofShard] of doubts) {
      // What an earlier life of this thread had put on the ring may still be on its way.
      await this.#options.lanes.settle(shard)
      const { lanes } = this.#options
      const [sure, lost] = split(ofShard, ({ tried }) => lanes.reaches(tried))
      if (sure.length > 0) await this.#resolveShard(shard, sure)
      if (evenDoubtful) this.#options.book.log.append(lost.map(notTaken))
    }
  }

  #readAgain(digest: string, { id }: Fate, tried: Try): Doubt | undefined {
    const letter = this.#options.book.find(id)?.letter
    // Its file was discarded meanwhile: nothing is left to be driven.
    if (letter === undefined) return undefined
    const reading = this.#options.read(letter)
    if (reading.is === 'records') {
      return { digest, letter, shard: tried.shard, ticks: reading.ticks, tried }
    }
    // What was tried is not known any more: in doubt for ever, unless it is asked for.
    return undefined
  }

  async #resolveShard(shard: number, doubts: readonly Doubt[]): Promise<void> {
    const { book, lanes } = this.#options
    const counts = new RecordCounts()
    for (const { ticks } of doubts) for (const key of recordKeys(ticks)) counts.want(key)
    const from = Math.min(...doubts.map(({ tried }) => tried.seq))
    lanes.replayed(shard, from, (tick) => counts.found(tick))
    const found: Doubt[] = []
    const torn: Doubt[] = []
    const lines: LogLine[] = []
    for (const doubt of doubts) {
      const missing = counts.missing(doubt.ticks)
      if (missing.length === 0) found.push(doubt)
      else if (missing.length < doubt.ticks.length) torn.push({ ...doubt, ticks: missing })
      else lines.push(notTaken(doubt))
    }
    // The torn ones keep the `try` of then, and the found ones their doubt until these are whole:
    // were we to end here, the next look at the journal counts the same letters from there.
    const taken = torn.length === 0 ? [] : await lanes.drive(torn)
    for (const { accepted } of taken) this.#result.records += accepted
    for (const doubt of [...found, ...torn]) lines.push(this.#done(doubt, 'recovered'))
    this.#result.letters += found.length + torn.length
    book.log.append(lines)
  }
}

/** As if it had not been tried: it comes up in its turn. */
function notTaken({ digest, letter }: Doubt): LogLine {
  return { is: 'failed', letter: digest, id: letter.id, why: NOT_TAKEN }
}

function split<Item>(items: readonly Item[], test: (item: Item) => boolean): [Item[], Item[]] {
  return [items.filter(test), items.filter((item) => !test(item))]
}

function outcomeOf({ accepted, duplicate }: Taken): Outcome {
  if (accepted > 0) return 'recovered'
  return duplicate > 0 ? 'duplicate' : 'quarantined'
}

function emptyResult(): ReplayResult {
  return { letters: 0, settled: {}, records: 0, refused: {}, skipped: {}, next: '' }
}

function increment<Key extends string>(counts: Partial<Record<Key, number>>, key: Key): void {
  counts[key] = (counts[key] ?? 0) + 1
}
