// Who has a key or a token, over all its connections: what it uses, and may use. Other threads that
// serve know the same holder: what is open, and what was used, is counted over all of them.

import { RATE_BURST_SECONDS } from '../../limits.ts'
import { Allowance } from './allowance.ts'
import type { HolderLimits } from './grant.ts'
import { momentOf, type UsagePlace } from './usage-board.ts'

const CONNECTIONS = 0
const SUBSCRIPTIONS = 1
const MESSAGES = 0
const BYTES = 1

export class Holder {
  limits: HolderLimits
  messages: Allowance
  bytes: Allowance
  readonly #place: UsagePlace

  constructor(limits: HolderLimits, place: UsagePlace) {
    this.limits = limits
    this.#place = place
    this.messages = messagesOf(limits, place)
    this.bytes = bytesOf(limits, place)
  }

  get connectionCount(): number {
    return this.#place.count(CONNECTIONS)
  }

  get subscriptionCount(): number {
    return this.#place.count(SUBSCRIPTIONS)
  }

  connected(): void {
    this.#place.add(CONNECTIONS, 1)
  }

  disconnected(): void {
    this.#place.add(CONNECTIONS, -1)
  }

  subscribed(): void {
    this.#place.add(SUBSCRIPTIONS, 1)
  }

  unsubscribed(): void {
    this.#place.add(SUBSCRIPTIONS, -1)
  }

  /** Its key or token says other limits than before. What is owed comes back in the same time. */
  limit(limits: HolderLimits): void {
    const { messages_per_second: messages, bytes_per_second: bytes } = this.limits
    this.limits = limits
    if (limits.messages_per_second !== messages) this.messages = messagesOf(limits, this.#place)
    if (limits.bytes_per_second !== bytes) this.bytes = bytesOf(limits, this.#place)
  }

  /** It can be forgotten here without giving it anything back. */
  isIdle(nowMs: number): boolean {
    const isOpen = this.#place.ownCount(CONNECTIONS) > 0
    return !isOpen && this.messages.isFull(nowMs) && this.bytes.isFull(nowMs)
  }

  /** It is forgotten. */
  release(): void {
    this.#place.release()
  }
}

function messagesOf({ messages_per_second: rate }: HolderLimits, place: UsagePlace): Allowance {
  return new Allowance(rate, rate * RATE_BURST_SECONDS, momentOf(place, MESSAGES))
}

/** A second of bytes at once: what is owed beyond it counts as queued (see metered-socket.ts). */
function bytesOf({ bytes_per_second: rate }: HolderLimits, place: UsagePlace): Allowance {
  return new Allowance(rate, rate, momentOf(place, BYTES))
}
