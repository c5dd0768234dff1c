// What is wrong with a request to the admin listener, as an HTTP answer.

import type { IncomingMessage, ServerResponse } from 'node:http'

export class Refusal extends Error {
  readonly status: number
  readonly code: string
  readonly fields: object

  constructor(status: number, code: string, message: string, fields: object = {}) {
    super(message)
    this.status = status
    this.code = code
    this.fields = fields
  }
}

export function demandMethod(
  request: IncomingMessage,
  response: ServerResponse,
  ...methods: readonly string[]
): void {
  if (methods.includes(request.method ?? '')) return
  response.setHeader('allow', methods.join(', '))
  throw new Refusal(405, 'method_not_allowed', `use ${methods.join(' or ')}`)
}

/** Throws a Refusal for a parameter that is not in the list. */
export function demandKnown(parameters: URLSearchParams, known: readonly string[]): void {
  const odd = [...parameters.keys()].find((name) => !known.includes(name))
  if (odd === undefined) return
  throw new Refusal(400, 'bad_parameter', `${odd}: there is ${known.join(', ')}`)
}
