// hot path
// Normalised records, one JSON object a line -> records. What push sources and files send.
//
// The fields are those that tickd prints (tick/json.ts), in any order; unknown ones are passed
// over. A frame is whole lines; each line is a message: decoded, ignored (blank, bars) or rejected
// on its own. Decimals are JSON strings or numbers without exponent. `venue` and `symbol` name the
// instrument, which is added when it is new. `ts_recv` and `seq` are ours to give and are ignored,
// but that a record flagged `replayed` keeps its `ts_recv`, the time at which it was recorded. The
// flags that tickd judges itself (LATE, OUT_OF_ORDER …) are ignored too. LAST is set unless the
// sender gives flags.
//
//   required   type, venue, symbol; ts_event (price: interval_start instead); by kind:
//   trade      price, size; side (none), id (null)
//   quote      at least one of bid_price, ask_price; the rest null
//   book       action; side and price unless action is clear; size for set
//   price      price; market (none), interval_minutes (0), energy, congestion, loss (null)
//   status     status; from, to (null)

import type { FrameMeta } from '../ring/frame-ring.ts'
import type { TickBatch } from '../tick/batch.ts'
import { writeSplit } from '../tick/fixed-point.ts'
import type { InstrumentTable } from '../tick/instruments.ts'
import { FLAG, KIND, TICK_WORDS, WORD } from '../tick/layout.ts'
import { parseTime } from '../tick/time.ts'
import { type Decoder, type DecodeTally, EVENT } from './decoder.ts'
import { wrongType } from './fields.ts'
import { InstrumentResolver } from './instrument-resolver.ts'
import { BAD, NestedWalker, skipScalar, skipSpace } from './json-scan.ts'
import { Unescaper } from './json-unescape.ts'
import { F, FIELDS, KIND_OF_FIRST_TYPE, TYPE_BAR, TYPES } from './ndjson-names.ts'
import { NdjsonPayload } from './ndjson-payload.ts'
import { NdjsonQuick } from './ndjson-quick.ts'
import { ObjectScan, VALUE } from './object-scan.ts'
import { IGNORE, OK, REJECT } from './reason-index.ts'
import { frameFlags, writeHead } from './tick-writer.ts'

const NEWLINE = 0x0a
const OPEN_ARRAY = 0x5b
const OPEN_OBJECT = 0x7b

export class NdjsonDecoder implements Decoder {
  readonly #resolver: InstrumentResolver
  readonly #scan = new ObjectScan(FIELDS)
  readonly #payload = new NdjsonPayload(this.#scan)
  readonly #quick = new NdjsonQuick()
  readonly #walker = new NestedWalker()
  readonly #unescaper = new Unescaper()
  readonly #time = { sec: 0, nsec: 0 }

  constructor({ instruments }: { instruments: InstrumentTable }) {
    this.#resolver = new InstrumentResolver(instruments)
  }

  decode(
    bytes: Uint8Array,
    start: number,
    end: number,
    meta: FrameMeta,
    out: TickBatch,
    tally: DecodeTally,
  ): void {
    let lineStart = start
    do {
      const quickEnd = this.#quickLine(bytes, lineStart, end, meta, out, tally)
      if (quickEnd > 0) {
        lineStart = quickEnd + 1
        continue
      }
      // A frame is whole lines; the last line's end may be left out. Bytes beyond are another's.
      let lineEnd = bytes.indexOf(NEWLINE, lineStart)
      if (lineEnd < 0 || lineEnd > end) lineEnd = end
      const reason = this.#line(bytes, lineStart, lineEnd, meta, out, tally)
      if (reason !== OK) tally.reject(reason, bytes, lineStart, lineEnd)
      lineStart = lineEnd + 1
    } while (lineStart < end)
  }

  /** The end of the line, which was plain and is accounted for; else 0. */
  #quickLine(
    bytes: Uint8Array,
    start: number,
    end: number,
    meta: FrameMeta,
    out: TickBatch,
    tally: DecodeTally,
  ): number {
    const index = out.count
    if (index === out.capacity) return 0
    const quick = this.#quick
    const next = quick.read(bytes, start, end, out)
    if (next === 0 || (next < end && bytes[next] !== NEWLINE)) return 0
    let { instrument } = quick
    if (instrument === 0) {
      instrument = this.#resolver.resolve(
        bytes,
        quick.venueStart,
        quick.venueEnd,
        bytes,
        quick.symbolStart,
        quick.symbolEnd,
      )
      if (instrument <= 0) return 0
    }
    quick.finish(out, index, instrument, meta)
    tally.origins[2 * index] = start
    tally.origins[2 * index + 1] = next
    out.count = index + 1
    tally.accept(quick.kind - KIND_OF_FIRST_TYPE, 1)
    return next
  }

  /** OK = the line is accounted for; otherwise the reason to reject it. */
  #line(
    bytes: Uint8Array,
    start: number,
    end: number,
    meta: FrameMeta,
    out: TickBatch,
    tally: DecodeTally,
  ): number {
    const brace = skipSpace(bytes, start, end)
    if (brace === end) {
      tally.ignore(IGNORE.empty)
      return OK
    }
    if (bytes[brace] !== OPEN_OBJECT) return this.#notAnObject(bytes, brace, end)
    const scan = this.#scan
    const next = scan.scan(bytes, brace, end)
    if (next === BAD || skipSpace(bytes, next, end) !== end) return REJECT.bad_json
    let text = bytes
    if (scan.escaped) {
      const size = this.#unescaper.rewrite(bytes, brace, next)
      text = this.#unescaper.bytes
      scan.scan(text, 0, size)
    }
    if (scan.types[F.type] !== VALUE.string) return wrongType(scan.types[F.type] as number)
    const type = TYPES.find(text, scan.starts[F.type] as number, scan.ends[F.type] as number)
    if (type < 0) return REJECT.unknown_event
    if (type === TYPE_BAR) {
      tally.events[EVENT.bar] = (tally.events[EVENT.bar] as number) + 1
      tally.ignore(IGNORE.bar)
      return OK
    }
    return this.#record(type + KIND_OF_FIRST_TYPE, text, start, end, meta, out, tally)
  }

  #record(
    kind: number,
    text: Uint8Array,
    start: number,
    end: number,
    meta: FrameMeta,
    out: TickBatch,
    tally: DecodeTally,
  ): number {
    const index = out.count
    if (index === out.capacity) return REJECT.too_many_records
    const flags = this.#payload.flags(text)
    if (flags < 0) return REJECT.bad_field
    let reason = this.#eventTime(kind, text)
    if (reason !== OK) return reason
    const { sec, nsec } = this.#time
    // The instrument comes last: a record that is refused adds none.
    writeHead(out, index, kind, 0, 0, flags | frameFlags(meta), sec, nsec, meta)
    if ((flags & FLAG.REPLAYED) !== 0 && !this.#keepReceiveTime(text, out, index)) {
      return REJECT.bad_time
    }
    reason = this.#payload.write(kind, text, out, index)
    if (reason !== OK) return reason
    const instrument = this.#instrument(text)
    if (instrument < 0) return -1 - instrument
    out.words[index * TICK_WORDS + WORD.instrument] = instrument
    tally.origins[2 * index] = start
    tally.origins[2 * index + 1] = end
    out.count = index + 1
    // Kinds and events are in the same order; kinds begin at 1.
    tally.accept(kind - KIND_OF_FIRST_TYPE, 1)
    return OK
  }

  #eventTime(kind: number, text: Uint8Array): number {
    const scan = this.#scan
    // The record has one time: of a settlement price it is the begin of its interval.
    const isInterval = kind === KIND.price && scan.types[F.intervalStart] !== VALUE.absent
    const slot = isInterval ? F.intervalStart : F.tsEvent
    const type = scan.types[slot] as number
    if (type !== VALUE.string) return wrongType(type)
    const start = scan.starts[slot] as number
    return parseTime(text, start, scan.ends[slot] as number, this.#time) ? OK : REJECT.bad_time
  }

  /** Overwrites the receive time with the sender's, if there is one. False when it is no time. */
  #keepReceiveTime(text: Uint8Array, out: TickBatch, index: number): boolean {
    const { types, starts, ends } = this.#scan
    if (types[F.tsRecv] === VALUE.absent) return true
    if (types[F.tsRecv] !== VALUE.string) return false
    const start = starts[F.tsRecv] as number
    if (!parseTime(text, start, ends[F.tsRecv] as number, this.#time)) return false
    const at = index * TICK_WORDS + WORD.ts_recv
    writeSplit(out.words, at, false, this.#time.sec, this.#time.nsec)
    return true
  }

  #instrument(text: Uint8Array): number {
    const { types, starts, ends } = this.#scan
    if (types[F.venue] !== VALUE.string) return -1 - wrongType(types[F.venue] as number)
    if (types[F.symbol] !== VALUE.string) return -1 - wrongType(types[F.symbol] as number)
    const id = this.#resolver.resolve(
      text,
      starts[F.venue] as number,
      ends[F.venue] as number,
      text,
      starts[F.symbol] as number,
      ends[F.symbol] as number,
    )
    if (id > 0) return id
    return -1 - (id === 0 ? REJECT.bad_symbol : REJECT.instrument_limit)
  }

  #notAnObject(bytes: Uint8Array, at: number, end: number): number {
    const isArray = bytes[at] === OPEN_ARRAY
    const next = isArray ? this.#walker.skip(bytes, at, end) : skipScalar(bytes, at, end)
    if (next === BAD) return REJECT.bad_json
    return skipSpace(bytes, Math.abs(next), end) === end ? REJECT.not_an_object : REJECT.bad_json
  }
}
