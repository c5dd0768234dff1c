// Refusals of access as HTTP answers. What is wrong with a token is for the audit log: who guesses
// is not helped.

import type { FeedRefusal, HttpReply } from '../server.ts'

export function badToken(): FeedRefusal {
  const message = 'the token is not known, has expired or was revoked'
  return { status: 401, code: 'bad_token', message }
}

export function tokenRequired(): FeedRefusal {
  const message = 'send a key or token: Authorization: Bearer …'
  return { status: 401, code: 'token_required', message }
}

export function forbidden(message: string): FeedRefusal {
  return { status: 403, code: 'forbidden', message }
}

export function tooMuch(message: string, retryAfterMs: number): FeedRefusal {
  return { status: 429, code: 'rate_limit', message, retryAfterMs }
}

export function sendRefusal(reply: Pick<HttpReply, 'send'>, refusal: FeedRefusal): void {
  const { status, code, message, retryAfterMs } = refusal
  const headers: Record<string, string> = {}
  if (status === 401) headers['www-authenticate'] = 'Bearer realm="tickd"'
  if (retryAfterMs !== undefined) headers['retry-after'] = String(Math.ceil(retryAfterMs / 1000))
  const wait = retryAfterMs === undefined ? {} : { retry_after_ms: retryAfterMs }
  const body = JSON.stringify({ error: { code, message, ...wait } })
  reply.send({ status, contentType: 'application/json', body, headers })
}
