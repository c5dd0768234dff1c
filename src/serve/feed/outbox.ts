// hot path
// The parcels that wait for a subscriber until the end of a call of the feed, in order.
//
// An array whose places are used again: to set the length of one costs more than what is in it.
// Invariant: the first `count` places are taken, the others are empty.

import type { Parcel } from './parcel.ts'
import type { Subscription } from './subscriber.ts'

export class Outbox {
  count = 0
  readonly #subscriptions: (Subscription | undefined)[] = []
  readonly #parcels: (Parcel | undefined)[] = []

  push(subscription: Subscription, parcel: Parcel): void {
    this.#subscriptions[this.count] = subscription
    this.#parcels[this.count] = parcel
    this.count++
  }

  subscription(index: number): Subscription {
    return this.#subscriptions[index] as Subscription
  }

  parcel(index: number): Parcel {
    return this.#parcels[index] as Parcel
  }

  clear(): void {
    for (let i = 0; i < this.count; i++) {
      this.#subscriptions[i] = undefined
      this.#parcels[i] = undefined
    }
    this.count = 0
  }
}
