// GET /v1/latest, /v1/trades, /v1/quotes, /v1/instruments: what is known of instruments.
//
// Latest values come from shared memory; history from the store. A symbol may be a glob; without
// one it must exist, so that a misspelt name is a 404 and not an empty list.

import type { LatestTable } from '../../aggregate/latest-table.ts'
import { LATEST_KINDS } from '../../aggregate/latest-table-layout.ts'
import type { Clock } from '../../clock.ts'
import { errorText } from '../../errors.ts'
import { HISTORY_RANGE_MS, HTTP_ROWS } from '../../limits.ts'
import { TickBatch } from '../../tick/batch.ts'
import type { Instrument, InstrumentTable } from '../../tick/instruments.ts'
import { tickToJson } from '../../tick/json.ts'
import { Pass } from '../access/pass.ts'
import type { HttpReply, HttpRequest } from '../server.ts'
import { wildcardMatches } from '../wildcard.ts'
import { JSON_TYPE, sendBusy, sendError, sendJson } from './answers.ts'
import {
  type History,
  type HistoryCursor,
  type HistoryKind,
  type HistoryRow,
  HistoryUnavailable,
} from './history.ts'
import { BadParameter, Parameters } from './parameters.ts'

export interface RecordsOptions {
  readonly instruments: InstrumentTable
  readonly latest: LatestTable
  /** undefined = PostgreSQL is off. */
  readonly history: History | undefined
  readonly rowsMax: number
  readonly clock: Clock
}

/** `<RFC 3339, µs>~<shard>~<seq>`: opaque to clients. */
const CURSOR = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z)~(\d{1,2})~(\d{1,15})$/

export class Records {
  readonly #options: RecordsOptions
  readonly #batch = new TickBatch(1)

  constructor(options: RecordsOptions) {
    this.#options = options
  }

  latest(request: HttpRequest, reply: HttpReply): void {
    guard(reply, () => {
      const { latest, instruments, rowsMax } = this.#options
      const parameters = new Parameters(request.query, ['symbol', 'venue', 'limit'])
      const limit = parameters.integer('limit', 1, rowsMax, rowsMax)
      const records: string[] = []
      for (const { id } of this.#named(parameters, request.pass) ?? instrumentsOf(instruments)) {
        for (const kind of LATEST_KINDS) {
          if (records.length === limit) break
          const seq = latest.read(id, kind, this.#batch, 0)
          if (seq >= 0) records.push(tickToJson(this.#batch, 0, instruments, seq))
        }
      }
      const body = `{"records":[${records.join(',')}]}`
      reply.send({ status: 200, contentType: JSON_TYPE, body })
    })
  }

  instruments(request: HttpRequest, reply: HttpReply): void {
    guard(reply, () => {
      const { instruments, rowsMax } = this.#options
      const parameters = new Parameters(request.query, ['symbol', 'venue', 'after', 'limit'])
      const limit = parameters.integer('limit', 1, rowsMax, Math.min(rowsMax, 1000))
      const after = parameters.integer('after', 0, Number.MAX_SAFE_INTEGER, 0)
      const rows: object[] = []
      let next: number | null = null
      for (const instrument of this.#named(parameters, request.pass) ??
        instrumentsOf(instruments)) {
        if (instrument.id <= after) continue
        if (rows.length === limit) {
          next = (rows.at(-1) as Instrument).id
          break
        }
        const { id, venue, symbol, venueSymbol } = instrument
        rows.push({ id, venue, symbol, venue_symbol: venueSymbol })
      }
      sendJson(reply, { instruments: rows, next })
    })
  }

  history(kind: HistoryKind, request: HttpRequest, reply: HttpReply): void {
    guard(reply, () => {
      const { history } = this.#options
      const known = ['symbol', 'venue', 'start', 'end', 'limit', 'before']
      const parameters = new Parameters(request.query, known)
      const query = this.#historyQuery(parameters, request.pass)
      if (history === undefined) {
        const message = 'there is no history: postgres.mode is off'
        sendError(reply, 503, 'history_off', message)
        return
      }
      history.query(kind, query).then(
        (rows) => sendJson(reply, { records: rows, next: nextCursor(rows, query.rowsMax) }),
        (thrown: unknown) => sendUnavailable(reply, thrown),
      )
    })
  }

  #historyQuery(parameters: Parameters, pass = Pass.open) {
    const { clock, rowsMax } = this.#options
    clock.read()
    const end = parameters.time('end') ?? isoTime((clock.sec + 1) * 1000)
    const start = parameters.time('start') ?? isoTime(Date.parse(end) - HISTORY_RANGE_MS)
    if (Date.parse(start) > Date.parse(end)) throw new BadParameter('start: is after end')
    const backMs = (clock.sec + 1) * 1000 - Date.parse(start)
    if (!pass.mayGoBack(backMs)) {
      throw new Forbidden(`start: the key may go back ${pass.grant.replay_ms} ms`)
    }
    return {
      instruments: this.#named(parameters, pass)?.map(({ id }) => id),
      start,
      end,
      rowsMax: parameters.integer('limit', 1, rowsMax, Math.min(HTTP_ROWS, rowsMax)),
      before: readCursor(parameters.text('before')),
    }
  }

  /** Those that `symbol` and `venue` name and the key may see; undefined = all there are. */
  #named(parameters: Parameters, pass = Pass.open): Instrument[] | undefined {
    const symbol = parameters.text('symbol')
    const venue = parameters.text('venue')
    if (symbol === undefined && venue === undefined && pass.seesAll) return undefined
    const named: Instrument[] = []
    for (const instrument of instrumentsOf(this.#options.instruments)) {
      if (venue !== undefined && instrument.venue !== venue) continue
      if (symbol !== undefined && !isNamed(instrument, symbol)) continue
      if (!pass.maySee(instrument)) continue
      named.push(instrument)
    }
    const isGlob = symbol === undefined || symbol.includes('*')
    if (named.length === 0 && !isGlob) throw new UnknownSymbol(symbol)
    return named
  }
}

class UnknownSymbol extends Error {}
class Forbidden extends Error {}

function isNamed(instrument: Instrument, symbol: string): boolean {
  return instrument.venueSymbol === symbol || wildcardMatches(symbol, instrument.symbol)
}

function* instrumentsOf(table: InstrumentTable): Generator<Instrument> {
  for (let id = 1; id <= table.count; id++) yield table.get(id) as Instrument
}

function guard(reply: HttpReply, work: () => void): void {
  try {
    work()
  } catch (thrown) {
    if (thrown instanceof BadParameter) sendError(reply, 400, 'bad_parameter', thrown.message)
    else if (thrown instanceof Forbidden) sendError(reply, 403, 'forbidden', thrown.message)
    else if (thrown instanceof UnknownSymbol) {
      sendError(reply, 404, 'unknown_symbol', `no instrument is called ${thrown.message}`)
    } else throw thrown
  }
}

function sendUnavailable(reply: HttpReply, thrown: unknown): void {
  if (!(thrown instanceof HistoryUnavailable)) {
    sendError(reply, 500, 'internal', errorText(thrown))
  } else if (thrown.fault === 'slow') sendError(reply, 504, 'history_slow', thrown.message)
  else if (thrown.fault === 'busy') sendBusy(reply, 'history_busy', thrown.message)
  else sendBusy(reply, 'history_unavailable', thrown.message)
}

function readCursor(text: string | undefined): HistoryCursor | undefined {
  if (text === undefined) return undefined
  const [, ts = '', shard, seq] = CURSOR.exec(text) ?? []
  if (ts === '') throw new BadParameter('before: the `next` of an earlier answer')
  return { ts, shard: Number(shard), seq: Number(seq) }
}

function nextCursor(rows: readonly HistoryRow[], rowsMax: number): string | null {
  const last = rows.at(-1)
  if (last === undefined || rows.length < rowsMax) return null
  return `${last.ts_event.slice(0, 26)}Z~${last.shard}~${last.seq}`
}

function isoTime(ms: number): string {
  return new Date(ms).toISOString()
}
