// What the holder of a key or token may do: plain data, as it stands in keys.json and in the claim
// of a JSON Web Token. Nothing is granted that is not written there.

import { RATE_BURST_SECONDS } from '../../limits.ts'

/** Of one holder, over all its connections. */
export interface HolderLimits {
  readonly connections: number
  readonly subscriptions: number
  readonly messages_per_second: number
  readonly bytes_per_second: number
}

export interface Grant {
  /** Channels of the feed and kinds of records over HTTP; with `*`: `bars.*`. */
  readonly channels: readonly string[]
  /** As in a subscription: `BTC-USDT`, `binance:*`, `ETH-*`. */
  readonly symbols: readonly string[]
  /** How far back history and replays may go; null = as far as there is something. */
  readonly replay_ms: number | null
  /** POST /v1/ticks. */
  readonly push: boolean
  /** The ledger, incidents and the like; /metrics, where that is not open. */
  readonly operate: boolean
  /** Where they differ from those of the configuration. */
  readonly limits: Partial<HolderLimits>
}

/** What a key may do when nothing else is said: read everything. */
export const READ_ALL: Grant = Object.freeze({
  channels: ['*'],
  symbols: ['*'],
  replay_ms: null,
  push: false,
  operate: false,
  limits: {},
})

/** Of those who come where no key is demanded. */
export const GRANT_ALL: Grant = Object.freeze({ ...READ_ALL, push: true, operate: true })

/** Of a connection whose token is yet to come. */
export const GRANT_NONE: Grant = Object.freeze({
  channels: [],
  symbols: [],
  replay_ms: 0,
  push: false,
  operate: false,
  limits: {},
})

const FIELDS = ['channels', 'symbols', 'replay_ms', 'push', 'operate', 'limits']
const LIMIT_NAMES: readonly (keyof HolderLimits)[] = [
  'connections',
  'subscriptions',
  'messages_per_second',
  'bytes_per_second',
]
const NAMES_MAX = 1000
const NAME_LENGTH_MAX = 128
const MS_MAX = 100 * 365 * 86_400_000
const LIMIT_MAX = Number.MAX_SAFE_INTEGER / RATE_BURST_SECONDS

/** A grant, or what is wrong with it. What is absent is not granted. */
export function readGrant(value: unknown): Grant | string {
  if (!isObject(value)) return 'must be an object'
  const stranger = Object.keys(value).find((name) => !FIELDS.includes(name))
  if (stranger !== undefined) return `${stranger.slice(0, 64)}: not one of ${FIELDS.join(', ')}`
  const { channels = [], symbols = [], replay_ms: replayMs = 0 } = value
  const { push = false, operate = false, limits = {} } = value
  if (!isNames(channels)) return `channels: a list of at most ${NAMES_MAX} names`
  if (!isNames(symbols)) return `symbols: a list of at most ${NAMES_MAX} names`
  if (replayMs !== null && !isWhole(replayMs, 0, MS_MAX)) return 'replay_ms: milliseconds, or null'
  if (typeof push !== 'boolean') return 'push: true or false'
  if (typeof operate !== 'boolean') return 'operate: true or false'
  if (!isObject(limits)) return 'limits: an object'
  for (const [name, limit] of Object.entries(limits)) {
    if (!LIMIT_NAMES.some((known) => known === name)) {
      return `limits.${name.slice(0, 64)}: not one of ${LIMIT_NAMES.join(', ')}`
    }
    if (!isWhole(limit, 1, LIMIT_MAX)) return `limits.${name}: a whole number above 0`
  }
  return { channels, symbols, replay_ms: replayMs, push, operate, limits }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function isNames(value: unknown): value is string[] {
  if (!Array.isArray(value) || value.length > NAMES_MAX) return false
  return value.every((name) => {
    return typeof name === 'string' && name.length > 0 && name.length <= NAME_LENGTH_MAX
  })
}

function isWhole(value: unknown, min: number, max: number): value is number {
  return Number.isSafeInteger(value) && (value as number) >= min && (value as number) <= max
}
