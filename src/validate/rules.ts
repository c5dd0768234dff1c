// hot path
// Acceptance of decoded ticks: accept, drop as an exact repeat, or quarantine with a reason.
//
// Nothing is repaired in silence: an accepted tick is as the decoder made it, but for the flags
// LATE, OUT_OF_ORDER, DUPLICATE_SUSPECT and BAD_TIME (ts_event was replaced by ts_recv).
//
// Invariants: accepted + duplicate + quarantined = ticks looked at; accepted ones keep their order.
// Negative prices are legal; a zero price or quote size is whatever the venue says by it. A price
// record's event time is the interval that it is for, which lies ahead of receipt in a day-ahead
// market: the rules of time are not for it.

import type { Config } from '../config/schema.ts'
import { QUARANTINE_REASONS, type QuarantineReason } from '../ledger/reasons.ts'
import type { TickBatch } from '../tick/batch.ts'
import { compareI64, isNegative, isNull, isZero, writeSplit } from '../tick/fixed-point.ts'
import {
  ACTION,
  FLAG,
  KIND,
  KIND_NAMES,
  OFFSET,
  TICK_BYTES,
  TICK_WORDS,
  WORD,
} from '../tick/layout.ts'
import { SEEN, TradeIds } from './duplicates.ts'
import { EventTimes } from './sequences.ts'

/** Called for each quarantined tick: batch index `index`, valid during the call. */
export type QuarantineHandler = (reason: number, batch: TickBatch, index: number) => void

export interface ValidatorOptions {
  readonly config: Config['validate']
  /** The instrument table: ids 1 … count are known. */
  readonly instruments: { readonly count: number }
}

const ACCEPTED = -1
const reason = (name: QuarantineReason) => QUARANTINE_REASONS.indexOf(name)
const REASON = Object.freeze({
  priceOutOfRange: reason('price_out_of_range'),
  negativeSize: reason('negative_size'),
  nullPrice: reason('null_price'),
  zeroTradeSize: reason('zero_trade_size'),
  crossedQuote: reason('crossed_quote'),
  futureTime: reason('future_time'),
  unknownKind: reason('unknown_kind'),
  unknownInstrument: reason('unknown_instrument'),
})

const NS_PER_MS = 1e6
/** 1990-01-01T00:00:00Z: no venue that we know has an older clock, and zero times lie before it. */
const TIME_SEC_MIN = 631_152_000

/** Bounds of a validator, as the loops need them. */
interface Limits {
  /** i64 pairs, two words each: least price, greatest price, least time. */
  readonly words: Int32Array
  readonly futureNs: number
  readonly lateNs: number
}
const LIMIT = Object.freeze({ priceMin: 0, priceMax: 2, timeMin: 4 })

export class Validator {
  /** Exact repeats in the last `validate` call. */
  duplicateCount = 0
  /** Ticks quarantined in the last `validate` call. */
  quarantinedCount = 0
  /** The same by index in QUARANTINE_REASONS. */
  readonly quarantined = new Float64Array(QUARANTINE_REASONS.length)
  onQuarantine: QuarantineHandler | undefined
  readonly #instruments: { readonly count: number }
  readonly #limits: Limits
  readonly #tradeIds: TradeIds
  readonly #eventTimes = new EventTimes()

  constructor({ config, instruments }: ValidatorOptions) {
    this.#instruments = instruments
    this.#limits = limitsOf(config)
    this.#tradeIds = new TradeIds(config.duplicate_window)
  }

  /**
   * Judges all ticks of `batch`. Accepted ones are moved to its front, in order, and batch.count is
   * set to how many they are. `admitsRepeats`: these were accepted before and a store refused them,
   * so that they are known as repeats of themselves.
   */
  validate(batch: TickBatch, admitsRepeats = false): void {
    this.duplicateCount = 0
    this.quarantinedCount = 0
    this.quarantined.fill(0)
    const { words, bytes, count } = batch
    const instrumentCount = this.#instruments.count
    let accepted = 0
    for (let index = 0; index < count; index++) {
      const verdict = judge(words, bytes, index, instrumentCount, this.#limits)
      if (verdict !== ACCEPTED) {
        this.#quarantine(verdict, batch, index)
      } else if (this.#admit(batch, index, admitsRepeats)) {
        batch.move(index, accepted++)
      }
    }
    batch.count = accepted
  }

  #quarantine(verdict: number, batch: TickBatch, index: number): void {
    this.quarantinedCount++
    this.quarantined[verdict] = (this.quarantined[verdict] as number) + 1
    this.onQuarantine?.(verdict, batch, index)
  }

  /** Sets the flags of an acceptable tick. False for an exact repeat. */
  #admit(batch: TickBatch, index: number, admitsRepeats: boolean): boolean {
    const { words } = batch
    const at = index * TICK_WORDS
    const kind = batch.kind(index)
    const instrument = words[at + WORD.instrument] as number
    const before = batch.flags(index)
    let flags = before
    if (kind === KIND.trade && (flags & FLAG.CORRECTED) === 0 && !admitsRepeats) {
      const seen = this.#tradeIds.look(instrument, words, at)
      if (seen === SEEN.repeat) {
        this.duplicateCount++
        return false
      }
      if (seen === SEEN.suspect) flags |= FLAG.DUPLICATE_SUSPECT
    }
    if (compareI64(words, at + WORD.ts_event, this.#limits.words, LIMIT.timeMin) < 0) {
      words[at + WORD.ts_event] = words[at + WORD.ts_recv] as number
      words[at + WORD.ts_event + 1] = words[at + WORD.ts_recv + 1] as number
      flags |= FLAG.BAD_TIME
    } else if (kind !== KIND.price) {
      // A replay is late by its nature: the flag would say nothing.
      if (isLate(words, at, this.#limits) && !isReplayed(batch.bytes, index)) {
        flags |= FLAG.LATE
      }
      if (this.#eventTimes.isBehind(instrument, kind, words, at + WORD.ts_event)) {
        flags |= FLAG.OUT_OF_ORDER
      }
    }
    if (flags !== before) batch.setFlags(index, flags)
    return true
  }
}

/** ACCEPTED, or the reason why tick `index` must be refused. */
function judge(
  words: Int32Array,
  bytes: Uint8Array,
  index: number,
  instrumentCount: number,
  limits: Limits,
): number {
  const at = index * TICK_WORDS
  const kind = bytes[index * TICK_BYTES + OFFSET.kind] as number
  if (kind === 0 || kind >= KIND_NAMES.length) return REASON.unknownKind
  const instrument = (words[at + WORD.instrument] as number) >>> 0
  if (instrument === 0 || instrument > instrumentCount) return REASON.unknownInstrument
  if (kind !== KIND.price && isEarly(words, at, limits) && !isReplayed(bytes, index)) {
    return REASON.futureTime
  }
  switch (kind) {
    case KIND.trade:
      return judgeTrade(words, at, limits)
    case KIND.quote:
      return judgeQuote(words, at, limits)
    case KIND.book:
      return judgeBook(words, at, bytes[index * TICK_BYTES + OFFSET.action] as number, limits)
    case KIND.price:
      return judgePrice(words, at, limits)
    default:
      return ACCEPTED
  }
}

function judgeTrade(words: Int32Array, at: number, limits: Limits): number {
  if (isNull(words, at + WORD.p0)) return REASON.nullPrice
  if (isOutOfRange(words, at + WORD.p0, limits)) return REASON.priceOutOfRange
  if (isNegative(words, at + WORD.p1)) return REASON.negativeSize
  if (isZero(words, at + WORD.p1) || isNull(words, at + WORD.p1)) return REASON.zeroTradeSize
  return ACCEPTED
}

function judgeQuote(words: Int32Array, at: number, limits: Limits): number {
  const bid = !isNull(words, at + WORD.p0)
  const ask = !isNull(words, at + WORD.p2)
  if (bid && isOutOfRange(words, at + WORD.p0, limits)) return REASON.priceOutOfRange
  if (ask && isOutOfRange(words, at + WORD.p2, limits)) return REASON.priceOutOfRange
  if (isNegative(words, at + WORD.p1) || isNegative(words, at + WORD.p3)) {
    return REASON.negativeSize
  }
  if (bid && ask && compareI64(words, at + WORD.p0, words, at + WORD.p2) > 0) {
    return REASON.crossedQuote
  }
  return ACCEPTED
}

function judgeBook(words: Int32Array, at: number, action: number, limits: Limits): number {
  if (isNull(words, at + WORD.p0)) {
    if (action !== ACTION.clear) return REASON.nullPrice
  } else if (isOutOfRange(words, at + WORD.p0, limits)) {
    return REASON.priceOutOfRange
  }
  return isNegative(words, at + WORD.p1) ? REASON.negativeSize : ACCEPTED
}

/** Components may be absent, and are bounded like the price that they add up to. */
function judgePrice(words: Int32Array, at: number, limits: Limits): number {
  if (isNull(words, at + WORD.p0)) return REASON.nullPrice
  for (let field = at + WORD.p0; field <= at + WORD.p3; field += 2) {
    if (!isNull(words, field) && isOutOfRange(words, field, limits)) return REASON.priceOutOfRange
  }
  return ACCEPTED
}

function isOutOfRange(words: Int32Array, at: number, limits: Limits): boolean {
  return (
    compareI64(words, at, limits.words, LIMIT.priceMax) > 0 ||
    compareI64(words, at, limits.words, LIMIT.priceMin) < 0
  )
}

/** Does event time lie too far ahead of receive time? */
function isEarly(words: Int32Array, at: number, limits: Limits): boolean {
  return aheadNs(words, at) > limits.futureNs
}

/** Or behind it? */
function isLate(words: Int32Array, at: number, limits: Limits): boolean {
  return aheadNs(words, at) < -limits.lateNs
}

/**
 * How far event time lies ahead of receive time, ns. Exact below 2^53 (104 days). Called from small
 * functions only, into which it is compiled: as a call it would box its result.
 */
function aheadNs(words: Int32Array, at: number): number {
  const event = at + WORD.ts_event
  const recv = at + WORD.ts_recv
  // A null event time lies far behind, as it sorts first; that is BAD_TIME's matter.
  const high = (words[event + 1] as number) - (words[recv + 1] as number)
  return high * 4294967296 + ((words[event] as number) >>> 0) - ((words[recv] as number) >>> 0)
}

function isReplayed(bytes: Uint8Array, index: number): boolean {
  const at = index * TICK_BYTES + OFFSET.flags
  return (((bytes[at] as number) | ((bytes[at + 1] as number) << 8)) & FLAG.REPLAYED) !== 0
}

function limitsOf(config: Config['validate']): Limits {
  const words = new Int32Array(6)
  const whole = Math.floor(config.price_max)
  const fraction = Math.floor((config.price_max - whole) * 1e9)
  writeSplit(words, LIMIT.priceMin, true, whole, fraction)
  writeSplit(words, LIMIT.priceMax, false, whole, fraction)
  writeSplit(words, LIMIT.timeMin, false, TIME_SEC_MIN, 0)
  return {
    words,
    futureNs: config.future_ms * NS_PER_MS,
    lateNs: config.late_ms * NS_PER_MS,
  }
}
