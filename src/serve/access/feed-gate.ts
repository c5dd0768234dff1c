// The door of the feed: who may open it, whose messages go through, and when it closes on them.
//
//   handshake → admit (origin, address, token) → open ─┬─ with a pass: the feed has it
//                                                      └─ without: {"op":"auth"} within auth_ms
//
// The feed itself sees only subscribers with a pass. Once a second passes are looked through:
// whoever's key was revoked, changed or has expired is closed.

import type { Clock } from '../../clock.ts'
import { FEED_PENDING_MAX, FEED_STRIKES_MAX, TOKEN_LENGTH_MAX } from '../../limits.ts'
import type { CounterName } from '../../ops/counter-catalog.ts'
import type { CounterReader, CounterSet } from '../../ops/counters.ts'
import { CLOSE_CODES, errorJson, type Refusal } from '../feed/errors.ts'
import type { Feed } from '../feed/feed.ts'
import type { Subscriber } from '../feed/subscriber.ts'
import type { FeedHandler, FeedRefusal, FeedSocket, Visit } from '../server.ts'
import type { Access } from './access.ts'
import { readableAddress } from './addresses.ts'
import { type AuthMessage, mayBeAuth, readAuth } from './auth-message.ts'
import { GRANT_NONE } from './grant.ts'
import { MeteredSocket } from './metered-socket.ts'
import { Pass } from './pass.ts'
import { tooMuch } from './refusal.ts'

/** A holder or address with all its connections may try again after so long. */
const CONNECTION_RETRY_MS = 1000

/** A feed connection, let in or not yet. */
export interface Visitor {
  readonly socket: MeteredSocket
  readonly protocol: string
  pass: Pass
  /** undefined until it has a pass. */
  subscriber: Subscriber | undefined
  /** Monotonic: when its token must have come. */
  readonly deadlineMs: number
  isVerifying: boolean
  isClosed: boolean
  /** Messages in a row beyond its holder's rate. */
  strikeCount: number
}

export interface FeedGateOptions {
  readonly feed: Feed
  readonly access: Access
  readonly bufferBytes: number
  readonly clock: Clock
  readonly counters: CounterSet<CounterName<'serve'>>
  /** Of the other threads that serve: some limits hold for all together. */
  readonly others: CounterReader<CounterName<'serve'>>
}

export class FeedGate implements FeedHandler<Visitor> {
  readonly #options: FeedGateOptions
  readonly #visitors = new Set<Visitor>()
  readonly #pending = new Set<Visitor>()

  constructor(options: FeedGateOptions) {
    this.#options = options
  }

  accept(offered: readonly string[]): string | FeedRefusal {
    return this.#options.feed.accept(offered)
  }

  /** Of a handshake; its answer is a pass, a pending one, or a refusal. */
  admit(visit: Visit, answer: (verdict: Pass | FeedRefusal) => void): void {
    const { access, counters, others } = this.#options
    const address = readableAddress(visit.address)
    const refuse = (refusal: FeedRefusal, who: string, why: string) => {
      counters.add(refusal.status === 429 ? 'access_limited' : 'access_denied')
      access.note({ decision: 'deny', who, address, what: 'feed', why })
      answer(refusal)
    }
    const wrong = access.originRefusal(visit)
    if (wrong !== undefined) {
      refuse(wrong, 'unknown', `origin ${visit.origin}`)
      return
    }
    const { address_subscribers_max: addressMax } = access.settings
    const use = access.addressUse(address)
    if (use !== undefined && use.subscriberCount >= addressMax) {
      const message = `${addressMax} feed connections of this address are open`
      refuse(tooMuch(message, CONNECTION_RETRY_MS), 'unknown', 'feed connections of the address')
      return
    }
    const token = access.tokenOf(visit)
    if (!access.isDemanded) answer(new Pass({ ...openPass, address }))
    else if (token !== '') {
      access.authenticate(token, address, (verdict, why) => {
        if (!(verdict instanceof Pass)) refuse(verdict, 'unknown', why)
        else if (hasRoom(verdict)) answer(verdict)
        else refuse(tooMuch(fullText(verdict), CONNECTION_RETRY_MS), verdict.who, 'connections')
      })
    } else if (this.#pending.size + others.get('subscribers_pending') >= FEED_PENDING_MAX) {
      const message = 'too many connections without a token; send it in the handshake'
      refuse(tooMuch(message, CONNECTION_RETRY_MS), 'unknown', 'connections without a token')
    } else answer(new Pass({ who: 'unknown', grant: GRANT_NONE, address, isPending: true }))
  }

  open(socket: FeedSocket, protocol: string, pass = Pass.open): Visitor {
    const { access, bufferBytes, clock } = this.#options
    const visitor: Visitor = {
      socket: new MeteredSocket(socket, clock, bufferBytes),
      protocol,
      pass,
      subscriber: undefined,
      deadlineMs: clock.monoMs() + access.settings.auth_ms,
      isVerifying: false,
      isClosed: false,
      strikeCount: 0,
    }
    this.#visitors.add(visitor)
    const use = pass.address === '' ? undefined : access.addressUse(pass.address)
    use?.subscriberCame()
    if (pass.isPending) {
      this.#pending.add(visitor)
      this.#countPending()
      const timeout_ms = access.settings.auth_ms
      visitor.socket.send(JSON.stringify({ op: 'auth_required', timeout_ms }), false)
    } else this.#letIn(visitor, pass)
    return visitor
  }

  message(visitor: Visitor, data: Uint8Array, isBinary: boolean): void {
    const { feed, counters } = this.#options
    if (visitor.isClosed) return
    const { subscriber } = visitor
    if (subscriber === undefined) {
      this.#authenticate(visitor, isBinary ? undefined : readAuth(data))
      return
    }
    const waitMs = visitor.pass.holder?.messages.take(1, this.#options.clock.monoMs()) ?? 0
    if (waitMs > 0) {
      counters.add('access_limited')
      const message = 'the key has sent too many messages'
      this.#refuse(visitor, { error: 'rate_limit', message, retryAfterMs: waitMs }, undefined)
      if (++visitor.strikeCount >= FEED_STRIKES_MAX) this.#end(visitor, 'abuse', 'flood')
      return
    }
    visitor.strikeCount = 0
    const auth = !isBinary && mayBeAuth(data) ? readAuth(data) : undefined
    if (auth !== undefined) {
      const message = 'connect anew to use another token'
      this.#refuse(visitor, { error: 'already_authenticated', message }, auth.id)
    } else feed.message(subscriber, data, isBinary)
  }

  drain({ subscriber }: Visitor): void {
    if (subscriber !== undefined) this.#options.feed.drain(subscriber)
  }

  close(visitor: Visitor): void {
    const { access } = this.#options
    visitor.isClosed = true
    this.#visitors.delete(visitor)
    if (this.#pending.delete(visitor)) this.#countPending()
    const { pass } = visitor
    const use = pass.address === '' ? undefined : access.addressUse(pass.address)
    use?.subscriberWent()
    this.#release(visitor)
  }

  /** Deadlines and passes that no longer hold. */
  turn(nowMs: number): void {
    const { access, counters } = this.#options
    for (const visitor of [...this.#pending]) {
      if (nowMs < visitor.deadlineMs) break
      this.#deny(visitor, 'auth_required', 'no token in time', undefined)
    }
    if (!access.turn(nowMs) || !access.isDemanded) return
    for (const visitor of [...this.#visitors]) {
      if (visitor.pass.isPending || access.holds(visitor.pass)) continue
      counters.add('access_revoked')
      const { who, address } = visitor.pass
      const why = 'the key was revoked or changed, or has expired'
      access.note({ decision: 'close', who, address, what: 'feed', why })
      this.#end(visitor, 'unauthorized', why)
    }
  }

  /** Those that the feed does not know; it says goodbye to the others itself. */
  closePending(): void {
    for (const visitor of [...this.#pending]) this.#end(visitor, 'going_away', '')
  }

  #authenticate(visitor: Visitor, auth: AuthMessage | undefined): void {
    const { access } = this.#options
    if (auth === undefined || auth.token.length > TOKEN_LENGTH_MAX || visitor.isVerifying) {
      this.#deny(visitor, 'auth_required', 'sent something else than a token', auth?.id)
      return
    }
    visitor.isVerifying = true
    access.authenticate(auth.token, visitor.pass.address, (verdict, why) => {
      if (visitor.isClosed) return
      visitor.isVerifying = false
      if (!(verdict instanceof Pass)) {
        this.#deny(visitor, 'bad_token', why, auth.id, verdict.retryAfterMs)
      } else if (!hasRoom(verdict)) {
        this.#deny(visitor, 'key_limit', 'connections', auth.id, CONNECTION_RETRY_MS)
      } else this.#letIn(visitor, verdict)
    })
  }

  #letIn(visitor: Visitor, pass: Pass): void {
    const { feed, access } = this.#options
    if (this.#pending.delete(visitor)) this.#countPending()
    visitor.pass = pass
    pass.holder?.connected()
    // Another thread may have let somebody in since there was room. It is counted before it is
    // judged, so that there are never too many; of two at the same instant neither may stay.
    if (isOver(pass)) {
      pass.holder?.disconnected()
      this.#deny(visitor, 'key_limit', 'connections', undefined, CONNECTION_RETRY_MS)
      return
    }
    visitor.socket.meter(pass.holder)
    if (access.isDemanded) {
      const { who, address } = pass
      access.note({ decision: 'allow', who, address, what: 'feed', why: '' })
    }
    visitor.subscriber = feed.open(visitor.socket, visitor.protocol, pass)
    // It may be closed by what it is told first.
    if (visitor.isClosed) this.#release(visitor)
  }

  #release({ pass, subscriber }: Visitor): void {
    if (subscriber === undefined) return
    pass.holder?.disconnected()
    this.#options.feed.close(subscriber)
  }

  #deny(
    visitor: Visitor,
    error: Refusal['error'],
    why: string,
    id: AuthMessage['id'],
    retryAfterMs?: number,
  ): void {
    const { access, counters } = this.#options
    counters.add(retryAfterMs === undefined ? 'access_denied' : 'access_limited')
    const { address } = visitor.pass
    access.note({ decision: 'deny', who: visitor.pass.who, address, what: 'feed', why })
    const message = TEXT[error] ?? 'refused'
    const wait = retryAfterMs === undefined ? {} : { retryAfterMs }
    this.#refuse(visitor, { error, message, ...wait }, id)
    this.#end(visitor, 'unauthorized', error)
  }

  #refuse(visitor: Visitor, refusal: Refusal, id: AuthMessage['id']): void {
    this.#options.counters.add('protocol_errors')
    visitor.socket.send(errorJson(refusal, id), false)
  }

  #end(visitor: Visitor, why: keyof typeof CLOSE_CODES, reason: string): void {
    visitor.socket.end(CLOSE_CODES[why].code, reason)
  }

  #countPending(): void {
    this.#options.counters.set('subscribers_pending', this.#pending.size)
  }
}

const openPass = { who: Pass.open.who, grant: Pass.open.grant }

const TEXT: Readonly<Record<string, string>> = {
  auth_required: 'send {"op":"auth","token":…} first, and in time',
  bad_token: 'the token is not known, has expired or was revoked',
  key_limit: 'the key has all its connections; close one',
}

function hasRoom({ holder }: Pass): boolean {
  return holder === undefined || holder.connectionCount < holder.limits.connections
}

function isOver({ holder }: Pass): boolean {
  return holder !== undefined && holder.connectionCount > holder.limits.connections
}

function fullText({ holder }: Pass): string {
  return `the key has ${holder?.limits.connections} connections; close one`
}
