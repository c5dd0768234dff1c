// What each holder of a key and each address uses, over all threads that serve.
//
// Each thread has a column in shared memory, and writes no other: who uses something there has a
// place in it, with two counts of what is open and two moments at which an allowance is full again.
// What somebody uses in all is the sum of the counts, and the latest of the moments: see Allowance.
// No locks. Two threads that let somebody in at the same instant may each not see the other yet:
// a limit can be exceeded by one for each further thread, by no more. (Connections of a holder are
// counted before they are judged, and never exceed it.)
//
// A place of another column is found by its name's hash, and remembered for as long as that
// column's version is the same. Invariant: a name has at most one place in a column.

import { createHash } from 'node:crypto'
import { assert } from '../../errors.ts'
import type { Moment } from './allowance.ts'
import {
  columnBytes,
  HEADER_WORDS,
  MOMENT_WORDS,
  SLOT_WORD,
  SLOT_WORDS,
  slotsOf,
  USAGE_SLOTS,
  USAGE_WINDOW,
} from './usage-layout.ts'

/** Looks at a column that is being changed; then the last one is taken. */
const LOOKS_MAX = 100
const NOWHERE = -1
/** No version that anything may be remembered for: it is odd. */
const NEVER = -1

export class UsageBoard {
  readonly words: Int32Array
  readonly moments: Float64Array
  readonly columns: number
  /** Of this thread. */
  readonly own: number
  readonly #salt: string
  readonly #slots: number
  readonly #columnWords: number

  /** `salt`: the same for all threads, and known to nobody who might choose names by it. */
  constructor(memory: SharedArrayBuffer, columns: number, own: number, salt: string) {
    this.words = new Int32Array(memory)
    this.moments = new Float64Array(memory)
    this.columns = columns
    this.own = own
    this.#salt = salt
    this.#slots = slotsOf(memory.byteLength / columns)
    this.#columnWords = this.words.length / columns
    assert(memory.byteLength === columns * columnBytes(this.#slots), 'it is of so many columns')
    assert(own < columns, 'each thread that serves has a column')
  }

  /** Each thread's `clear` comes before anything else. */
  static create(columns: number, slots = USAGE_SLOTS): SharedArrayBuffer {
    return new SharedArrayBuffer(columns * columnBytes(slots))
  }

  /** Nothing is open here: at the start of a thread, and by main when one has ended. */
  clear(): void {
    if (this.version(this.own) === 0) return
    this.#change(() => {
      this.words.fill(0, this.slotWord(this.own, 0), this.slotWord(this.own, this.#slots))
    })
  }

  /** Gives a name its place; undefined = there is no room near where it belongs. */
  place(name: string): UsagePlace | undefined {
    const digest = createHash('sha256').update(this.#salt).update(name).digest()
    // Never both 0, which is a free slot.
    const [low, high] = [digest.readInt32LE(0) | 1, digest.readInt32LE(4)]
    const slot = this.find(this.own, 0, 0, high)
    if (slot === NOWHERE) return undefined
    this.#change(() => {
      const at = this.slotWord(this.own, slot)
      this.words.fill(0, at, at + SLOT_WORDS)
      this.words[at + SLOT_WORD.hashLow] = low
      this.words[at + SLOT_WORD.hashHigh] = high
    })
    return new UsagePlace(this, slot, low, high)
  }

  /** Takes a place back; nothing may be open there. */
  release(slot: number): void {
    this.#change(() => {
      const at = this.slotWord(this.own, slot)
      this.words.fill(0, at, at + SLOT_WORDS)
    })
  }

  /** Index of a slot's first word. */
  slotWord(column: number, slot: number): number {
    return column * this.#columnWords + HEADER_WORDS + slot * SLOT_WORDS
  }

  /** The slot of a hash (0, 0: a free one) in the window where `home` says; or NOWHERE. */
  find(column: number, low: number, high: number, home: number): number {
    const { words } = this
    for (let i = 0; i < USAGE_WINDOW; i++) {
      const slot = (home + i) & (this.#slots - 1)
      const at = this.slotWord(column, slot)
      const isLow = words[at + SLOT_WORD.hashLow] === low
      if (isLow && words[at + SLOT_WORD.hashHigh] === high) return slot
    }
    return NOWHERE
  }

  version(column: number): number {
    // Pairs with the additions in #change: read again after what was read of the column, so that
    // it held all the while. Stale = one more look.
    return Atomics.load(this.words, column * this.#columnWords)
  }

  /** Readers elsewhere see that the column is not to be relied on, and look again. */
  #change(work: () => void): void {
    const at = this.own * this.#columnWords
    // A predecessor may have ended amid its change: odd stays odd.
    // Pairs with the load in version(). The only writer is this thread.
    const before = Atomics.load(this.words, at)
    if ((before & 1) === 0) Atomics.add(this.words, at, 1)
    work()
    // As above: what was changed is published with it.
    Atomics.add(this.words, at, 1)
  }
}

/** A moment of a place, for an allowance that all threads share. */
export function momentOf(place: UsagePlace, kind: number): Moment {
  return { get: () => place.moment(kind), set: (ms) => place.setMoment(kind, ms) }
}

/** Where a name's use is counted by this thread, and seen of the others. */
export class UsagePlace {
  readonly #board: UsageBoard
  readonly #slot: number
  /** Index of the slot's first word in our own column. */
  readonly #at: number
  readonly #low: number
  readonly #high: number
  /** By column: where it was found, and at which version; own ones are not used. */
  readonly #slots: Int32Array
  readonly #versions: Int32Array
  #isReleased = false

  constructor(board: UsageBoard, slot: number, low: number, high: number) {
    this.#board = board
    this.#slot = slot
    this.#at = board.slotWord(board.own, slot)
    this.#low = low
    this.#high = high
    this.#slots = new Int32Array(board.columns).fill(NOWHERE)
    this.#versions = new Int32Array(board.columns).fill(NEVER)
  }

  /** Open here, of one of the two kinds. */
  ownCount(kind: number): number {
    return this.#board.words[this.#at + SLOT_WORD.counts + kind] as number
  }

  add(kind: number, count: number): void {
    if (this.#isReleased) return
    // Pairs with the loads in count(): whoever adds before it looks is seen by who looks after.
    Atomics.add(this.#board.words, this.#at + SLOT_WORD.counts + kind, count)
  }

  /** Open in all threads. */
  count(kind: number): number {
    const { columns, own, words } = this.#board
    let sum = this.ownCount(kind)
    for (let column = 0; column < columns; column++) {
      if (column === own) continue
      let count = 0
      for (let look = 0; look < LOOKS_MAX; look++) {
        const version = this.#board.version(column)
        const at = this.#find(column, version)
        // Pairs with the addition in add(). Stale = the other is let in a moment earlier.
        count = at === NOWHERE ? 0 : Atomics.load(words, at + SLOT_WORD.counts + kind)
        if (this.#holds(column, version)) break
      }
      sum += count
    }
    return sum
  }

  /** The latest of all threads' moments. */
  moment(kind: number): number {
    const { columns, own, moments } = this.#board
    let latest = moments[this.#momentAt(this.#at, kind)] as number
    for (let column = 0; column < columns; column++) {
      if (column === own) continue
      let moment = 0
      for (let look = 0; look < LOOKS_MAX; look++) {
        const version = this.#board.version(column)
        const at = this.#find(column, version)
        // Plain loads and stores, as of counters: a reader that is late charges a moment less.
        moment = at === NOWHERE ? 0 : (moments[this.#momentAt(at, kind)] as number)
        if (this.#holds(column, version)) break
      }
      if (moment > latest) latest = moment
    }
    return latest
  }

  setMoment(kind: number, ms: number): void {
    if (this.#isReleased) return
    this.#board.moments[this.#momentAt(this.#at, kind)] = ms
  }

  /** From here on it may be somebody else's: what is charged late is charged to nobody. */
  release(): void {
    this.#isReleased = true
    this.#board.release(this.#slot)
  }

  /** Index of a moment among 64-bit numbers, of the slot whose first word is `at`. */
  #momentAt(at: number, kind: number): number {
    return (at + SLOT_WORD.moments) / MOMENT_WORDS + kind
  }

  /** Index of the first word of our slot in another column at that version; or NOWHERE. */
  #find(column: number, version: number): number {
    const board = this.#board
    if (version !== this.#versions[column]) {
      this.#slots[column] = board.find(column, this.#low, this.#high, this.#high)
      // Until it is seen to hold, it is looked for again.
      this.#versions[column] = NEVER
    }
    const slot = this.#slots[column] as number
    return slot === NOWHERE ? NOWHERE : board.slotWord(column, slot)
  }

  /** Whether what was read of a column at that version was right. */
  #holds(column: number, version: number): boolean {
    if ((version & 1) === 1 || this.#board.version(column) !== version) return false
    this.#versions[column] = version
    return true
  }
}
