// What one connection or request was let in with: the rights of its key or token, and its holder.
//
// Rights on symbols are compared as text with what is asked for, so that a stream is the same for
// whoever may have it: a pattern is allowed where everything that it stands for is.

import type { Instrument } from '../../tick/instruments.ts'
import type { Refusal } from '../feed/errors.ts'
import { Selection } from '../feed/selection.ts'
import { wildcardMatches } from '../wildcard.ts'
import { GRANT_ALL, type Grant } from './grant.ts'
import type { Holder } from './holder.ts'
import type { ApiKey } from './key-file.ts'

/** A holder beyond its subscriptions may try again after so long. */
const SUBSCRIPTION_RETRY_MS = 1000
const ANY = '*'

export interface PassOptions {
  /** In the audit log: `key:<id>:<name>`, `jwt:<subject>`, `anonymous`. */
  readonly who: string
  readonly grant: Grant
  /** Whose limits count; undefined = nobody's. */
  readonly holder?: Holder
  readonly key?: ApiKey
  /** Wall clock. */
  readonly expiresAtMs?: number
  readonly address?: string
  /** The token is yet to come: nothing may be done but send it. */
  readonly isPending?: boolean
}

export class Pass {
  /** Where nothing is demanded. */
  static readonly open = new Pass({ who: 'anonymous', grant: GRANT_ALL })
  readonly who: string
  readonly grant: Grant
  readonly holder: Holder | undefined
  readonly key: ApiKey | undefined
  readonly expiresAtMs: number
  /** '' = unknown. */
  readonly address: string
  readonly isPending: boolean
  readonly #visible: Selection | undefined

  constructor(options: PassOptions) {
    const { grant } = options
    this.who = options.who
    this.grant = grant
    this.holder = options.holder
    this.key = options.key
    this.expiresAtMs = options.expiresAtMs ?? Number.POSITIVE_INFINITY
    this.address = options.address ?? ''
    this.isPending = options.isPending ?? false
    this.#visible = grant.symbols.includes(ANY) ? undefined : new Selection(grant.symbols)
  }

  /**
   * Whether this may be subscribed. `backMs`: how far it goes back before now; 0 = it does not,
   * infinite = nobody knows.
   */
  authorize(channel: string, patterns: readonly string[], backMs: number): Refusal | undefined {
    const refusal = this.permit(channel, patterns, backMs)
    const { holder } = this
    if (refusal !== undefined || holder === undefined) return refusal
    if (holder.subscriptionCount < holder.limits.subscriptions) return undefined
    const message = `the key has ${holder.limits.subscriptions} subscriptions`
    return { error: 'key_limit', message, retryAfterMs: SUBSCRIPTION_RETRY_MS }
  }

  /** As `authorize`, whatever the number of subscriptions: for one that is there already. */
  permit(channel: string, patterns: readonly string[], backMs: number): Refusal | undefined {
    if (!this.mayRead(channel)) return forbidden(`no right to the channel ${channel}`)
    if (!this.mayGoBack(backMs)) {
      return forbidden(`no right to go back further than ${this.grant.replay_ms} ms`)
    }
    const refused = patterns.find((pattern) => !this.#covers(pattern))
    return refused === undefined ? undefined : forbidden(`no right to ${refused.slice(0, 100)}`)
  }

  subscribed(): void {
    this.holder?.subscribed()
  }

  unsubscribed(): void {
    this.holder?.unsubscribed()
  }

  mayRead(channel: string): boolean {
    // The best levels of books are a part of the books.
    const whole = channel.startsWith('book.') ? 'book' : channel
    return this.grant.channels.some((glob) => {
      return wildcardMatches(glob, channel) || wildcardMatches(glob, whole)
    })
  }

  mayGoBack(backMs: number): boolean {
    const { replay_ms: replayMs } = this.grant
    return backMs <= 0 || replayMs === null || backMs <= replayMs
  }

  /** Every instrument may be seen. */
  get seesAll(): boolean {
    return this.#visible === undefined
  }

  maySee(instrument: Instrument): boolean {
    return this.#visible === undefined || this.#visible.matches(instrument)
  }

  /** Whether all that the pattern stands for is within one of ours. */
  #covers(pattern: string): boolean {
    if (this.#visible === undefined) return true
    const asked = split(pattern)
    return this.grant.symbols.some((allowed) => {
      const own = split(allowed)
      // A `*` of the pattern is matched by a `*` of ours only: so whatever it stands for is, too.
      return wildcardMatches(own.venue, asked.venue) && wildcardMatches(own.symbol, asked.symbol)
    })
  }
}

function split(pattern: string): { venue: string; symbol: string } {
  const colon = pattern.indexOf(':')
  if (colon < 0) return { venue: ANY, symbol: pattern }
  return { venue: pattern.slice(0, colon), symbol: pattern.slice(colon + 1) }
}

function forbidden(message: string): Refusal {
  return { error: 'forbidden', message }
}
