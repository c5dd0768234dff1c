// The forms of an HTTP answer. Every failure is {"error":{"code","message"}}.

import type { HttpReply } from '../server.ts'

export const JSON_TYPE = 'application/json'

export function sendJson(reply: HttpReply, value: unknown, status = 200): void {
  reply.send({ status, contentType: JSON_TYPE, body: JSON.stringify(value) })
}

export function sendError(
  reply: HttpReply,
  status: number,
  code: string,
  message: string,
  headers?: Readonly<Record<string, string>>,
): void {
  const body = JSON.stringify({ error: { code, message } })
  reply.send({
    status,
    contentType: JSON_TYPE,
    body,
    ...(headers === undefined ? {} : { headers }),
  })
}

/** 503 that asks the client to come again. */
export function sendBusy(reply: HttpReply, code: string, message: string): void {
  sendError(reply, 503, code, message, { 'retry-after': '1' })
}
