// What a subscriber was owed, and what became of it: the last line of the ledger.
//
//   published = delivered + skipped          of each subscription, between two calls of the feed
//
// `published` is read off the stream's own sequence, and not counted beside the other two: so the
// balance says something. delivered: handed to the subscriber's socket; its bytes that the kernel
// has not taken yet are `queued_bytes`. skipped: declared as a gap, or, while it is behind, yet to
// be declared (`undeclared`).

import type { CounterName } from '../../ops/counter-catalog.ts'
import type { CounterSet } from '../../ops/counters.ts'
import type { Subscriber, Subscription } from './subscriber.ts'

export interface Account {
  published: number
  delivered: number
  skipped: number
}

export interface SubscriberAccount extends Account {
  readonly session: string
  readonly protocol: string
  readonly subscriptions: number
  readonly undeclared: number
  readonly queued_bytes: number
}

/** The accounts of a feed's subscribers. */
export class Accounts {
  readonly #counters: CounterSet<CounterName<'serve'>>
  /** Ended since the last settling: a delivery to them may still be under way. */
  readonly #ended: Subscription[] = []

  constructor(counters: CounterSet<CounterName<'serve'>>) {
    this.#counters = counters
  }

  /** The subscription is owed nothing more. */
  end(subscription: Subscription): void {
    subscription.endSeq = subscription.stream.nextSeq
    this.#ended.push(subscription)
  }

  /** Moves what ended to its subscriber's past, and looks whether it balances. */
  settle(): void {
    if (this.#ended.length === 0) return
    for (const subscription of this.#ended) {
      const account = accountOf(subscription)
      add(subscription.subscriber.past, account)
      if (!isBalanced(account)) this.#counters.add('subscriptions_unbalanced')
    }
    this.#ended.length = 0
  }

  list(subscribers: Iterable<Subscriber>, max: number): SubscriberAccount[] {
    this.settle()
    const accounts: SubscriberAccount[] = []
    for (const subscriber of subscribers) {
      if (accounts.length === max) break
      accounts.push(subscriberAccount(subscriber))
    }
    return accounts
  }
}

export function isBalanced({ published, delivered, skipped }: Account): boolean {
  return published === delivered + skipped
}

/** What a subscription has been owed up to now, or up to its end. */
function accountOf(subscription: Subscription): Account {
  const { stream, firstSeq, endSeq, imaged, delivered, skipped } = subscription
  const toSeq = endSeq === 0 ? stream.nextSeq : endSeq
  const owed = firstSeq === 0 ? 0 : toSeq - firstSeq
  return { published: owed + imaged, delivered, skipped }
}

/** All subscriptions that a subscriber has and had. */
function subscriberAccount(subscriber: Subscriber): SubscriberAccount {
  const sum: Account = { ...subscriber.past }
  let undeclared = 0
  for (const subscription of subscriber.subscriptions.values()) {
    add(sum, accountOf(subscription))
    const { behindFrom, stream } = subscription
    if (behindFrom > 0) undeclared += stream.nextSeq - behindFrom
  }
  return {
    session: subscriber.session,
    protocol: subscriber.protocol,
    subscriptions: subscriber.subscriptions.size,
    ...sum,
    undeclared,
    queued_bytes: subscriber.bufferedBytes(),
  }
}

function add(sum: Account, account: Account): void {
  sum.published += account.published
  sum.delivered += account.delivered
  sum.skipped += account.skipped
}
