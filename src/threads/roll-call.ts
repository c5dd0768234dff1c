// Main asks the threads that serve what only they know: what their subscribers were owed. Asked for
// by one of them, which knows its own; whoever does not tell in time is named as silent.

import { ROLL_CALL_MS_MAX } from '../limits.ts'
import type { SubscriberAccount } from '../serve/feed/account.ts'
import type { OtherAccounts } from '../serve/http/ledger.ts'
import type { ToWorker } from './runtime.ts'

/** A thread that serves. */
export interface Called {
  /** Of its serve agent. */
  readonly role: string
  /** False: it is not there now. */
  tell(message: ToWorker): boolean
}

interface Call {
  readonly subscribers: SubscriberAccount[]
  /** Roles that have not told yet. */
  readonly waiting: Set<string>
  readonly end: () => void
}

export class RollCall {
  readonly #calls = new Map<number, Call>()
  #idLast = 0

  /** Never rejects. A call has no more than `max` of each thread. */
  async ask(called: readonly Called[], max: number): Promise<OtherAccounts> {
    const id = ++this.#idLast
    const { promise, resolve } = Promise.withResolvers<void>()
    const call: Call = { subscribers: [], waiting: new Set(), end: resolve }
    const silent: string[] = []
    this.#calls.set(id, call)
    for (const each of called) {
      if (each.tell({ type: 'roll-call', id, max })) call.waiting.add(each.role)
      else silent.push(each.role)
    }
    const timer = setTimeout(resolve, ROLL_CALL_MS_MAX)
    // A daemon that stops does not wait for accounts.
    timer.unref()
    if (call.waiting.size === 0) resolve()
    await promise
    clearTimeout(timer)
    this.#calls.delete(id)
    return { subscribers: call.subscribers, silent: [...silent, ...call.waiting] }
  }

  /** Whoever tells after the time is passed over. */
  onTold(id: number, role: string, subscribers: readonly SubscriberAccount[]): void {
    const call = this.#calls.get(id)
    if (call === undefined || !call.waiting.delete(role)) return
    call.subscribers.push(...subscribers)
    if (call.waiting.size === 0) call.end()
  }
}
