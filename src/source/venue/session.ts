// Keeps one set of subscriptions connected: a pure state machine, without sockets or timers.
//
//   (none) ─connect→ connecting ─opened→ subscribing ─all answered→ live ─→ retiring ─→ (none)
//                        └── refused, timed out, silent, closed: wait (back-off), next endpoint ──┘
//
// Events note facts; `tick` decides, and returns what to do. There are at most three connections:
// `next` is being opened, `current` is live, `retiring` is the one that was replaced. A rotation
// has no hole: the old connection is read until the new one has been live for `overlapMs`, and the
// repeats are dropped downstream by the venue's own ids.
//
// Invariants: `current` is live; `next` is connecting or subscribing; while stopped, there is none.

import { assert } from '../../errors.ts'

/** What is to be said on a new connection, and what was answered. */
export interface Subscriber {
  /** The text to send now; undefined: nothing now. */
  next(nowMs: number): string | undefined
  /** Everything was said and answered. */
  readonly done: boolean
}

export type CloseReason = 'connect_timeout' | 'unanswered' | 'silent' | 'rotated' | 'stopped'

export type SessionAction =
  | { type: 'connect'; connection: number; url: string }
  | { type: 'send'; connection: number; text: string }
  | { type: 'close'; connection: number; reason: CloseReason }
  /** All subscriptions are answered. `rotated`: it replaces a connection that still lives. */
  | { type: 'live'; connection: number; rotated: boolean }
  /** The next attempt is so far away. */
  | { type: 'wait'; waitMs: number; attempt: number }

export interface SessionOptions<S extends Subscriber> {
  /** URLs, tried in turn. */
  endpoints: readonly string[]
  /** A connection id that was never given before: sessions of one source share them. */
  newId: () => number
  subscribe: (connection: number) => S
  backoffMinMs: number
  backoffMaxMs: number
  /** A connection on which nothing came for so long is dead. */
  silenceMs: number
  /** A connection is replaced at this age. */
  rotateMs: number
  /** In [0, 1). */
  random: () => number
}

interface Connection<S> {
  readonly id: number
  readonly subscriber: S
  state: 'connecting' | 'subscribing' | 'live' | 'retiring'
  /** When the state was entered; while subscribing, when something was last said or answered. */
  sinceMs: number
  /** Last frame of any kind, pings included. */
  frameMs: number
  /** When it is to be replaced. */
  rotateAtMs: number
}

const CONNECT_TIMEOUT_MS = 10_000
const ANSWER_TIMEOUT_MS = 10_000
/** How long both connections of a rotation are read: servers of one venue are seconds apart. */
const OVERLAP_MS_MAX = 5000
const NOTHING: readonly SessionAction[] = []

export class Session<S extends Subscriber> {
  readonly #options: SessionOptions<S>
  readonly #overlapMs: number
  #current: Connection<S> | undefined
  #next: Connection<S> | undefined
  #retiring: Connection<S> | undefined
  #endpoint = 0
  /** Failures since a connection was last good for a while. */
  #attempt = 0
  #waitUntilMs = 0
  #stopped = false
  #actions: SessionAction[] = []

  constructor(options: SessionOptions<S>) {
    assert(options.endpoints.length > 0, 'a session has an endpoint')
    this.#options = options
    this.#overlapMs = Math.min(OVERLAP_MS_MAX, options.rotateMs / 4)
  }

  get isLive(): boolean {
    return this.#current !== undefined
  }

  /** Connections that are open or being opened. */
  get connectionCount(): number {
    const slots = [this.#retiring, this.#current, this.#next]
    return slots.filter((connection) => connection !== undefined).length
  }

  subscriberOf(connection: number): S | undefined {
    return this.#find(connection)?.subscriber
  }

  opened(connection: number, nowMs: number): void {
    const found = this.#find(connection)
    if (found === undefined) return
    assert(found.state === 'connecting', 'a connection opens once')
    found.state = 'subscribing'
    found.sinceMs = nowMs
    found.frameMs = nowMs
    found.rotateAtMs = nowMs + this.#options.rotateMs
  }

  /** Anything came on the connection: data, a reply, a ping. */
  frame(connection: number, nowMs: number): void {
    const found = this.#find(connection)
    if (found !== undefined) found.frameMs = nowMs
  }

  /** A reply was given to its subscriber. */
  answered(connection: number, nowMs: number): void {
    const found = this.#find(connection)
    if (found?.state === 'subscribing') found.sinceMs = nowMs
  }

  /** The venue says that it will close the connection: it is replaced at once. */
  shutdownNotice(connection: number, nowMs: number): void {
    const found = this.#find(connection)
    if (found !== undefined) found.rotateAtMs = nowMs
  }

  /** The connection is gone, or never came to be. */
  closed(connection: number, nowMs: number): void {
    const found = this.#find(connection)
    if (found !== undefined) this.#lose(found, nowMs)
  }

  /** No attempt before `untilMs`: the venue said so, to this address. */
  pause(untilMs: number): void {
    this.#waitUntilMs = Math.max(this.#waitUntilMs, untilMs)
  }

  stop(): void {
    this.#stopped = true
  }

  /** What to do now. Called after events and at least every few milliseconds. */
  tick(nowMs: number): readonly SessionAction[] {
    if (this.#stopped) this.#closeAll()
    else this.#decide(nowMs)
    if (this.#actions.length === 0) return NOTHING
    const actions = this.#actions
    this.#actions = []
    return actions
  }

  #closeAll(): void {
    if (this.#retiring !== undefined) this.#close(this.#retiring, 'stopped')
    if (this.#current !== undefined) this.#close(this.#current, 'stopped')
    if (this.#next !== undefined) this.#close(this.#next, 'stopped')
  }

  #decide(nowMs: number): void {
    if (this.#retiring !== undefined) this.#check(this.#retiring, nowMs)
    if (this.#current !== undefined) this.#check(this.#current, nowMs)
    if (this.#next !== undefined) this.#check(this.#next, nowMs)
    const current = this.#current
    if (current !== undefined && nowMs - current.sinceMs >= this.#options.backoffMaxMs) {
      this.#attempt = 0
    }
    const isDue = current === undefined || nowMs >= current.rotateAtMs
    if (isDue && this.#next === undefined && nowMs >= this.#waitUntilMs) this.#connect(nowMs)
  }

  #check(connection: Connection<S>, nowMs: number): void {
    const idleMs = nowMs - connection.sinceMs
    if (connection.state === 'connecting') {
      if (idleMs >= CONNECT_TIMEOUT_MS) this.#giveUp(connection, 'connect_timeout', nowMs)
      return
    }
    if (nowMs - connection.frameMs >= this.#options.silenceMs) {
      this.#giveUp(connection, 'silent', nowMs)
    } else if (connection.state === 'subscribing') {
      this.#subscribe(connection, nowMs, idleMs)
    } else if (connection.state === 'retiring' && idleMs >= this.#overlapMs) {
      this.#close(connection, 'rotated')
    }
  }

  #subscribe(connection: Connection<S>, nowMs: number, idleMs: number): void {
    const { subscriber } = connection
    const text = subscriber.next(nowMs)
    if (text !== undefined) {
      connection.sinceMs = nowMs
      this.#actions.push({ type: 'send', connection: connection.id, text })
    } else if (subscriber.done) {
      this.#goLive(connection, nowMs)
    } else if (idleMs >= ANSWER_TIMEOUT_MS) {
      this.#giveUp(connection, 'unanswered', nowMs)
    }
  }

  #goLive(connection: Connection<S>, nowMs: number): void {
    assert(connection === this.#next, 'only the next connection goes live')
    const old = this.#current
    if (old !== undefined) {
      if (this.#retiring !== undefined) this.#close(this.#retiring, 'rotated')
      old.state = 'retiring'
      old.sinceMs = nowMs
      this.#retiring = old
    }
    connection.state = 'live'
    connection.sinceMs = nowMs
    this.#current = connection
    this.#next = undefined
    this.#actions.push({
      type: 'live',
      connection: connection.id,
      rotated: old !== undefined,
    })
  }

  #connect(nowMs: number): void {
    const id = this.#options.newId()
    this.#next = {
      id,
      subscriber: this.#options.subscribe(id),
      state: 'connecting',
      sinceMs: nowMs,
      frameMs: nowMs,
      rotateAtMs: Number.POSITIVE_INFINITY,
    }
    const { endpoints } = this.#options
    const url = endpoints[this.#endpoint % endpoints.length] as string
    this.#actions.push({ type: 'connect', connection: id, url })
  }

  #giveUp(connection: Connection<S>, reason: CloseReason, nowMs: number): void {
    this.#close(connection, reason)
    if (connection.state !== 'retiring') this.#backOff(nowMs)
  }

  #close(connection: Connection<S>, reason: CloseReason): void {
    this.#actions.push({ type: 'close', connection: connection.id, reason })
    this.#forget(connection)
  }

  #lose(connection: Connection<S>, nowMs: number): void {
    this.#forget(connection)
    if (connection.state !== 'retiring' && !this.#stopped) this.#backOff(nowMs)
  }

  #forget(connection: Connection<S>): void {
    if (this.#current === connection) this.#current = undefined
    if (this.#next === connection) this.#next = undefined
    if (this.#retiring === connection) this.#retiring = undefined
  }

  /** Full jitter: anywhere between nothing and a ceiling that doubles with each failure. */
  #backOff(nowMs: number): void {
    const { backoffMinMs, backoffMaxMs, random } = this.#options
    const ceilingMs = Math.min(backoffMaxMs, backoffMinMs * 2 ** Math.min(this.#attempt, 30))
    this.#attempt++
    this.#endpoint++
    this.#waitUntilMs = Math.max(this.#waitUntilMs, nowMs + random() * ceilingMs)
    const waitMs = this.#waitUntilMs - nowMs
    this.#actions.push({ type: 'wait', waitMs, attempt: this.#attempt })
  }

  #find(id: number): Connection<S> | undefined {
    if (this.#current?.id === id) return this.#current
    if (this.#next?.id === id) return this.#next
    return this.#retiring?.id === id ? this.#retiring : undefined
  }
}
