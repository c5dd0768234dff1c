// GET /v1/ledger and /v1/incidents: the main thread's answers, with what serve itself knows.

import { LEDGER_SUBSCRIBERS_MAX } from '../../limits.ts'
import type { Answer, Ask, Question } from '../../ops/questions.ts'
import { formatTime, parseTime, type WallTime } from '../../tick/time.ts'
import { isBalanced, type SubscriberAccount } from '../feed/account.ts'
import type { HttpReply, HttpRequest } from '../server.ts'
import { JSON_TYPE, sendError } from './answers.ts'
import { BadParameter, Parameters } from './parameters.ts'

export interface LedgerRoutesOptions {
  readonly ask: Ask
  readonly sources: readonly string[]
  /** Accounts of up to `max` subscribers. */
  readonly accounts: (max: number) => SubscriberAccount[]
  /** Of those of the other threads that serve. Never rejects. */
  readonly otherAccounts: (max: number) => Promise<OtherAccounts>
}

export interface OtherAccounts {
  readonly subscribers: readonly SubscriberAccount[]
  /** Roles of those that have not told of theirs in time, or are just being made anew. */
  readonly silent: readonly string[]
}

export class LedgerRoutes {
  readonly #options: LedgerRoutesOptions

  constructor(options: LedgerRoutesOptions) {
    this.#options = options
  }

  ledger(request: HttpRequest, reply: HttpReply): void {
    this.#answer(reply, () => {
      const parameters = new Parameters(request.query, ['since', 'source'])
      const since = canonicalTime(parameters.time('since'))
      const source = parameters.text('source')
      const { sources } = this.#options
      if (source !== undefined && !sources.includes(source)) {
        throw new BadParameter(`source: one of ${sources.join(', ')}`)
      }
      return { about: 'ledger', since, source }
    })
  }

  incidents(request: HttpRequest, reply: HttpReply): void {
    this.#answer(reply, () => {
      const parameters = new Parameters(request.query, ['after'])
      return { about: 'incidents', after: parameters.integer('after', 0, 1e15, 0) }
    })
  }

  #answer(reply: HttpReply, question: () => Question): void {
    try {
      const asked = question()
      // Never rejects; who asks in vain is answered with 503.
      void this.#options.ask(asked).then(async ({ status, body }: Answer) => {
        const isLedger = asked.about === 'ledger' && status === 200
        const text = isLedger ? await this.#extend(body) : body
        reply.send({ status, contentType: JSON_TYPE, body: text })
      })
    } catch (thrown) {
      if (!(thrown instanceof BadParameter)) throw thrown
      sendError(reply, 400, 'bad_parameter', thrown.message)
    }
  }

  /** Main's object, as text, with the subscribers as its last members. */
  async #extend(body: string): Promise<string> {
    const { accounts, otherAccounts } = this.#options
    const others = await otherAccounts(LEDGER_SUBSCRIBERS_MAX)
    const all = [...accounts(LEDGER_SUBSCRIBERS_MAX), ...others.subscribers]
    const subscribers = all.slice(0, LEDGER_SUBSCRIBERS_MAX)
    const silent = others.silent.length > 0 ? { subscribers_unknown_of: others.silent } : {}
    const own = { subscribers, subscribers_ok: subscribers.every(isBalanced), ...silent }
    return `${body.slice(0, -1)},${JSON.stringify(own).slice(1)}`
  }
}

/** With nine decimals, as the ledger writes times: so that texts compare as times do. */
function canonicalTime(text: string | undefined): string | undefined {
  if (text === undefined) return undefined
  const bytes = Buffer.from(text)
  const time: WallTime = { sec: 0, nsec: 0 }
  return parseTime(bytes, 0, bytes.length, time) ? formatTime(time.sec, time.nsec) : undefined
}
