// hot path
// Trade ids that were seen, per instrument: is this trade a repeat?
//
//   fresh    not seen before
//   repeat   the id was seen with the same price, size and side: dropped, and counted
//   suspect  the id is too old to remember, or was seen with other values: kept, and flagged
//
// A window is a table of `slots` ids indexed by their low bits, in which the greater id stays. So a
// slot with a smaller id (or none) proves that an id is new, one with a greater id proves nothing.
// Of densely numbered trades it remembers the last `slots` exactly; of others fewer, never wrongly.
//
//   slot, 32-bit words: id low | id high | price mark | size and side mark
//
// Bounded: a window starts small, doubles instead of forgetting up to `duplicate_window` ids, and
// all windows together take at most DUPLICATE_BYTES_MAX. Beyond it the window that was idle longest
// (second chance) is dropped; its greatest id stays as a floor, under which ids are suspect.

import { assert } from '../errors.ts'
import { DUPLICATE_BYTES_MAX, INSTRUMENTS_MAX } from '../limits.ts'
import { NULL_HI, NULL_LO, OFFSET, WORD } from '../tick/layout.ts'

export const SEEN = Object.freeze({ fresh: 0, repeat: 1, suspect: 2 })

const SLOT_WORDS = 4
const SLOTS_FIRST = 256
const INSTRUMENTS_FIRST = 256
/** Odd, and random to the eye: mixes the high word of a value into its mark. */
const MIX = 0x9e3779b1 | 0
/** The word that holds the side, and the side's bits in it (little-endian). */
const SIDE_WORD = OFFSET.side >> 2
const SIDE_MASK = 0xff << ((OFFSET.side & 3) * 8)

export class TradeIds {
  /** Windows dropped to stay within the budget. */
  evictedCount = 0
  /** Bytes that all windows take. */
  windowBytes = 0
  /** Slots of a full-grown window; 0 = off. */
  readonly #slotsMax: number
  readonly #bytesMax: number
  /** By instrument. Entries as many as `#recent` has. */
  readonly #windows: (Int32Array | undefined)[] = []
  /** By instrument: the window was used since the hand last passed. */
  #recent = new Uint8Array(0)
  /** By instrument: greatest id of a dropped window (low, high); null = none was dropped. */
  #floors = new Int32Array(0)
  #hand = 0

  /** `windowIds`: ids to remember per instrument, rounded up to a power of two; 0 = off. */
  constructor(windowIds: number, bytesMax = DUPLICATE_BYTES_MAX) {
    this.#slotsMax = windowIds === 0 ? 0 : 2 ** Math.ceil(Math.log2(windowIds))
    this.#bytesMax = bytesMax
    assert(this.#slotsMax * SLOT_WORDS * 4 <= bytesMax, 'one window fits in the budget')
  }

  /** What is known of the trade at word `at` of `words`; remembers it. */
  look(instrument: number, words: Int32Array, at: number): number {
    const lo = words[at + WORD.p2] as number
    const hi = words[at + WORD.p2 + 1] as number
    if (this.#slotsMax === 0 || (hi === NULL_HI && lo === NULL_LO)) return SEEN.fresh
    if (instrument >= this.#recent.length) this.#growTable(instrument)
    let window = this.#windows[instrument] ?? this.#open(instrument)
    this.#recent[instrument] = 1
    const priceMark = markOf(words, at + WORD.p0)
    const side = (words[at + SIDE_WORD] as number) & SIDE_MASK
    const sizeMark = markOf(words, at + WORD.p1) ^ side
    let slot = slotOf(window, lo)
    if (isSame(lo, hi, window, slot)) {
      const same = window[slot + 2] === priceMark && window[slot + 3] === sizeMark
      return same ? SEEN.repeat : SEEN.suspect
    }
    // Nothing is forgotten, and no id left out, before the window is full-grown: a free slot then
    // proves that an id is new.
    while (!isFree(window, slot) && window.length < this.#slotsMax * SLOT_WORDS) {
      window = this.#growWindow(instrument, window)
      slot = slotOf(window, lo)
    }
    if (isBelow(lo, hi, window, slot)) return SEEN.suspect
    window[slot] = lo
    window[slot + 1] = hi
    window[slot + 2] = priceMark
    window[slot + 3] = sizeMark
    const floor = instrument * 2
    const floored = isBelow(lo, hi, this.#floors, floor) || isSame(lo, hi, this.#floors, floor)
    return floored ? SEEN.suspect : SEEN.fresh
  }

  #open(instrument: number): Int32Array {
    const slots = Math.min(SLOTS_FIRST, this.#slotsMax)
    this.#makeRoom(instrument, slots * SLOT_WORDS * 4)
    const window = emptyWindow(slots)
    this.#windows[instrument] = window
    return window
  }

  /** Doubles a window. No two of its ids share a slot of the larger one, so none is lost. */
  #growWindow(instrument: number, old: Int32Array): Int32Array {
    this.#makeRoom(instrument, old.byteLength)
    const window = emptyWindow((old.length / SLOT_WORDS) * 2)
    for (let from = 0; from < old.length; from += SLOT_WORDS) {
      const slot = slotOf(window, old[from] as number)
      if (isFree(old, from)) continue
      for (let word = 0; word < SLOT_WORDS; word++) window[slot + word] = old[from + word] as number
    }
    this.#windows[instrument] = window
    return window
  }

  /** Drops idle windows, never that of `instrument`, until `bytes` more fit; then takes them. */
  #makeRoom(instrument: number, bytes: number): void {
    while (this.windowBytes + bytes > this.#bytesMax) {
      this.#hand = (this.#hand + 1) % this.#windows.length
      if (this.#hand === instrument || this.#windows[this.#hand] === undefined) continue
      if (this.#recent[this.#hand] === 1) this.#recent[this.#hand] = 0
      else this.#evict(this.#hand)
    }
    this.windowBytes += bytes
  }

  #evict(instrument: number): void {
    const window = this.#windows[instrument] as Int32Array
    const floor = instrument * 2
    for (let slot = 0; slot < window.length; slot += SLOT_WORDS) {
      if (isBelow(window[slot] as number, window[slot + 1] as number, this.#floors, floor)) continue
      this.#floors[floor] = window[slot] as number
      this.#floors[floor + 1] = window[slot + 1] as number
    }
    this.windowBytes -= window.byteLength
    this.#windows[instrument] = undefined
    this.evictedCount++
  }

  #growTable(instrument: number): void {
    assert(instrument <= INSTRUMENTS_MAX, 'an instrument id is within the table')
    const count = Math.min(
      Math.max(instrument + 1, this.#recent.length * 2, INSTRUMENTS_FIRST),
      INSTRUMENTS_MAX + 1,
    )
    const recent = new Uint8Array(count)
    recent.set(this.#recent)
    const floors = new Int32Array(count * 2)
    for (let index = 0; index < count; index++) floors[index * 2 + 1] = NULL_HI
    floors.set(this.#floors)
    this.#recent = recent
    this.#floors = floors
    while (this.#windows.length < count) this.#windows.push(undefined)
  }
}

function emptyWindow(slots: number): Int32Array {
  const window = new Int32Array(slots * SLOT_WORDS)
  // The null is the least of all ids: any id is greater.
  for (let slot = 0; slot < window.length; slot += SLOT_WORDS) window[slot + 1] = NULL_HI
  return window
}

function slotOf(window: Int32Array, lo: number): number {
  return (lo * SLOT_WORDS) & (window.length - 1)
}

function isFree(window: Int32Array, slot: number): boolean {
  return window[slot] === NULL_LO && window[slot + 1] === NULL_HI
}

function isSame(lo: number, hi: number, ids: Int32Array, at: number): boolean {
  return ids[at] === lo && ids[at + 1] === hi
}

/** True when the id (lo, hi) is less than the one at `at`. */
function isBelow(lo: number, hi: number, ids: Int32Array, at: number): boolean {
  const otherHi = ids[at + 1] as number
  if (hi !== otherHi) return hi < otherHi
  return lo >>> 0 < (ids[at] as number) >>> 0
}

function markOf(words: Int32Array, at: number): number {
  return (words[at] as number) ^ Math.imul(words[at + 1] as number, MIX)
}
