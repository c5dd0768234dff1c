// Clients by their network address: how often they come, how often their tokens are wrong.
//
// An IPv6 client has a /64 at its disposal, so that is what counts as one address. Loopback is not
// limited: it is this machine, or a proxy on it that stands for everybody.

import { assert } from '../../errors.ts'
import {
  ADDRESSES_MAX,
  RATE_BURST_SECONDS,
  TOKEN_FAILURES_BURST,
  TOKEN_FAILURES_PER_SECOND,
} from '../../limits.ts'
import { Allowance } from './allowance.ts'
import { momentOf, type UsageBoard, type UsagePlace } from './usage-board.ts'

const FEED_CONNECTIONS = 0
const CONNECTS = 0
const FAILURES = 1

/** What an address uses, over all threads that serve. */
export class AddressUse {
  readonly connects: Allowance
  readonly failures: Allowance
  readonly #place: UsagePlace

  constructor(connectsPerSecond: number, place: UsagePlace) {
    this.#place = place
    const burst = connectsPerSecond * RATE_BURST_SECONDS
    this.connects = new Allowance(connectsPerSecond, burst, momentOf(place, CONNECTS))
    this.failures = new Allowance(
      TOKEN_FAILURES_PER_SECOND,
      TOKEN_FAILURES_BURST,
      momentOf(place, FAILURES),
    )
  }

  get subscriberCount(): number {
    return this.#place.count(FEED_CONNECTIONS)
  }

  subscriberCame(): void {
    this.#place.add(FEED_CONNECTIONS, 1)
  }

  /** One that was forgotten with its connections, and is known anew, has none here. */
  subscriberWent(): void {
    if (this.#place.ownCount(FEED_CONNECTIONS) > 0) this.#place.add(FEED_CONNECTIONS, -1)
  }

  /** It is forgotten. */
  release(): void {
    this.#place.release()
  }
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
  readonly #board: UsageBoard
  /** Of those who find no place of their own, all together. */
  readonly #crowd: AddressUse

  constructor(connectsPerSecond: number, board: UsageBoard) {
    this.#connectsPerSecond = connectsPerSecond
    this.#board = board
    const place = board.place('address:')
    assert(place !== undefined, 'a board has room for its first name')
    this.#crowd = new AddressUse(connectsPerSecond, place)
  }

  /** Of an address as `readableAddress` gives it. */
  use(address: string): AddressUse {
    const isV6 = address.includes(':')
    const key = isV6 ? address.split(':', NETWORK_GROUPS).join(':') : address
    const known = this.#uses.get(key)
    if (known !== undefined) return known
    const [oldest] = this.#uses.entries()
    if (this.#uses.size >= ADDRESSES_MAX && oldest !== undefined) {
      this.#uses.delete(oldest[0])
      oldest[1].release()
    }
    const place = this.#board.place(`address:${key}`)
    if (place === undefined) return this.#crowd
    const use = new AddressUse(this.#connectsPerSecond, place)
    this.#uses.set(key, use)
    return use
  }
}
