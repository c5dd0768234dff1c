// A subscriber that proves what it is told: received and declared, dense and in order, and nothing
// between two records but what was declared missing.

import type { Published } from './published.ts'
import type { FeedClient } from './simulated-web.ts'
import { check } from './violation.ts'

export interface SubscriberOptions {
  readonly published: Published
  /** '*', or one symbol. */
  readonly pattern: string
  readonly symbolOf: (instrument: number) => string
}

interface Message {
  readonly op: string
  readonly stream?: number
  readonly next_seq?: number
  readonly first_seq?: number
  readonly records?: readonly { readonly id: string }[]
  readonly from?: number
  readonly to?: number
  readonly from_seq?: number
  readonly to_seq?: number
  readonly cause?: string
  readonly streams?: Readonly<Record<string, number>>
}

const PROMISE = 'a subscriber is told exactly what it missed'

export class SubscriberModel implements FeedClient {
  isOpen = true
  /** Left in order: everything up to the end was received or declared. */
  isComplete = false
  received = 0
  declared = 0
  /** Records of the shard that overran the feed, whether ours or not. */
  overrun = 0
  readonly #options: SubscriberOptions
  #stream = 0
  /** Next sequence of the stream. */
  #next = 0
  /** Shard sequence of the record last received; -1 = none since the subscription. */
  #lastSeq = -1
  /** Declared since then. */
  #declaredSince = 0
  /** Shard sequences that were overrun, in [from, to] pairs. */
  readonly #overrun: (readonly [number, number])[] = []

  constructor(options: SubscriberOptions) {
    this.#options = options
  }

  get stream(): number {
    return this.#stream
  }

  onClose(): void {
    this.isOpen = false
  }

  onMessage(text: string): void {
    const message = JSON.parse(text) as Message
    switch (message.op) {
      case 'ack':
        this.#onAck(message)
        break
      case 'data':
        this.#onData(message)
        break
      case 'gap':
        this.#onGap(message)
        break
      case 'heartbeat':
        this.#onHeartbeat(message)
        break
    }
  }

  #onAck({ stream = 0, next_seq: next = 0 }: Message): void {
    if (this.#stream === 0) {
      this.#stream = stream
      this.#next = next
      return
    }
    check(PROMISE, next === this.#next, () => `left at ${next}, expected ${this.#next}`)
    const { published } = this.#options
    this.#checkBetween(published.ticks.length)
    this.isComplete = true
  }

  #onData({ first_seq: first = 0, records = [] }: Message): void {
    check(PROMISE, first === this.#next, () => `data from ${first}, expected ${this.#next}`)
    for (const { id } of records) {
      const seq = this.#options.published.seqs.get(Number(id))
      if (seq === undefined) check('a subscriber gets what was published', false, () => `id ${id}`)
      this.#checkBetween(seq as number)
      this.#lastSeq = seq as number
    }
    this.#next = first + records.length
    this.received += records.length
  }

  #onGap({ cause, from = 0, to = 0, from_seq: fromSeq = 0, to_seq: toSeq = 0 }: Message): void {
    if (cause === 'overrun') {
      this.#overrun.push([fromSeq, toSeq])
      this.overrun += toSeq - fromSeq + 1
      return
    }
    const isDense = from === this.#next && to >= from
    check(PROMISE, isDense, () => `a gap ${from} … ${to}, expected from ${this.#next}`)
    this.#next = to + 1
    this.#declaredSince += to - from + 1
    this.declared += to - from + 1
  }

  #onHeartbeat({ streams = {} }: Message): void {
    const next = streams[this.#stream]
    if (next === undefined) return
    check(PROMISE, next === this.#next, () => `heartbeat at ${next}, expected ${this.#next}`)
  }

  /** What was published between the last record and `seq` is what was declared since. */
  #checkBetween(seq: number): void {
    const from = this.#lastSeq
    const declared = this.#declaredSince
    this.#declaredSince = 0
    if (from === -1) return
    let missed = 0
    for (let at = from + 1; at < seq; at++) if (this.#isOurs(at)) missed++
    check(PROMISE, seq > from && missed === declared, () => {
      return `${missed} records between ${from} and ${seq} were missed, and ${declared} declared`
    })
  }

  #isOurs(seq: number): boolean {
    const { pattern, published, symbolOf } = this.#options
    const tick = published.ticks[seq]
    if (tick === undefined) return false
    if (pattern !== '*' && symbolOf(tick.instrument) !== pattern) return false
    return !this.#overrun.some(([from, to]) => seq >= from && seq <= to)
  }
}
