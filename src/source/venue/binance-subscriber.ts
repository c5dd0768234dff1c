// Says SUBSCRIBE for many streams on one Binance connection: pure, without a socket.
//
// Messages are spaced, because the venue closes connections that send more than five a second, and
// one is answered before the next goes out, because an error need not name its request. An error
// refuses a whole message: it is then said again in halves until the stream that is at fault stands
// alone; that one is refused and the others go on.

import { assert } from '../../errors.ts'
import type { Subscriber } from './session.ts'

/** Between two messages. The limit is 5/s, pongs included, and a strict 200 ms can trip it. */
const SPACING_MS = 300
/** About 1.5 KiB a message. */
const STREAMS_PER_MESSAGE = 50

export interface Refusal {
  stream: string
  reason: string
}

export class BinanceSubscriber implements Subscriber {
  /** Streams that the venue refused. */
  readonly refusals: Refusal[] = []
  readonly #queue: string[][] = []
  #pending: string[] | undefined
  #id = 0
  #lastMs = Number.NEGATIVE_INFINITY

  constructor(streams: readonly string[]) {
    for (let i = 0; i < streams.length; i += STREAMS_PER_MESSAGE) {
      this.#queue.push(streams.slice(i, i + STREAMS_PER_MESSAGE))
    }
  }

  get done(): boolean {
    return this.#queue.length === 0 && this.#pending === undefined
  }

  next(nowMs: number): string | undefined {
    if (this.#pending !== undefined || nowMs - this.#lastMs < SPACING_MS) return undefined
    this.#pending = this.#queue.shift()
    if (this.#pending === undefined) return undefined
    this.#lastMs = nowMs
    return JSON.stringify({ method: 'SUBSCRIBE', params: this.#pending, id: ++this.#id })
  }

  /** The venue's answer; `id` is undefined where an error names none. */
  reply(id: number | undefined, error: string | undefined): void {
    const streams = this.#pending
    if (streams === undefined || (id !== undefined && id !== this.#id)) return
    this.#pending = undefined
    if (error === undefined) return
    assert(streams.length > 0, 'a message has a stream')
    if (streams.length === 1) {
      this.refusals.push({ stream: streams[0] as string, reason: error })
      return
    }
    const half = streams.length >> 1
    this.#queue.unshift(streams.slice(0, half), streams.slice(half))
  }
}
