// The instrument table: (venue, symbol) <-> id, in shared memory, grown while running.
//
// Any thread may look up without a lock, and add under the lock. An id is given once and never
// reused; `onAdd` makes it durable before any thread can see it (see instrument-log.ts), so a tick
// on disk never names an unknown instrument. Symbols are canonical ('BTC-USDT'); the venue's own
// spelling ('BTCUSDT') resolves to the same id. Names are unique within a venue.

import { assert } from '../errors.ts'
import { INSTRUMENT_NAME_BYTES_MAX } from '../limits.ts'
import {
  INSTRUMENT_WORD,
  INSTRUMENT_WORDS,
  instrumentTableLayout,
  NAME_BYTES,
  NAME_OFFSET,
} from './instrument-layout.ts'

export interface Instrument {
  id: number
  venue: string
  /** Canonical symbol, unique within the venue. */
  symbol: string
  /** The venue's own spelling. */
  venueSymbol: string
}

const LOCK_FREE = 0
/** The lock's holder, where nobody says who it is. */
const SOMEBODY = 1
const LOCK_WAIT_MS = 50
const encoder = new TextEncoder()

export class InstrumentTable {
  readonly capacity: number
  /** For native kernels, which only read it. */
  readonly memory: SharedArrayBuffer
  readonly #words: Int32Array
  readonly #slots: Int32Array
  readonly #slotMask: number
  readonly #names: Uint8Array
  readonly #nameWords: Int32Array
  readonly #nameCapacity: number
  readonly #instruments: Int32Array
  readonly #onAdd: ((instrument: Instrument) => void) | undefined
  readonly #owner: number
  readonly #cache: Instrument[] = []

  /** `owner`: what the lock holds while this thread holds it; above 0, one a thread. */
  constructor(
    memory: SharedArrayBuffer,
    capacity: number,
    onAdd?: (i: Instrument) => void,
    owner = SOMEBODY,
  ) {
    const layout = instrumentTableLayout(capacity)
    assert(memory.byteLength === layout.size, 'the memory was made for this capacity')
    assert((capacity & (capacity - 1)) === 0, 'the capacity is a power of two')
    this.capacity = capacity
    this.memory = memory
    this.#words = new Int32Array(memory, 0, layout.slots / 4)
    this.#slots = new Int32Array(memory, layout.slots, layout.slotCount)
    this.#slotMask = layout.slotCount - 1
    this.#names = new Uint8Array(memory, layout.names, layout.nameCount * NAME_BYTES)
    this.#nameWords = new Int32Array(memory, layout.names, (layout.nameCount * NAME_BYTES) / 4)
    this.#nameCapacity = layout.nameCount
    this.#instruments = new Int32Array(memory, layout.instruments)
    this.#onAdd = onAdd
    this.#owner = owner
  }

  static create(capacity: number): SharedArrayBuffer {
    return new SharedArrayBuffer(instrumentTableLayout(capacity).size)
  }

  /** Ids 1 … count are valid. */
  get count(): number {
    // Pairs with the store in #insert(): entries up to it are complete.
    return Atomics.load(this.#words, INSTRUMENT_WORD.instrumentCount)
  }

  /**
   * The id for a venue and a symbol (canonical or the venue's spelling), given as byte ranges;
   * 0 when unknown. Allocates nothing.
   */
  find(
    venue: Uint8Array,
    venueStart: number,
    venueEnd: number,
    symbol: Uint8Array,
    symbolStart: number,
    symbolEnd: number,
  ): number {
    const hash = hashName(venue, venueStart, venueEnd, symbol, symbolStart, symbolEnd)
    for (let slot = hash & this.#slotMask; ; slot = (slot + 1) & this.#slotMask) {
      // Pairs with the store in #insertName(): the name behind it is complete. Stale = not found,
      // and add() looks again under the lock.
      const entry = Atomics.load(this.#slots, slot)
      if (entry === 0) return 0
      const name = (entry - 1) * NAME_BYTES
      if ((this.#nameWords[name >> 2] as number) >>> 0 !== hash) continue
      if (this.#matches(name, venue, venueStart, venueEnd, symbol, symbolStart, symbolEnd)) {
        return this.#nameWords[(name + NAME_OFFSET.instrument) >> 2] as number
      }
    }
  }

  /** `find` by text. */
  idOf(venue: string, symbol: string): number {
    const v = encoder.encode(venue)
    const s = encoder.encode(symbol)
    return this.find(v, 0, v.length, s, 0, s.length)
  }

  /**
   * The id of the instrument, adding it when it is new. 0 when the table is full or a name is too
   * long (INSTRUMENT_NAME_BYTES_MAX with the venue) or empty: the caller rejects the message.
   */
  add(venue: string, symbol: string, venueSymbol = symbol): number {
    const v = encoder.encode(venue)
    const names = symbol === venueSymbol ? [symbol] : [symbol, venueSymbol]
    const encoded = names.map((name) => encoder.encode(name))
    if (v.length === 0) return 0
    for (const name of encoded) {
      if (name.length === 0 || name.length + v.length > INSTRUMENT_NAME_BYTES_MAX) return 0
    }
    this.#lock()
    try {
      return this.#insert(v, encoded, { id: 0, venue, symbol, venueSymbol })
    } finally {
      this.#unlock()
    }
  }

  /** The instrument with this id; undefined when there is none. Objects are shared: read only. */
  get(id: number): Instrument | undefined {
    const cached = this.#cache[id]
    if (cached !== undefined) return cached
    if (id < 1 || id > this.count) return undefined
    const [venue, symbol] = this.#readName(this.#instruments[id * INSTRUMENT_WORDS] as number)
    const second = this.#instruments[id * INSTRUMENT_WORDS + 1] as number
    const instrument = { id, venue, symbol, venueSymbol: this.#readName(second)[1] }
    this.#cache[id] = instrument
    return instrument
  }

  /** True when the thread of this name, which has ended, held the lock: see `finish`. */
  abandoned(owner: number): boolean {
    // The thread is gone: nobody else stores this value.
    return Atomics.load(this.#words, INSTRUMENT_WORD.lock) === owner
  }

  /** Frees the lock of a thread that has ended, after what it was doing is finished. */
  unlockFor(owner: number): void {
    assert(this.abandoned(owner), 'the lock of a thread that has ended is held by it')
    this.#unlock()
  }

  /**
   * Finishes what a thread that ended under the lock had begun, which still is held. `logged`: the
   * instruments that are durable beyond `count`; none but the last can be.
   */
  finish(logged: readonly Instrument[]): void {
    this.#finishNames()
    for (const instrument of logged) {
      assert(instrument.id === this.count + 1, 'ids are given in order')
      const { venue, symbol, venueSymbol } = instrument
      const names = symbol === venueSymbol ? [symbol] : [symbol, venueSymbol]
      const encoded = names.map((name) => encoder.encode(name))
      this.#insert(encoder.encode(venue), encoded, instrument, false)
    }
  }

  /** Names that were written and not, or not all, made findable or counted. */
  #finishNames(): void {
    // Under the lock of a thread that has ended: nobody writes.
    let end = Atomics.load(this.#words, INSTRUMENT_WORD.nameCount)
    for (const entry of this.#slots) if (entry > end) end = entry
    const { count } = this
    if (count > 0) {
      const last = this.#instruments[count * INSTRUMENT_WORDS + 1] as number
      end = Math.max(end, last + 1)
      for (
        let index = this.#instruments[count * INSTRUMENT_WORDS] as number;
        index <= last;
        index++
      ) {
        if (!this.#slots.includes(index + 1)) this.#insertName(index)
      }
    }
    // As above.
    Atomics.store(this.#words, INSTRUMENT_WORD.nameCount, end)
  }

  #insert(
    venue: Uint8Array,
    names: readonly Uint8Array[],
    instrument: Instrument,
    isNew = true,
  ): number {
    let id = 0
    for (const name of names) {
      id ||= this.find(venue, 0, venue.length, name, 0, name.length)
    }
    const missing = names.filter(
      (name) => this.find(venue, 0, venue.length, name, 0, name.length) === 0,
    )
    // Pairs with the store below; under the lock it cannot change.
    const nameCount = Atomics.load(this.#words, INSTRUMENT_WORD.nameCount)
    if (missing.length === 0) return id
    if (nameCount + missing.length > this.#nameCapacity) return 0
    const fresh = id === 0
    if (fresh) {
      if (this.count === this.capacity) return 0
      id = this.count + 1
    }
    if (isNew) this.#onAdd?.({ ...instrument, id })
    let next = nameCount
    for (const name of missing) this.#writeName(next++, venue, name, id)
    if (fresh) {
      this.#instruments[id * INSTRUMENT_WORDS] = nameCount
      this.#instruments[id * INSTRUMENT_WORDS + 1] = next - 1
      // Publishes the entry: pairs with the load in `count`.
      Atomics.store(this.#words, INSTRUMENT_WORD.instrumentCount, id)
    }
    for (let index = nameCount; index < next; index++) this.#insertName(index)
    // Under the lock; the next holder of the lock reads it.
    Atomics.store(this.#words, INSTRUMENT_WORD.nameCount, next)
    return id
  }

  #writeName(index: number, venue: Uint8Array, name: Uint8Array, id: number): void {
    const at = index * NAME_BYTES
    const hash = hashName(venue, 0, venue.length, name, 0, name.length)
    this.#nameWords[(at + NAME_OFFSET.hash) >> 2] = hash
    this.#nameWords[(at + NAME_OFFSET.instrument) >> 2] = id
    this.#names[at + NAME_OFFSET.venueLength] = venue.length
    this.#names[at + NAME_OFFSET.length] = name.length
    this.#names.set(venue, at + NAME_OFFSET.text)
    this.#names.set(name, at + NAME_OFFSET.text + venue.length)
  }

  #insertName(index: number): void {
    const hash = this.#nameWords[(index * NAME_BYTES) >> 2] as number
    let slot = hash & this.#slotMask
    // Slots only fill up, and only under the lock: a plain probe sees all of them.
    while (this.#slots[slot] !== 0) slot = (slot + 1) & this.#slotMask
    // Publishes the name: pairs with the load in find().
    Atomics.store(this.#slots, slot, index + 1)
  }

  #matches(
    name: number,
    venue: Uint8Array,
    venueStart: number,
    venueEnd: number,
    symbol: Uint8Array,
    symbolStart: number,
    symbolEnd: number,
  ): boolean {
    const names = this.#names
    const venueLength = venueEnd - venueStart
    const length = symbolEnd - symbolStart
    if (names[name + NAME_OFFSET.venueLength] !== venueLength) return false
    if (names[name + NAME_OFFSET.length] !== length) return false
    let at = name + NAME_OFFSET.text
    for (let i = venueStart; i < venueEnd; i++) if (names[at++] !== venue[i]) return false
    for (let i = symbolStart; i < symbolEnd; i++) if (names[at++] !== symbol[i]) return false
    return true
  }

  #readName(index: number): [venue: string, name: string] {
    const at = index * NAME_BYTES
    const text = at + NAME_OFFSET.text
    const venueEnd = text + (this.#names[at + NAME_OFFSET.venueLength] as number)
    const end = venueEnd + (this.#names[at + NAME_OFFSET.length] as number)
    const copy = Buffer.from(this.#names.slice(text, end))
    return [copy.toString('utf8', 0, venueEnd - text), copy.toString('utf8', venueEnd - text)]
  }

  #lock(): void {
    // The lock is held for a file append at most; waiting is rare and short. Acquires: what the
    // last holder wrote is visible.
    for (;;) {
      const { lock } = INSTRUMENT_WORD
      // Pairs with the store in #unlock(): what the last holder wrote is visible.
      const holder = Atomics.compareExchange(this.#words, lock, LOCK_FREE, this.#owner)
      if (holder === LOCK_FREE) return
      // Pairs with the notify in #unlock(); the time-out covers a notify that came before.
      Atomics.wait(this.#words, lock, holder, LOCK_WAIT_MS)
    }
  }

  #unlock(): void {
    // Releases: pairs with the compareExchange of the next holder.
    Atomics.store(this.#words, INSTRUMENT_WORD.lock, LOCK_FREE)
    // Wakes one waiter, if any.
    Atomics.notify(this.#words, INSTRUMENT_WORD.lock, 1)
  }
}

/** FNV-1a over venue, a zero byte, and name. */
function hashName(
  venue: Uint8Array,
  venueStart: number,
  venueEnd: number,
  name: Uint8Array,
  nameStart: number,
  nameEnd: number,
): number {
  let hash = 0x811c9dc5
  for (let i = venueStart; i < venueEnd; i++) {
    hash = Math.imul(hash ^ (venue[i] as number), 0x01000193)
  }
  hash = Math.imul(hash, 0x01000193)
  for (let i = nameStart; i < nameEnd; i++) {
    hash = Math.imul(hash ^ (name[i] as number), 0x01000193)
  }
  return hash >>> 0
}
