// Binance's REST interface, as far as a feed needs it: book snapshots and the limits on asking.
// Every outcome is a value; nothing here throws but bugs.

import type { Agent, Dispatcher } from 'undici'
import { errorText } from '../../errors.ts'
import { FRAME_BYTES_MAX, KIB } from '../../limits.ts'
import { type BinanceFacts, retryAfterMs } from './binance-wire.ts'

export type SnapshotOutcome =
  | { type: 'snapshot'; url: string; body: Buffer; usedWeight: number | undefined }
  /** The venue does not know the symbol, or not the request. */
  | { type: 'refused'; reason: string }
  /** Try again later; `waitMs` where the venue forbids all requests for so long. */
  | { type: 'failed'; reason: string; waitMs: number | undefined }

const TIMEOUT_MS = 10_000
/** Without a Retry-After: the limit is per minute, and a ban lasts two minutes at least. */
const LIMITED_WAIT_MS = 60_000
const BANNED_WAIT_MS = 120_000
/** What is left of the largest frame for the wrapping of a snapshot. */
const BODY_BYTES_MAX = FRAME_BYTES_MAX - KIB

export class BinanceRest {
  readonly #base: string
  readonly #facts: BinanceFacts
  #agent: Agent | undefined

  /** `base`: the address without a path; empty = the venue's own. */
  constructor(base: string, facts: BinanceFacts) {
    this.#base = (base === '' ? facts.restEndpoint : base).replace(/\/+$/, '')
    this.#facts = facts
  }

  async snapshot(symbol: string, limit: number): Promise<SnapshotOutcome> {
    const url = `${this.#base}${this.#facts.depthPath}?symbol=${symbol}&limit=${limit}`
    try {
      const { statusCode, headers, body } = await this.#get(url)
      const bytes = await readBody(body)
      if (bytes === undefined) return failure(`an answer of more than ${BODY_BYTES_MAX} bytes`)
      if (statusCode === 200) {
        const used = Number(headers['x-mbx-used-weight-1m'])
        const usedWeight = Number.isFinite(used) ? used : undefined
        return { type: 'snapshot', url, body: bytes, usedWeight }
      }
      const reason = `${statusCode} ${bytes.toString('utf8', 0, 200)}`
      if (statusCode === 400 || statusCode === 404) return { type: 'refused', reason }
      return failure(reason, refusalWaitMs(statusCode, headers['retry-after']))
    } catch (error) {
      return failure(errorText(error))
    }
  }

  /** Request weight that the venue allows a minute; undefined when it does not say. */
  async weightMax(symbol: string): Promise<number | undefined> {
    const { limitsPath } = this.#facts
    if (limitsPath === '') return undefined
    try {
      const url = `${this.#base}${limitsPath}?symbol=${symbol}`
      const { statusCode, body } = await this.#get(url)
      const bytes = await readBody(body)
      if (statusCode !== 200 || bytes === undefined) return undefined
      return weightPerMinute(JSON.parse(bytes.toString('utf8')))
    } catch {
      // The smaller of the known limits serves as well; a snapshot will show what is wrong.
      return undefined
    }
  }

  async close(): Promise<void> {
    await this.#agent?.destroy()
  }

  /** The client is loaded by the first request: most daemons ask no venue for anything. */
  async #get(url: string): Promise<Dispatcher.ResponseData> {
    const { Agent, request } = await import('undici')
    this.#agent ??= new Agent({
      connect: { timeout: TIMEOUT_MS },
      headersTimeout: TIMEOUT_MS,
      bodyTimeout: TIMEOUT_MS,
      connections: 1,
    })
    return request(url, { dispatcher: this.#agent })
  }
}

/** How long a status forbids requests from this address; undefined: it does not. */
export function refusalWaitMs(
  status: number,
  retryAfter: string | string[] | undefined,
): number | undefined {
  if (status === 418) return retryAfterMs(retryAfter) ?? BANNED_WAIT_MS
  if (status === 429 || status === 403 || status === 451) {
    return retryAfterMs(retryAfter) ?? LIMITED_WAIT_MS
  }
  return retryAfterMs(retryAfter)
}

function failure(reason: string, waitMs?: number): SnapshotOutcome {
  return { type: 'failed', reason, waitMs }
}

/** The whole body; undefined when it is too large, which also ends its connection. */
async function readBody(body: AsyncIterable<Buffer>): Promise<Buffer | undefined> {
  const parts: Buffer[] = []
  let size = 0
  for await (const part of body) {
    size += part.length
    if (size > BODY_BYTES_MAX) return undefined
    parts.push(part)
  }
  return Buffer.concat(parts)
}

function weightPerMinute(info: unknown): number | undefined {
  const { rateLimits } = (info ?? {}) as { rateLimits?: unknown }
  if (!Array.isArray(rateLimits)) return undefined
  for (const entry of rateLimits as Record<string, unknown>[]) {
    const { rateLimitType, interval, intervalNum, limit } = entry
    if (rateLimitType !== 'REQUEST_WEIGHT' || interval !== 'MINUTE') continue
    if (typeof limit === 'number' && typeof intervalNum === 'number' && intervalNum > 0) {
      return limit / intervalNum
    }
  }
  return undefined
}
