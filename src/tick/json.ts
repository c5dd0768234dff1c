// The one text form of a record: normalised JSON, as the feed, HTTP and the command line print it.
//
// Field names and their order are fixed by the design and shared with the object form, which
// MessagePack encodes. Decimals are exact strings without exponent; times are RFC 3339 with nine
// digits; a null payload is JSON null; `seq` is there when the caller knows it. `id` is a string:
// venues' ids exceed what a JSON reader keeps of a number.
//
// Not here: bars and curves, which are no records; reading JSON (decode/ndjson.ts).

import type { TickBatch } from './batch.ts'
import { formatDecimal, isNull, readNumber } from './fixed-point.ts'
import type { Instrument, InstrumentTable } from './instruments.ts'
import {
  ACTION_NAMES,
  FLAG,
  FLAG_NAMES,
  KIND,
  KIND_NAMES,
  MARKET_NAMES,
  PRICE_DECIMALS,
  SIDE_NAMES,
  SIZE_DECIMALS,
  STATUS_NAMES,
  TICK_WORDS,
  WORD,
} from './layout.ts'
import { formatTimeAt } from './time.ts'

/** A record as a plain object: the JSON's fields, in the JSON's order. */
export type TickObject = Record<string, string | number | null | readonly string[]>

/** Tick `index` of the batch as one JSON object, without a line end. */
export function tickToJson(
  batch: TickBatch,
  index: number,
  instruments: InstrumentTable,
  seq?: number,
): string {
  const payload = payloadJson(batch, index)
  // The other kinds are a few a second at most: their text is made of the object form.
  if (payload === undefined) return JSON.stringify(tickToObject(batch, index, instruments, seq))
  const { words } = batch
  const at = index * TICK_WORDS
  const head = `{"type":"${KIND_NAMES[batch.kind(index)]}",${nameJson(
    instruments.get(batch.instrument(index)),
  )},"ts_event":${quoted(formatTimeAt(words, at + WORD.ts_event))},"ts_recv":${quoted(
    formatTimeAt(words, at + WORD.ts_recv),
  )},`
  const tail = `,"flags":${flagsJson(batch.flags(index))}`
  return `${head}${payload}${tail}${seq === undefined ? '}' : `,"seq":${seq}}`}`
}

/** Tick `index` of the batch as an object of its own. */
export function tickToObject(
  batch: TickBatch,
  index: number,
  instruments: InstrumentTable,
  seq?: number,
): TickObject {
  const { words } = batch
  const at = index * TICK_WORDS
  const instrument = instruments.get(batch.instrument(index))
  const tick: TickObject = {
    type: KIND_NAMES[batch.kind(index)] ?? 'unknown',
    venue: instrument?.venue ?? null,
    symbol: instrument?.symbol ?? null,
    ts_event: formatTimeAt(words, at + WORD.ts_event),
    ts_recv: formatTimeAt(words, at + WORD.ts_recv),
  }
  addPayload(tick, batch, index)
  tick.flags = flagNames(batch.flags(index))
  if (seq !== undefined) tick.seq = seq
  return tick
}

/** Lower-case names of the flags that are set, lowest bit first. */
export function flagNames(flags: number): readonly string[] {
  let names = flagNameLists[flags]
  if (names === undefined) {
    names = FLAG_NAMES.filter((name) => (flags & FLAG[name]) !== 0).map((n) => n.toLowerCase())
    flagNameLists[flags] = names
  }
  return names
}

/** The fields of the kinds that come by the thousand; undefined for the others. */
function payloadJson(batch: TickBatch, index: number): string | undefined {
  const { words } = batch
  const p0 = index * TICK_WORDS + WORD.p0
  switch (batch.kind(index)) {
    case KIND.trade: {
      const side = SIDE_NAMES[batch.side(index)] ?? 'none'
      const id = quoted(integer(words, p0 + 4))
      return `"id":${id},"side":"${side}","price":${quoted(price(words, p0))},"size":${quoted(
        size(words, p0 + 2),
      )}`
    }
    case KIND.quote:
      return `"bid_price":${quoted(price(words, p0))},"bid_size":${quoted(
        size(words, p0 + 2),
      )},"ask_price":${quoted(price(words, p0 + 4))},"ask_size":${quoted(size(words, p0 + 6))}`
    case KIND.book: {
      const side = SIDE_NAMES[batch.side(index)] ?? 'none'
      const action = ACTION_NAMES[batch.action(index)] ?? 'none'
      return `"side":"${side}","price":${quoted(price(words, p0))},"size":${quoted(
        size(words, p0 + 2),
      )},"action":"${action}"`
    }
    default:
      return undefined
  }
}

function addPayload(tick: TickObject, batch: TickBatch, index: number): void {
  const { words } = batch
  const at = index * TICK_WORDS
  const p0 = at + WORD.p0
  switch (batch.kind(index)) {
    case KIND.trade:
      tick.id = integer(words, p0 + 4)
      tick.side = SIDE_NAMES[batch.side(index)] ?? 'none'
      tick.price = price(words, p0)
      tick.size = size(words, p0 + 2)
      return
    case KIND.quote:
      tick.bid_price = price(words, p0)
      tick.bid_size = size(words, p0 + 2)
      tick.ask_price = price(words, p0 + 4)
      tick.ask_size = size(words, p0 + 6)
      return
    case KIND.book:
      tick.side = SIDE_NAMES[batch.side(index)] ?? 'none'
      tick.price = price(words, p0)
      tick.size = size(words, p0 + 2)
      tick.action = ACTION_NAMES[batch.action(index)] ?? 'none'
      return
    case KIND.price:
      tick.market = MARKET_NAMES[batch.market(index)] ?? 'none'
      // The event of a settlement price is the begin of its delivery interval.
      tick.interval_start = formatTimeAt(words, at + WORD.ts_event)
      tick.interval_minutes = batch.interval(index)
      tick.price = price(words, p0)
      tick.energy = price(words, p0 + 2)
      tick.congestion = price(words, p0 + 4)
      tick.loss = price(words, p0 + 6)
      return
    case KIND.status:
      tick.status = STATUS_NAMES[batch.action(index)] ?? 'none'
      tick.from = isNull(words, p0 + 2) ? null : readNumber(words, p0 + 2)
      tick.to = isNull(words, p0 + 4) ? null : readNumber(words, p0 + 4)
      return
    default:
      // An unknown kind has no payload that could be named; validate quarantines it.
      return
  }
}

function price(words: Int32Array, index: number): string | null {
  return isNull(words, index) ? null : formatDecimal(words, index, PRICE_DECIMALS)
}

function size(words: Int32Array, index: number): string | null {
  return isNull(words, index) ? null : formatDecimal(words, index, SIZE_DECIMALS)
}

function integer(words: Int32Array, index: number): string | null {
  return isNull(words, index) ? null : formatDecimal(words, index, 0)
}

/** For text that needs no escapes. */
function quoted(text: string | null): string {
  return text === null ? 'null' : `"${text}"`
}

// Instruments are shared objects that live as long as their table.
const nameTexts = new WeakMap<Instrument, string>()
const NO_NAME = '"venue":null,"symbol":null'

function nameJson(instrument: Instrument | undefined): string {
  if (instrument === undefined) return NO_NAME
  let text = nameTexts.get(instrument)
  if (text === undefined) {
    const { venue, symbol } = instrument
    text = `"venue":${JSON.stringify(venue)},"symbol":${JSON.stringify(symbol)}`
    nameTexts.set(instrument, text)
  }
  return text
}

// Flags are a u16, of which a handful of combinations occur; made once each.
const flagNameLists: (readonly string[] | undefined)[] = []
const flagTexts: (string | undefined)[] = []

function flagsJson(flags: number): string {
  let text = flagTexts[flags]
  if (text === undefined) {
    text = JSON.stringify(flagNames(flags))
    flagTexts[flags] = text
  }
  return text
}
