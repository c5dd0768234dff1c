// The door of HTTP: the same rules for every path, by what it needs.
//
// A path under /v1/ that is not in the table needs `operate`: a route that somebody adds is closed
// until it is thought of. What is not under /v1/ is open: probes, the page and its files.

import type { Clock } from '../../clock.ts'
import type { CounterName } from '../../ops/counter-catalog.ts'
import type { CounterSet } from '../../ops/counters.ts'
import type { FeedRefusal, HttpAnswer, HttpHandler, HttpReply, HttpRequest } from '../server.ts'
import type { Access } from './access.ts'
import { readableAddress } from './addresses.ts'
import { crossOrigin } from './cross-origin.ts'
import { Pass } from './pass.ts'
import { forbidden, sendRefusal, tokenRequired, tooMuch } from './refusal.ts'

/** open: nothing. read: a pass, whose channels must have one of these, where there are any. */
type Need = 'open' | 'operate' | 'push' | { readonly read: readonly string[] }

const NEEDS: Readonly<Record<string, Need>> = {
  '/v1/latest': { read: ['latest'] },
  '/v1/trades': { read: ['trades'] },
  '/v1/quotes': { read: ['quotes'] },
  '/v1/instruments': { read: [] },
  '/v1/ticks': 'push',
}

export interface HttpGateOptions {
  readonly access: Access
  readonly clock: Clock
  readonly counters: CounterSet<CounterName<'serve'>>
  readonly next: HttpHandler
}

export class HttpGate {
  readonly #options: HttpGateOptions

  constructor(options: HttpGateOptions) {
    this.#options = options
  }

  handle(request: HttpRequest, own: HttpReply): void {
    const { access, next } = this.#options
    const reply = crossOrigin(access.settings.origins, request, own)
    if (reply === undefined) return
    const { visit } = request
    const need = this.#need(request.path)
    if (visit === undefined || need === 'open') {
      next(request, reply)
      return
    }
    const wrong = access.originRefusal(visit)
    if (wrong !== undefined) {
      this.#refuse(request, reply, wrong, 'unknown', `origin ${visit.origin}`)
      return
    }
    if (!access.isDemanded) {
      next(request, reply)
      return
    }
    const token = access.tokenOf(visit)
    if (access.settings.token_in_query) request.query.delete('token')
    if (token === '') {
      this.#refuse(request, reply, tokenRequired(), 'unknown', 'no token')
      return
    }
    let isAnswered = false
    access.authenticate(token, readableAddress(visit.address), (verdict, why) => {
      isAnswered = true
      if (reply.done) return
      if (verdict instanceof Pass) this.#letIn(request, reply, verdict, need)
      else this.#refuse(request, reply, verdict, 'unknown', why)
    })
    if (!isAnswered) reply.hold?.()
  }

  #need(path: string): Need {
    if (path === '/metrics') return this.#options.access.settings.metrics_open ? 'open' : 'operate'
    if (!path.startsWith('/v1/')) return 'open'
    return Object.hasOwn(NEEDS, path) ? (NEEDS[path] as Need) : 'operate'
  }

  #letIn(request: HttpRequest, reply: HttpReply, pass: Pass, need: Need): void {
    const { access, clock, next } = this.#options
    const { holder, who, address } = pass
    const lacking = whatIsLacking(pass, need)
    if (lacking !== '') {
      this.#refuse(request, reply, forbidden(`the key has no right to ${lacking}`), who, lacking)
      return
    }
    const nowMs = clock.monoMs()
    const waitMs = holder === undefined ? 0 : holder.messages.take(1, nowMs)
    const owedMs = holder === undefined ? 0 : holder.bytes.waitMs(nowMs)
    if (waitMs > 0 || owedMs > 0) {
      const why = waitMs > 0 ? 'requests' : 'bytes'
      const refusal = tooMuch(`the key has used up its ${why}`, Math.max(waitMs, owedMs))
      this.#refuse(request, reply, refusal, who, `rate of ${why}`)
      return
    }
    holder?.bytes.charge(Math.max(0, request.contentLengthBytes), nowMs)
    access.note({ decision: 'allow', who, address, what: whatOf(request), why: '' })
    request.pass = pass
    next(request, new MeteredReply(reply, (bytes) => holder?.bytes.charge(bytes, clock.monoMs())))
  }

  #refuse(
    request: HttpRequest,
    reply: HttpReply,
    refusal: FeedRefusal,
    who: string,
    why: string,
  ): void {
    const { access, counters } = this.#options
    counters.add(refusal.status === 429 ? 'access_limited' : 'access_denied')
    const address = readableAddress(request.visit?.address ?? '')
    access.note({ decision: 'deny', who, address, what: whatOf(request), why })
    sendRefusal(reply, refusal)
  }
}

/** Charges an answer to who is given it. */
class MeteredReply implements HttpReply {
  readonly #reply: HttpReply
  readonly #charge: (bytes: number) => void

  constructor(reply: HttpReply, charge: (bytes: number) => void) {
    this.#reply = reply
    this.#charge = charge
  }

  get done(): boolean {
    return this.#reply.done
  }

  readBody(bytesMax: number, onBody: (body: Uint8Array | undefined) => void): void {
    this.#reply.readBody(bytesMax, onBody)
  }

  onAbort(handler: () => void): void {
    this.#reply.onAbort(handler)
  }

  send(answer: HttpAnswer): void {
    if (this.done) return
    this.#charge(answer.body.length)
    this.#reply.send(answer)
  }
}

function whatIsLacking(pass: Pass, need: Need): string {
  if (need === 'open') return ''
  if (need === 'push') return pass.grant.push ? '' : 'push'
  if (need === 'operate') return pass.grant.operate ? '' : 'operate'
  const { read } = need
  return read.length === 0 || read.some((channel) => pass.mayRead(channel)) ? '' : read.join(', ')
}

/** The path is the client's own text: only ours are repeated. */
function whatOf({ method, path }: HttpRequest): string {
  return Object.hasOwn(NEEDS, path) ? `${method} ${path}` : `${method} /v1/…`
}
