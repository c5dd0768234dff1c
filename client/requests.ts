// What was asked of a connection and is not answered yet; it ends with the connection.

import type { FeedError, ServerMessage } from './messages.ts'

interface Request {
  readonly onAnswer: (answer: ServerMessage) => void
  /** The connection ended first. */
  readonly onEnd: ((error: FeedError) => void) | undefined
}

export class Requests {
  readonly #waiting = new Map<number, Request>()
  readonly #send: (message: object) => void
  #last = 0

  constructor(send: (message: object) => void) {
    this.#send = send
  }

  ask(
    message: object,
    onAnswer: (answer: ServerMessage) => void,
    onEnd?: (error: FeedError) => void,
  ): void {
    const id = ++this.#last
    this.#waiting.set(id, { onAnswer, onEnd })
    this.#send({ ...message, id })
  }

  /** Whether the message answers something. */
  answer(message: ServerMessage): boolean {
    const { op, id } = message
    const request = typeof id === 'number' ? this.#waiting.get(id) : undefined
    if (request === undefined) return false
    // An ack that begins a replay is not the last word on its request.
    const isBegin = op === 'ack' && (message.replay === true || message.from !== undefined)
    if (!isBegin) this.#waiting.delete(id as number)
    request.onAnswer(message)
    return true
  }

  end(error: FeedError): void {
    const ended = [...this.#waiting.values()]
    this.#waiting.clear()
    for (const { onEnd } of ended) onEnd?.(error)
  }
}
