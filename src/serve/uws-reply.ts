// An HTTP request and its answer over uWebSockets.js. `req` lives for the handler only, `res` until
// abort or end: everything is copied out of the first, and a flag guards the second.

import type { HttpRequest as UwsRequest, HttpResponse as UwsResponse } from 'uWebSockets.js'
import type { HttpAnswer, HttpReply, HttpRequest, Visit } from './server.ts'
import { STATUS_TEXT } from './server.ts'

const decoder = new TextDecoder()

export function readRequest(res: UwsResponse, req: UwsRequest): HttpRequest {
  const length = req.getHeader('content-length')
  return {
    visit: readVisit(res, req),
    method: req.getMethod().toUpperCase(),
    path: req.getUrl(),
    query: new URLSearchParams(req.getQuery() ?? ''),
    contentType: (req.getHeader('content-type').split(';')[0] as string).trim().toLowerCase(),
    contentLengthBytes: length === '' ? -1 : Number(length),
    idempotencyKey: req.getHeader('idempotency-key').trim(),
  }
}

export function readVisit(res: UwsResponse, req: UwsRequest): Visit {
  return {
    address: addressOf(res),
    authorization: req.getHeader('authorization').trim(),
    origin: req.getHeader('origin'),
    host: req.getHeader('host'),
    queryToken: new URLSearchParams(req.getQuery() ?? '').get('token') ?? '',
  }
}

/** '' once the socket is gone. */
export function addressOf(res: UwsResponse): string {
  return decoder.decode(res.getRemoteAddressAsText())
}

export class UwsReply implements HttpReply {
  done = false
  readonly #res: UwsResponse
  readonly #isHead: boolean
  readonly #onAnswer: (status: number) => void
  #onAbort: (() => void) | undefined
  /** Chunks that came while the body was held; undefined when it is not. */
  #held: { chunk: Uint8Array; isLast: boolean }[] | undefined
  #onChunk: ((chunk: Uint8Array, isLast: boolean) => void) | undefined

  constructor(res: UwsResponse, method: string, onAnswer: (status: number) => void) {
    this.#res = res
    this.#onAnswer = onAnswer
    this.#isHead = method.toLowerCase() === 'head'
    res.onAborted(() => {
      if (this.done) return
      this.done = true
      this.#onAbort?.()
    })
  }

  onAbort(handler: () => void): void {
    this.#onAbort = handler
  }

  /** No more is read from the socket than what has been: half a megabyte at most. */
  hold(): void {
    const held: { chunk: Uint8Array; isLast: boolean }[] = []
    this.#held = held
    this.#receive((chunk, isLast) => held.push({ chunk, isLast }))
    this.#res.pause()
  }

  readBody(bytesMax: number, onBody: (body: Uint8Array | undefined) => void): void {
    const chunks: Uint8Array[] = []
    let size = 0
    const take = (chunk: Uint8Array, isLast: boolean) => {
      if (this.done || size > bytesMax) return
      size += chunk.byteLength
      if (size > bytesMax) {
        onBody(undefined)
        return
      }
      if (chunk.byteLength > 0) chunks.push(chunk)
      if (isLast) onBody(chunks.length === 1 ? (chunks[0] as Uint8Array) : Buffer.concat(chunks))
    }
    const held = this.#held
    this.#held = undefined
    if (held === undefined) {
      this.#receive(take)
      return
    }
    this.#onChunk = take
    for (const { chunk, isLast } of held) take(chunk, isLast)
    if (!this.done) this.#res.resume()
  }

  send(answer: HttpAnswer): void {
    if (this.done) return
    this.done = true
    this.#onAnswer(answer.status)
    const res = this.#res
    // A refused body may still be on its way: the connection cannot be used again.
    const mustClose = answer.status === 413 || this.#held !== undefined
    if (this.#held !== undefined) res.resume()
    res.cork(() => {
      res.writeStatus(`${answer.status} ${STATUS_TEXT[answer.status] ?? 'Unknown'}`)
      res.writeHeader('content-type', answer.contentType)
      res.writeHeader('cache-control', 'no-store')
      for (const [name, value] of Object.entries(answer.headers ?? {})) res.writeHeader(name, value)
      if (this.#isHead) res.endWithoutBody(Buffer.byteLength(answer.body), mustClose)
      else res.end(answer.body as string, mustClose)
    })
  }

  #receive(onChunk: (chunk: Uint8Array, isLast: boolean) => void): void {
    this.#onChunk = onChunk
    this.#res.onData((chunk, isLast) => {
      // The chunk is only valid during the call.
      this.#onChunk?.(new Uint8Array(chunk.slice(0)), isLast)
    })
  }
}
