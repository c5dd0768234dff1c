// Who has a key or a token, over all its connections: what it uses, and may use.

import { RATE_BURST_SECONDS } from '../../limits.ts'
import { Allowance } from './allowance.ts'
import type { HolderLimits } from './grant.ts'

export class Holder {
  readonly limits: HolderLimits
  readonly messages: Allowance
  readonly bytes: Allowance
  connectionCount = 0
  subscriptionCount = 0

  constructor(limits: HolderLimits, nowMs: number) {
    const { messages_per_second: messages, bytes_per_second: bytes } = limits
    this.limits = limits
    this.messages = new Allowance(messages, messages * RATE_BURST_SECONDS, nowMs)
    // A second of bytes at once: what is owed beyond it counts as queued (see metered-socket.ts).
    this.bytes = new Allowance(bytes, bytes, nowMs)
  }

  /** It can be forgotten without giving it anything back. */
  isIdle(nowMs: number): boolean {
    return this.connectionCount === 0 && this.messages.isFull(nowMs) && this.bytes.isFull(nowMs)
  }
}
