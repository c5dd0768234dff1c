// Answers that pages of other origins may read: those of reads, for origins that the configuration
// names (CORS). Whether such a page may ask at all is decided elsewhere (origin.ts); without these
// headers its browser keeps the answer from it.
//
// Nothing is allowed but GET and HEAD with an Authorization header: a push from a page that is not
// ours fails at the browser's question before it (OPTIONS). There are no cookies to be allowed.

import type { HttpAnswer, HttpReply, HttpRequest } from '../server.ts'

const METHODS = 'GET, HEAD'
const READS: ReadonlySet<string> = new Set(METHODS.split(', '))
/** How long a browser remembers the answer to its question, seconds. */
const PREFLIGHT_S = '600'

/**
 * The reply to use in the place of the given one; undefined = the request was the browser's
 * question, and is answered.
 */
export function crossOrigin(
  origins: readonly string[],
  { method, visit }: HttpRequest,
  reply: HttpReply,
): HttpReply | undefined {
  const origin = visit?.origin ?? ''
  const isNamed = origins.includes(origin)
  if (origin === '' || !(isNamed || origins.includes('*'))) return reply
  const headers = { 'access-control-allow-origin': isNamed ? origin : '*', vary: 'origin' }
  if (method === 'OPTIONS') {
    reply.send({ status: 204, contentType: 'text/plain', body: '', headers: preflight(headers) })
    return undefined
  }
  if (!READS.has(method)) return reply
  return new ReadableReply(reply, { ...headers, 'access-control-expose-headers': 'retry-after' })
}

function preflight(headers: Readonly<Record<string, string>>): Record<string, string> {
  return {
    ...headers,
    'access-control-allow-methods': METHODS,
    'access-control-allow-headers': 'authorization',
    'access-control-max-age': PREFLIGHT_S,
  }
}

/** Adds the headers to what is answered, refusals too: the page is to know why. */
class ReadableReply implements HttpReply {
  readonly #reply: HttpReply
  readonly #headers: Readonly<Record<string, string>>

  constructor(reply: HttpReply, headers: Readonly<Record<string, string>>) {
    this.#reply = reply
    this.#headers = headers
  }

  get done(): boolean {
    return this.#reply.done
  }

  hold(): void {
    this.#reply.hold?.()
  }

  readBody(bytesMax: number, onBody: (body: Uint8Array | undefined) => void): void {
    this.#reply.readBody(bytesMax, onBody)
  }

  onAbort(handler: () => void): void {
    this.#reply.onAbort(handler)
  }

  send(answer: HttpAnswer): void {
    this.#reply.send({ ...answer, headers: { ...answer.headers, ...this.#headers } })
  }
}
