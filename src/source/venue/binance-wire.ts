// What Binance's interfaces look like from the transport: addresses, stream names, control texts.
// Pure. Market data itself is the decoder's; only as much of a frame is looked at as routing needs.

import { FRAME_FORMAT } from '../../ring/frame-format.ts'
import { venueSymbol } from '../../tick/symbols.ts'

export type BinanceVenue = 'binance-us' | 'binance' | 'binance-usdm'
export type BinanceStream = 'trade' | 'aggTrade' | 'bookTicker' | 'depth'

export interface BinanceFacts {
  readonly format: number
  readonly wsEndpoints: readonly string[]
  readonly restEndpoint: string
  readonly depthPath: string
  /** Where limits are asked for, per symbol; '' = not asked, the answer is megabytes. */
  readonly limitsPath: string
  /** Path prefix of the endpoint that has the stream. */
  readonly route: (stream: BinanceStream) => string
  /** Levels that a snapshot may have; empty = any up to 5,000. */
  readonly snapshotLimits: readonly number[]
}

const spot = {
  depthPath: '/api/v3/depth',
  limitsPath: '/api/v3/exchangeInfo',
  route: () => '',
  snapshotLimits: [],
  format: FRAME_FORMAT.binance,
}

export const BINANCE_FACTS: Readonly<Record<BinanceVenue, BinanceFacts>> = {
  'binance-us': {
    ...spot,
    wsEndpoints: ['wss://stream.binance.us:9443', 'wss://stream.binance.us:443'],
    restEndpoint: 'https://api.binance.us',
  },
  binance: {
    ...spot,
    wsEndpoints: [
      'wss://data-stream.binance.vision',
      'wss://stream.binance.com:9443',
      'wss://stream.binance.com:443',
    ],
    restEndpoint: 'https://data-api.binance.vision',
  },
  'binance-usdm': {
    format: FRAME_FORMAT.binanceUsdm,
    wsEndpoints: ['wss://fstream.binance.com'],
    restEndpoint: 'https://fapi.binance.com',
    depthPath: '/fapi/v1/depth',
    limitsPath: '',
    // Since 2026-04-23 book data and the rest come from two entry points.
    route: (stream) => (stream === 'depth' || stream === 'bookTicker' ? '/public' : '/market'),
    snapshotLimits: [5, 10, 20, 50, 100, 500, 1000],
  },
}

/** Streams of one connection, at most. */
export const STREAMS_PER_CONNECTION = 1024

/** 'btcusdt@depth': what SUBSCRIBE names and combined frames carry. */
export function streamName(venue: BinanceVenue, symbol: string, stream: BinanceStream): string {
  return `${venueSymbol(venue, symbol).toLowerCase()}@${stream}`
}

export interface StreamGroup {
  readonly route: string
  readonly streams: readonly string[]
}

/** One group a connection: by route, and no more streams than a connection may have. */
export function streamGroups(
  venue: BinanceVenue,
  symbols: readonly string[],
  streams: readonly BinanceStream[],
  groupMax = STREAMS_PER_CONNECTION,
): StreamGroup[] {
  const { route } = BINANCE_FACTS[venue]
  const byRoute = new Map<string, Set<string>>()
  for (const symbol of symbols) {
    for (const stream of streams) {
      const names = byRoute.get(route(stream)) ?? new Set()
      byRoute.set(route(stream), names.add(streamName(venue, symbol, stream)))
    }
  }
  const groups: StreamGroup[] = []
  for (const [path, names] of byRoute) {
    const all = [...names]
    for (let i = 0; i < all.length; i += groupMax) {
      groups.push({ route: path, streams: all.slice(i, i + groupMax) })
    }
  }
  return groups
}

/** The snapshot size to ask for: the least that the venue offers and that is enough. */
export function snapshotLimit(facts: BinanceFacts, wanted: number): number {
  const { snapshotLimits } = facts
  if (snapshotLimits.length === 0) return wanted
  return snapshotLimits.find((limit) => limit >= wanted) ?? (snapshotLimits.at(-1) as number)
}

/** Wraps a REST book snapshot as the decoder expects it: as a frame of a stream of its own. */
export function wrapSnapshot(symbol: string, body: Buffer): Buffer {
  return Buffer.concat([
    Buffer.from(`{"stream":"${symbol.toLowerCase()}@depthSnapshot","data":`),
    body,
    Buffer.from('}'),
  ])
}

const DATA_PREFIX = Buffer.from('{"stream":"')
const BANG = 0x21
/** No control text is longer; a longer one is data of a form that we do not know. */
const CONTROL_BYTES_MAX = 64 * 1024

/** True for a combined data frame: no more than a look at its first bytes. */
export function isData(frame: Buffer): boolean {
  if (frame.length < DATA_PREFIX.length + 1) return false
  for (let i = 0; i < DATA_PREFIX.length; i++) if (frame[i] !== DATA_PREFIX[i]) return false
  // '!serverShutdown' comes in the form of data.
  return frame[DATA_PREFIX.length] !== BANG
}

/** The stream name of a data frame. */
export function streamOf(frame: Buffer): string {
  const end = frame.indexOf('"', DATA_PREFIX.length)
  return end === -1 ? '' : frame.toString('latin1', DATA_PREFIX.length, end)
}

export type Control =
  | { type: 'reply'; id: number | undefined; error: string | undefined }
  | { type: 'shutdown' }
  | { type: 'unknown' }

/** Reads a frame that is not data. Errors come bare or under "error"; both are understood. */
export function parseControl(frame: Buffer): Control {
  if (frame.length > CONTROL_BYTES_MAX) return { type: 'unknown' }
  let text: unknown
  try {
    text = JSON.parse(frame.toString('utf8'))
  } catch {
    return { type: 'unknown' }
  }
  if (typeof text !== 'object' || text === null) return { type: 'unknown' }
  const { id, error, result, code, msg, e, stream } = text as Record<string, unknown>
  if (e === 'serverShutdown' || stream === '!serverShutdown') return { type: 'shutdown' }
  const known = typeof id === 'number' ? id : undefined
  if (typeof error === 'object' && error !== null) {
    const nested = error as Record<string, unknown>
    return { type: 'reply', id: known, error: errorOf(nested.code, nested.msg) }
  }
  if (code !== undefined) return { type: 'reply', id: known, error: errorOf(code, msg) }
  if (result !== undefined) return { type: 'reply', id: known, error: undefined }
  return { type: 'unknown' }
}

function errorOf(code: unknown, message: unknown): string {
  return `${String(code)}: ${String(message)}`
}

/** Milliseconds of a Retry-After header in seconds; undefined when there is none. */
export function retryAfterMs(header: string | string[] | undefined): number | undefined {
  const seconds = Number(Array.isArray(header) ? header[0] : header)
  return Number.isFinite(seconds) && seconds >= 0 ? seconds * 1000 : undefined
}
