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
  COLUMN_BYTES,
  SLOT_WORD,
  slotMoment,
  slotWord,
  USAGE_SLOTS,
  USAGE_WINDOW,
  versionWord,
} from './usage-layout.ts'

/** Looks at a column that is being changed; then the last one is taken. */
const LOOKS_MAX = 100
const NOWHERE = -1

export class UsageBoard {
  readonly words: Int32Array
  readonly moments: Float64Array
  readonly columns: number
  /** Of this thread. */
  readonly own: number
  readonly #salt: string

  /** `salt`: the same for all threads, and known to nobody who might choose names by it. */
  constructor(memory: SharedArrayBuffer, own: number, salt: string) {
    this.words = new Int32Array(memory)
    this.moments = new Float64Array(memory)
    this.columns = memory.byteLength / COLUMN_BYTES
    this.own = own
    this.#salt = salt
    assert(own < this.columns, 'each thread that serves has a column')
  }

  /** Pages that nobody touches cost nothing. */
  static create(columns: number): SharedArrayBuffer {
    return new SharedArrayBuffer(columns * COLUMN_BYTES)
  }

  /** Nothing is open here: at the start of a thread, and by main when one has ended. */
  clear(): void {
    if (this.version(this.own) === 0) return
    this.#change(() => {
      const from = slotWord(this.own, 0)
      // Pages that nobody has touched stay so.
      for (let at = from; at < slotWord(this.own, USAGE_SLOTS); at++) {
        if (this.words[at] !== 0) this.words[at] = 0
      }
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
      const at = slotWord(this.own, slot)
      this.words.fill(0, at, slotWord(this.own, slot + 1))
      this.words[at + SLOT_WORD.hashLow] = low
      this.words[at + SLOT_WORD.hashHigh] = high
    })
    return new UsagePlace(this, slot, low, high)
  }

  /** Takes a place back; nothing may be open there. */
  release(slot: number): void {
    this.#change(() => {
      this.words.fill(0, slotWord(this.own, slot), slotWord(this.own, slot + 1))
    })
  }

  /** The slot of a hash (0, 0: a free one) in the window where `home` says; or NOWHERE. */
  find(column: number, low: number, high: number, home: number): number {
    const { words } = this
    for (let i = 0; i < USAGE_WINDOW; i++) {
      const slot = (home + i) & (USAGE_SLOTS - 1)
      const at = slotWord(column, slot)
      const isLow = words[at + SLOT_WORD.hashLow] === low
      if (isLow && words[at + SLOT_WORD.hashHigh] === high) return slot
    }
    return NOWHERE
  }

  version(column: number): number {
    // Pairs with the additions in #change: read again after what was read of the column, so that
    // it held all the while. Stale = one more look.
    return Atomics.load(this.words, versionWord(column))
  }

  /** Readers elsewhere see that the column is not to be relied on, and look again. */
  #change(work: () => void): void {
    const at = versionWord(this.own)
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
  readonly #low: number
  readonly #high: number
  /** By column: where it was found, and at which version; own ones are not used. */
  readonly #slots: Int32Array
  readonly #versions: Int32Array
  #isReleased = false

  constructor(board: UsageBoard, slot: number, low: number, high: number) {
    this.#board = board
    this.#slot = slot
    this.#low = low
    this.#high = high
    this.#slots = new Int32Array(board.columns).fill(NOWHERE)
    // Odd: no version that a place may be remembered for.
    this.#versions = new Int32Array(board.columns).fill(1)
  }

  /** Open here, of one of the two kinds. */
  ownCount(kind: number): number {
    const { words, own } = this.#board
    return words[slotWord(own, this.#slot) + SLOT_WORD.counts + kind] as number
  }

  add(kind: number, count: number): void {
    if (this.#isReleased) return
    const { words, own } = this.#board
    const at = slotWord(own, this.#slot) + SLOT_WORD.counts + kind
    // Pairs with the loads in count(): whoever adds before it looks is seen by who looks after.
    Atomics.add(words, at, count)
  }

  /** Open in all threads. */
  count(kind: number): number {
    const { columns, own, words } = this.#board
    let sum = this.ownCount(kind)
    for (let column = 0; column < columns; column++) {
      if (column === own) continue
      sum += this.#read(column, (slot) => {
        // Pairs with the addition in add(). Stale = the other is let in a moment earlier.
        return Atomics.load(words, slotWord(column, slot) + SLOT_WORD.counts + kind)
      })
    }
    return sum
  }

  /** The latest of all threads' moments. */
  moment(kind: number): number {
    const { columns, own, moments } = this.#board
    let latest = moments[slotMoment(own, this.#slot) + kind] as number
    for (let column = 0; column < columns; column++) {
      if (column === own) continue
      // Plain loads and stores, as of counters: a reader that is late charges a moment less.
      const other = this.#read(column, (slot) => moments[slotMoment(column, slot) + kind] as number)
      if (other > latest) latest = other
    }
    return latest
  }

  setMoment(kind: number, ms: number): void {
    if (this.#isReleased) return
    const { own, moments } = this.#board
    moments[slotMoment(own, this.#slot) + kind] = ms
  }

  /** From here on it may be somebody else's: what is charged late is charged to nobody. */
  release(): void {
    this.#isReleased = true
    this.#board.release(this.#slot)
  }

  /** A value of our place in another column; 0 where there is none. */
  #read(column: number, value: (slot: number) => number): number {
    const board = this.#board
    let found = 0
    for (let look = 0; look < LOOKS_MAX; look++) {
      const version = board.version(column)
      const isKnown = version === this.#versions[column] && (version & 1) === 0
      const slot = isKnown
        ? (this.#slots[column] as number)
        : board.find(column, this.#low, this.#high, this.#high)
      found = slot === NOWHERE ? 0 : value(slot)
      if ((version & 1) === 1 || board.version(column) !== version) continue
      this.#versions[column] = version
      this.#slots[column] = slot
      break
    }
    return found
  }
}
