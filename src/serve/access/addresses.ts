// Clients by their network address: how often they come, how often their tokens are wrong.
//
// An IPv6 client has a /64 at its disposal, so that is what counts as one address. Loopback is not
// limited: it is this machine, or a proxy on it that stands for everybody.

import {
  ADDRESSES_MAX,
  RATE_BURST_SECONDS,
  TOKEN_FAILURES_BURST,
  TOKEN_FAILURES_PER_SECOND,
} from '../../limits.ts'
import { Allowance } from './allowance.ts'

export interface AddressUse {
  readonly connects: Allowance
  readonly failures: Allowance
  subscriberCount: number
}

const MAPPED = /^(?:0{4}:){5}ffff:([0-9a-f]{2})([0-9a-f]{2}):([0-9a-f]{2})([0-9a-f]{2})$/
const LOOPBACK_V6 = '0000:0000:0000:0000:0000:0000:0000:0001'
const NETWORK_GROUPS = 4

/** uWebSockets writes IPv6 in full, and IPv4 on a dual socket as such. */
export function readableAddress(text: string): string {
  const bytes = MAPPED.exec(text)?.slice(1)
  return bytes === undefined ? text : bytes.map((hex) => Number.parseInt(hex, 16)).join('.')
}

export function isLoopback(address: string): boolean {
  return address.startsWith('127.') || address === LOOPBACK_V6
}

export class Addresses {
  readonly #uses = new Map<string, AddressUse>()
  readonly #connectsPerSecond: number

  constructor(connectsPerSecond: number) {
    this.#connectsPerSecond = connectsPerSecond
  }

  /** Of an address as `readableAddress` gives it. */
  use(address: string, nowMs: number): AddressUse {
    const isV6 = address.includes(':')
    const key = isV6 ? address.split(':', NETWORK_GROUPS).join(':') : address
    const known = this.#uses.get(key)
    if (known !== undefined) return known
    const [oldest] = this.#uses.keys()
    if (this.#uses.size >= ADDRESSES_MAX && oldest !== undefined) this.#uses.delete(oldest)
    const rate = this.#connectsPerSecond
    const use = {
      connects: new Allowance(rate, rate * RATE_BURST_SECONDS, nowMs),
      failures: new Allowance(TOKEN_FAILURES_PER_SECOND, TOKEN_FAILURES_BURST, nowMs),
      subscriberCount: 0,
    }
    this.#uses.set(key, use)
    return use
  }
}
