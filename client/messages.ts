// Control messages of the protocol, as docs/protocol.md has them, and the client's own words.

import type { Instrument } from './record.ts'

export const PROTOCOLS = ['fb', 'msgpack', 'json'] as const
/** Sub-protocol, without its `tickd.v1.`. */
export type Protocol = (typeof PROTOCOLS)[number]

/** Streams of these are made for those who listen: nothing of them can be had again. */
export const LIVE_CHANNELS = /^(latest|test|book\..*)$/

/** Where a subscription begins; `seq` is the first sequence wanted. */
export type From = 'live' | 'snapshot' | { epoch: number; seq: number } | { ts: string }

export interface SubscribeRequest {
  readonly channel: string
  readonly symbols?: readonly string[]
  readonly from?: From
  readonly slow?: 'gap' | 'close' | 'conflate'
  /** Only what this shard carries: with several, the only streams that can be resumed or filled. */
  readonly shard?: number
}

export interface SymbolResult {
  readonly symbol: string
  readonly result: string
  /** Not of those that were removed. */
  readonly instrument_count?: number
  readonly instruments?: readonly Instrument[]
}

export interface Ack {
  readonly op: 'ack'
  readonly stream: number
  readonly channel: string
  readonly epoch: number
  /** null: an `epoch` message will say. */
  readonly next_seq: number | null
  /** Older records come first, until `replay_completed`. */
  readonly replay?: boolean
  readonly symbols: readonly SymbolResult[]
}

/** Symbols that a subscription is to have from now on, and those that it is not. */
export interface Change {
  readonly add?: readonly string[]
  readonly remove?: readonly string[]
  /** `snapshot`: the newest values of what is added come first. */
  readonly from?: 'live' | 'snapshot'
}

export interface UpdateAck {
  readonly op: 'ack'
  readonly stream: number
  readonly channel: string
  readonly epoch: number
  /** The first sequence with the new symbols. */
  readonly from_seq: number
  /** What the stream was, and the sequence before which that has ended. */
  readonly was: { readonly stream: number; readonly next_seq: number }
  readonly symbols: readonly SymbolResult[]
}

export interface Welcome {
  readonly op: 'welcome'
  readonly session: string
  readonly epoch: number
  readonly server_time: string
  readonly protocol: string
  readonly limits: Readonly<Record<string, number>>
  readonly shards?: number
  readonly versions: { readonly tickd: string; readonly protocol: number }
}

/** Any message of the server: which fields are there depends on `op`. */
export interface ServerMessage {
  readonly op: string
  readonly id?: string | number
  readonly [field: string]: unknown
}

/**
 * Records that were not received. `from` … `to` are sequences of the stream, both included; `to` is
 * undefined where nobody knows how many there were, and of `upstream`, which none is missing of.
 */
export interface Gap {
  readonly stream: number
  readonly epoch: number
  readonly from: number
  readonly to: number | undefined
  /**
   * The server's cause: `slow`, `conflated`, `overrun`, `upstream` (before `from` the venue's own
   * numbers have a hole), `restart` (received, and taken back by a crash: their numbers are void).
   * Or the client's own: `undeclared` a hole that the server did not speak of, `reconnect` lost
   * with the connection, `client` this program read too slowly.
   */
  readonly cause: string
  /** The server's whole message, where there was one. */
  readonly message: ServerMessage | undefined
}

/** Books that are not right, from `nextSeq` of the stream on, until their next image. */
export interface BrokenBooks {
  readonly stream: number
  readonly nextSeq: number
  /** `book_gap`, `book_crossed`, `book_incomplete` or `book_lost`, and its number. */
  readonly name: string
  readonly code: number
  readonly instruments: readonly Instrument[]
}

export function brokenOf(message: ServerMessage): BrokenBooks {
  return {
    stream: Number(message.stream),
    nextSeq: Number(message.next_seq),
    name: String(message.name),
    code: Number(message.code),
    instruments: message.instruments as Instrument[],
  }
}

/** A refusal of the server, or a failure of the connection (code 0). */
export class FeedError extends Error {
  readonly code: number
  readonly retryAfterMs: number | undefined

  constructor(name: string, message: string, code = 0, retryAfterMs?: number) {
    super(message)
    this.name = name
    this.code = code
    this.retryAfterMs = retryAfterMs
  }

  static of(message: ServerMessage): FeedError {
    const { code, name, msg, retry_after_ms: retryAfterMs } = message
    const waitMs = typeof retryAfterMs === 'number' ? retryAfterMs : undefined
    return new FeedError(String(name ?? 'error'), String(msg ?? ''), Number(code), waitMs)
  }
}
