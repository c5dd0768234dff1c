// Who has a key or a token, over all its connections: what it uses, and may use.

import { RATE_BURST_SECONDS } from '../../limits.ts'
import { Allowance } from './allowance.ts'
import type { HolderLimits } from './grant.ts'

export class Holder {
  limits: HolderLimits
  messages: Allowance
  bytes: Allowance
  connectionCount = 0
  subscriptionCount = 0

  constructor(limits: HolderLimits, nowMs: number) {
    this.limits = limits
    this.messages = messagesOf(limits, nowMs)
    this.bytes = bytesOf(limits, nowMs)
  }

  /** Its key or token says other limits than before. */
  limit(limits: HolderLimits, nowMs: number): void {
    const { messages_per_second: messages, bytes_per_second: bytes } = this.limits
    this.limits = limits
    if (limits.messages_per_second !== messages) this.messages = messagesOf(limits, nowMs)
    if (limits.bytes_per_second !== bytes) this.bytes = bytesOf(limits, nowMs)
  }

  /** It can be forgotten without giving it anything back. */
  isIdle(nowMs: number): boolean {
    return this.connectionCount === 0 && this.messages.isFull(nowMs) && this.bytes.isFull(nowMs)
  }
}

function messagesOf({ messages_per_second: rate }: HolderLimits, nowMs: number): Allowance {
  return new Allowance(rate, rate * RATE_BURST_SECONDS, nowMs)
}

/** A second of bytes at once: what is owed beyond it counts as queued (see metered-socket.ts). */
function bytesOf({ bytes_per_second: rate }: HolderLimits, nowMs: number): Allowance {
  return new Allowance(rate, rate, nowMs)
}
