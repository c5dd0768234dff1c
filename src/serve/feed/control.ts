// Control messages of a client: text in, a checked message or a refusal out. Does nothing else.
//
// Strict: an unknown field is refused, since it is most often a misspelt one. The id is echoed even
// in refusals, as far as it could be read.

import { FEED_GLOBS_MAX, FEED_SYMBOLS_MAX, INSTRUMENT_NAME_BYTES_MAX } from '../../limits.ts'
import { writeSplit } from '../../tick/fixed-point.ts'
import { parseTime } from '../../tick/time.ts'
import {
  CHANNEL_NAMES,
  type ChannelName,
  channelOf,
  isChannel,
  SLOW_POLICIES,
  type SlowPolicy,
} from './channels.ts'
import type { FeedErrorName, Refusal } from './errors.ts'
import type { Target } from './replay-start.ts'

export type ControlId = string | number | undefined

export interface Subscribe {
  readonly op: 'subscribe'
  readonly channel: ChannelName
  readonly symbols: readonly string[]
  readonly from: 'live' | 'snapshot' | Target
  readonly slow: SlowPolicy
  /** undefined = all. */
  readonly shard: number | undefined
}

/** Which symbols a stream has is changed, while it goes on. */
export interface Update {
  readonly op: 'update'
  readonly stream: number
  readonly add: readonly string[]
  readonly remove: readonly string[]
  readonly from: 'live' | 'snapshot'
}

export interface Fill {
  readonly op: 'fill'
  readonly stream: number
  /** undefined = this one. */
  readonly epoch: number | undefined
  readonly from: number
  readonly to: number
}

export interface Unsubscribe {
  readonly op: 'unsubscribe'
  readonly stream: number
}

export interface Ping {
  readonly op: 'ping'
}

export type Control = Subscribe | Update | Unsubscribe | Fill | Ping

export interface Parsed {
  readonly id: ControlId
  readonly control: Control | Refusal
}

const ID_LENGTH_MAX = 128
/** RFC 3339 with nine digits and an offset has 35. */
const TIME_LENGTH_MAX = 40
const textEncoder = new TextEncoder()
const FIELDS: Readonly<Record<Control['op'], readonly string[]>> = {
  subscribe: ['op', 'id', 'channel', 'symbols', 'from', 'slow', 'shard'],
  update: ['op', 'id', 'stream', 'add', 'remove', 'from'],
  fill: ['op', 'id', 'stream', 'epoch', 'from', 'to'],
  unsubscribe: ['op', 'id', 'stream'],
  ping: ['op', 'id'],
}

export function isRefusal(control: Control | Refusal): control is Refusal {
  return 'error' in control
}

export function parseControl(text: string): Parsed {
  let message: unknown
  try {
    message = JSON.parse(text)
  } catch {
    return { id: undefined, control: refuse('bad_json', 'send one JSON object per message') }
  }
  if (typeof message !== 'object' || message === null || Array.isArray(message)) {
    return { id: undefined, control: refuse('bad_message', 'send an object with an "op"') }
  }
  const fields = message as Record<string, unknown>
  const id = readId(fields.id)
  if (fields.id !== undefined && id === undefined) {
    return { id, control: refuse('bad_field', `id: a number, or text of at most ${ID_LENGTH_MAX}`) }
  }
  return { id, control: readControl(fields) }
}

function readControl(fields: Record<string, unknown>): Control | Refusal {
  const { op } = fields
  if (typeof op !== 'string') return refuse('bad_message', 'op is missing')
  if (!Object.hasOwn(FIELDS, op)) {
    return refuse('unknown_op', `op is one of ${Object.keys(FIELDS).join(', ')}`)
  }
  const known = FIELDS[op as Control['op']]
  const stranger = Object.keys(fields).find((name) => !known.includes(name))
  if (stranger !== undefined) {
    return refuse('bad_field', `${stranger.slice(0, 64)}: not a field of ${op}`)
  }
  if (op === 'subscribe') return readSubscribe(fields)
  if (op === 'update') return readUpdate(fields)
  if (op === 'unsubscribe') return readUnsubscribe(fields)
  if (op === 'fill') return readFill(fields)
  return { op: 'ping' }
}

function readSubscribe(fields: Record<string, unknown>): Subscribe | Refusal {
  const { channel: name, symbols = ['*'], shard } = fields
  if (typeof name !== 'string' || !isChannel(name)) {
    return refuse('unknown_channel', `channel is one of ${CHANNEL_NAMES}`)
  }
  const channel = channelOf(name)
  const fault = symbolsFault(symbols)
  if (fault !== '') return refuse('bad_field', `symbols: ${fault}`)
  const from = readFrom(fields.from ?? 'live')
  if (from === undefined) {
    return refuse('bad_field', 'from is "live", "snapshot", {"epoch","seq"} or {"ts"}')
  }
  const isOffered = from === 'snapshot' ? channel.snapshot : channel.carries === 'event'
  if (from !== 'live' && !isOffered) {
    return refuse('from_unavailable', `not available: channel ${name} cannot start from there`)
  }
  if (shard !== undefined && (!isWhole(shard, 0) || channel.carries !== 'event')) {
    return refuse('bad_field', `shard: a number, where the channel has shards`)
  }
  const slow = (fields.slow ?? channel.slow) as SlowPolicy
  if (!SLOW_POLICIES.includes(slow)) {
    return refuse('bad_field', `slow is one of ${SLOW_POLICIES.join(', ')}`)
  }
  if (slow === 'conflate' && !channel.conflate) {
    return refuse('slow_unavailable', `channel ${name} allows "gap" or "close"`)
  }
  return { op: 'subscribe', channel: name, symbols: symbols as string[], from, slow, shard }
}

/** undefined = not a place to start from. */
function readFrom(from: unknown): Subscribe['from'] | undefined {
  if (from === 'live' || from === 'snapshot') return from
  if (typeof from !== 'object' || from === null || Array.isArray(from)) return undefined
  const { epoch, seq, ts, ...strangers } = from as Record<string, unknown>
  if (Object.keys(strangers).length > 0) return undefined
  if (ts === undefined) return isWhole(epoch, 1) && isWhole(seq, 1) ? { epoch, seq } : undefined
  const text = typeof ts === 'string' ? textEncoder.encode(ts.slice(0, TIME_LENGTH_MAX)) : undefined
  const isAlone = epoch === undefined && seq === undefined
  const time = { sec: 0, nsec: 0 }
  if (!isAlone || text === undefined || !parseTime(text, 0, text.length, time)) return undefined
  const words = new Int32Array(2)
  writeSplit(words, 0, false, time.sec, time.nsec)
  return { words, ms: time.sec * 1000 + Math.floor(time.nsec / 1e6) }
}

function readUpdate(fields: Record<string, unknown>): Update | Refusal {
  const { stream, add, remove, from = 'live' } = fields
  if (!isWhole(stream, 0)) return refuse('bad_field', 'stream: the number from the ack')
  if (add === undefined && remove === undefined) {
    return refuse('bad_field', 'add, remove: the symbols that come and go')
  }
  for (const [name, symbols] of Object.entries({ add, remove })) {
    const fault = symbols === undefined ? '' : symbolsFault(symbols)
    if (fault !== '') return refuse('bad_field', `${name}: ${fault}`)
  }
  if (from !== 'live' && from !== 'snapshot') {
    return refuse('bad_field', 'from is "live" or "snapshot"')
  }
  const added = (add ?? []) as string[]
  const removed = (remove ?? []) as string[]
  const both = added.find((symbol) => removed.includes(symbol))
  if (both !== undefined) return refuse('bad_field', `${both}: to be added and removed`)
  return { op: 'update', stream, add: added, remove: removed, from }
}

function readFill({ stream, epoch, from, to }: Record<string, unknown>): Fill | Refusal {
  if (!isWhole(stream, 0)) return refuse('bad_field', 'stream: the number from the ack')
  if (epoch !== undefined && !isWhole(epoch, 1)) return refuse('bad_field', 'epoch: a number')
  if (!isWhole(from, 1) || !isWhole(to, from)) {
    return refuse('bad_field', 'from and to: the first and the last sequence wanted')
  }
  return { op: 'fill', stream, epoch, from, to }
}

function isWhole(value: unknown, min: number): value is number {
  return Number.isSafeInteger(value) && (value as number) >= min
}

/** Why these cannot be the symbols of a subscription; '' = they can. */
export function symbolsFault(symbols: unknown): string {
  if (!Array.isArray(symbols) || symbols.length === 0) return 'a list of at least one'
  if (symbols.length > FEED_SYMBOLS_MAX) return `at most ${FEED_SYMBOLS_MAX}`
  let globCount = 0
  for (const symbol of symbols) {
    if (typeof symbol !== 'string' || symbol === '') return 'each is text'
    if (Buffer.byteLength(symbol) > INSTRUMENT_NAME_BYTES_MAX + 1) {
      return `each has at most ${INSTRUMENT_NAME_BYTES_MAX + 1} bytes`
    }
    if (symbol.includes('*')) globCount++
  }
  return globCount > FEED_GLOBS_MAX ? `at most ${FEED_GLOBS_MAX} with a *` : ''
}

function readUnsubscribe({ stream }: Record<string, unknown>): Unsubscribe | Refusal {
  if (typeof stream !== 'number' || !Number.isSafeInteger(stream)) {
    return refuse('bad_field', 'stream: the number from the ack')
  }
  return { op: 'unsubscribe', stream }
}

function readId(id: unknown): ControlId {
  if (typeof id === 'string' && id.length <= ID_LENGTH_MAX) return id
  return typeof id === 'number' && Number.isFinite(id) ? id : undefined
}

function refuse(error: FeedErrorName, message: string): Refusal {
  return { error, message }
}
