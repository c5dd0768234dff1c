// hot path
// A market that does not exist: seeded random walks with plausible prices on tick sizes.
//
// Tick number n depends on the seed, the symbols and n alone; only times and the base of the ids
// come from outside. Power-like symbols ('PJM.WEST', 'MISO.INDIANA.HUB') give settlement prices
// whose components add up to the price, which is negative at times; all others give quotes and
// trades around one mid price, and book level changes near it.
//
// Invariants: bid < ask; mid stays within [low, high] steps; trade ids are dense per instrument.

import type { TickBatch } from '../tick/batch.ts'
import { writeInteger, writeNull, writeSplit } from '../tick/fixed-point.ts'
import { ACTION, FLAG, KIND, MARKET, SIDE, TICK_WORDS, WORD } from '../tick/layout.ts'
import { Random } from './random.ts'
import { isPowerSymbol, startPrice } from './synthetic-symbols.ts'

export interface SyntheticInstrument {
  /** Id in the instrument table. */
  id: number
  symbol: string
}

export interface SyntheticModelOptions {
  instruments: readonly SyntheticInstrument[]
  seed: number
  /** Index of the source, written into each record. */
  source: number
  /** First trade id and update id of each instrument. */
  firstId: number
}

/** Where power and other symbols are mixed, each 50th tick is a settlement price. */
const POWER_EVERY = 50
const POWER_INTERVAL_MINUTES = 5
const POWER_INTERVAL_SEC = POWER_INTERVAL_MINUTES * 60
/** Settlement prices move in cents. */
const CENT_NANO = 1e7
/** Of 16: quotes below the first, trades below the second, book changes from there. */
const QUOTE_SHARE = 7
const TRADE_SHARE = 13
const LEVELS = 10
const FLAGS = FLAG.SYNTHETIC | FLAG.LAST

export class SyntheticModel {
  readonly #random: Random
  readonly #source: number
  /** Slots of the instruments with quotes and trades, and of those with settlement prices. */
  readonly #markets: Int32Array
  readonly #powers: Int32Array
  readonly #ids: Int32Array
  /** Price of one step, x 1e-9; mid and its bounds in steps. */
  readonly #stepNano: Float64Array
  readonly #mid: Float64Array
  readonly #low: Float64Array
  readonly #high: Float64Array
  /** Size of one lot, x 1e-8. */
  readonly #lot: Float64Array
  readonly #nextTradeId: Float64Array
  readonly #nextUpdateId: Float64Array
  /** Power: energy and congestion, cents. */
  readonly #energy: Float64Array
  readonly #congestion: Float64Array
  #tickIndex = 0
  #powerIndex = 0

  constructor({ instruments, seed, source, firstId }: SyntheticModelOptions) {
    this.#random = new Random(seed)
    this.#source = source
    const slots = instruments.map((_, slot) => slot)
    const power = instruments.map(({ symbol }) => isPowerSymbol(symbol))
    this.#markets = Int32Array.from(slots.filter((slot) => !power[slot]))
    this.#powers = Int32Array.from(slots.filter((slot) => power[slot]))
    this.#ids = Int32Array.from(instruments, ({ id }) => id)
    const prices = instruments.map(({ symbol }) => startPrice(symbol))
    this.#stepNano = Float64Array.from(prices, (price) => (price < 10 ? 1e4 : CENT_NANO))
    this.#mid = Float64Array.from(prices, (price, slot) =>
      Math.round((price * 1e9) / (this.#stepNano[slot] as number)),
    )
    this.#low = this.#mid.map((mid) => Math.max(64, Math.round(mid / 2)))
    this.#high = this.#mid.map((mid) => mid * 2)
    this.#lot = Float64Array.from(prices, (price) => (price < 10 ? 1e8 : 1e4))
    this.#nextTradeId = new Float64Array(instruments.length).fill(firstId)
    this.#nextUpdateId = new Float64Array(instruments.length).fill(firstId)
    this.#energy = new Float64Array(instruments.length).fill(3500)
    this.#congestion = new Float64Array(instruments.length)
  }

  /** Appends `count` ticks to `batch`, all with event and receive time sec.nsec. */
  fill(batch: TickBatch, count: number, sec: number, nsec: number): void {
    for (let i = 0; i < count; i++) this.tick(batch, sec, nsec)
  }

  /** Appends one tick to `batch`. */
  tick(batch: TickBatch, sec: number, nsec: number): void {
    const index = batch.count++
    const words = batch.words
    const at = index * TICK_WORDS
    words.fill(0, at, at + TICK_WORDS)
    writeSplit(words, at + WORD.ts_recv, false, sec, nsec)
    batch.setSource(index, this.#source)
    batch.setFlags(index, FLAGS)
    const isPowerTurn = this.#tickIndex++ % POWER_EVERY === POWER_EVERY - 1
    if (this.#markets.length === 0 || (isPowerTurn && this.#powers.length > 0)) {
      const slot = this.#powers[this.#powerIndex++ % this.#powers.length] as number
      // A settlement price belongs to an interval: its event time is the interval's start.
      writeSplit(words, at + WORD.ts_event, false, sec - (sec % POWER_INTERVAL_SEC), 0)
      this.#power(batch, index, at, slot)
      return
    }
    writeSplit(words, at + WORD.ts_event, false, sec, nsec)
    const bits = this.#random.next()
    const slot = this.#markets[(bits >>> 12) % this.#markets.length] as number
    this.#move(slot, bits)
    batch.setInstrument(index, this.#ids[slot] as number)
    const share = bits & 15
    if (share < QUOTE_SHARE) this.#quote(batch, index, at, slot)
    else if (share < TRADE_SHARE) this.#trade(batch, index, at, slot)
    else this.#book(batch, index, at, slot)
  }

  /** One step up, one down, or none; turned back at the bounds. */
  #move(slot: number, bits: number): void {
    const direction = (bits >>> 4) & 3
    let mid = this.#mid[slot] as number
    if (direction === 0) mid -= 1
    else if (direction === 1) mid += 1
    if (mid < (this.#low[slot] as number)) mid += 2
    else if (mid > (this.#high[slot] as number)) mid -= 2
    this.#mid[slot] = mid
  }

  #quote(batch: TickBatch, index: number, at: number, slot: number): void {
    const bits = this.#random.next()
    const half = 1 + (bits & 3)
    const step = this.#stepNano[slot] as number
    const mid = this.#mid[slot] as number
    const lot = this.#lot[slot] as number
    batch.setKindSide(index, KIND.quote, SIDE.none)
    writeInteger(batch.words, at + WORD.p0, (mid - half) * step)
    writeInteger(batch.words, at + WORD.p1, (1 + ((bits >>> 2) & 1023)) * lot)
    writeInteger(batch.words, at + WORD.p2, (mid + half) * step)
    writeInteger(batch.words, at + WORD.p3, (1 + ((bits >>> 12) & 1023)) * lot)
  }

  #trade(batch: TickBatch, index: number, at: number, slot: number): void {
    const bits = this.#random.next()
    const side = (bits & 1) === 0 ? SIDE.buy : SIDE.sell
    const steps = (this.#mid[slot] as number) + (side === SIDE.buy ? 1 : -1)
    const id = this.#nextTradeId[slot] as number
    this.#nextTradeId[slot] = id + 1
    batch.setKindSide(index, KIND.trade, side)
    writeInteger(batch.words, at + WORD.p0, steps * (this.#stepNano[slot] as number))
    writeInteger(
      batch.words,
      at + WORD.p1,
      (1 + ((bits >>> 1) & 4095)) * (this.#lot[slot] as number),
    )
    writeInteger(batch.words, at + WORD.p2, id)
    writeNull(batch.words, at + WORD.p3)
  }

  #book(batch: TickBatch, index: number, at: number, slot: number): void {
    const bits = this.#random.next()
    const side = (bits & 1) === 0 ? SIDE.buy : SIDE.sell
    const away = 1 + (((bits >>> 1) & 0xffff) % LEVELS)
    const steps = (this.#mid[slot] as number) + (side === SIDE.buy ? -away : away)
    const id = this.#nextUpdateId[slot] as number
    this.#nextUpdateId[slot] = id + 1
    const isDelete = bits >>> 30 === 0
    batch.setKindSide(index, KIND.book, side)
    batch.setAction(index, isDelete ? ACTION.delete : ACTION.set)
    writeInteger(batch.words, at + WORD.p0, steps * (this.#stepNano[slot] as number))
    const lots = isDelete ? 0 : 1 + ((bits >>> 17) & 4095)
    writeInteger(batch.words, at + WORD.p1, lots * (this.#lot[slot] as number))
    writeInteger(batch.words, at + WORD.p2, id)
    writeNull(batch.words, at + WORD.p3)
  }

  #power(batch: TickBatch, index: number, at: number, slot: number): void {
    const bits = this.#random.next()
    // Energy walks in 5 … 120 $/MWh, congestion in ±60 and back to zero: hence negative prices.
    const energy = clamp((this.#energy[slot] as number) + (bits & 255) - 127, 500, 12_000)
    const pull = Math.trunc((this.#congestion[slot] as number) * 0.99)
    const congestion = clamp(pull + ((bits >>> 8) & 1023) - 512, -6000, 6000)
    const loss = ((bits >>> 18) & 511) - 255
    this.#energy[slot] = energy
    this.#congestion[slot] = congestion
    batch.setInstrument(index, this.#ids[slot] as number)
    batch.setKindSide(index, KIND.price, SIDE.none)
    batch.setMarket(index, MARKET.real_time, POWER_INTERVAL_MINUTES)
    writeInteger(batch.words, at + WORD.p0, (energy + congestion + loss) * CENT_NANO)
    writeInteger(batch.words, at + WORD.p1, energy * CENT_NANO)
    writeInteger(batch.words, at + WORD.p2, congestion * CENT_NANO)
    writeInteger(batch.words, at + WORD.p3, loss * CENT_NANO)
  }
}

function clamp(value: number, low: number, high: number): number {
  return Math.max(low, Math.min(value, high))
}
