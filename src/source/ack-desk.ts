// The acknowledged connections of one push source: their tokens, and receipts to whom they belong.
//
// A token names a frame on the ring until its receipt has come. Tokens begin at random, so that a
// receipt for an earlier life of this thread finds nobody.

import { randomInt } from 'node:crypto'
import type { Socket } from 'node:net'
import type { Clock } from '../clock.ts'
import { TCP_ACK_BUFFER_BYTES, TCP_SOURCE_BATCHES_MAX } from '../limits.ts'
import { BATCH_PREFIX_BYTES } from '../ring/batch-mark.ts'
import type { Receipt } from '../ring/feedback.ts'
import { FRAME_FORMAT } from '../ring/frame-format.ts'
import { FRAME_FLAG } from '../ring/frame-ring.ts'
import { AckSession } from './ack-session.ts'
import type { SourceCapture } from './raw-capture.ts'
import type { FrameSink } from './source.ts'

/** Where a shard's journal is. */
export interface JournalPosition {
  readonly shard: number
  readonly epoch: number
  /** Next sequence after the durable ones. */
  readonly durable: () => number
}

export interface AckDeskOptions {
  /** Name of the source. */
  readonly source: string
  readonly format: 'ndjson' | 'packed'
  readonly sink: FrameSink
  readonly capture: SourceCapture | undefined
  readonly journal: JournalPosition
  readonly clock: Clock
}

export class AckDesk {
  readonly #options: AckDeskOptions
  /** Sessions that wait for receipts, by token. */
  readonly #expected = new Map<number, AckSession>()
  #token = randomInt(2 ** 32)

  constructor(options: AckDeskOptions) {
    this.#options = options
  }

  /** A session for the connection `id`. */
  open(id: number, socket: Socket): AckSession {
    const { source, format, journal, sink, capture, clock } = this.#options
    return new AckSession({
      source,
      format,
      ...journal,
      nowMs: () => clock.monoMs(),
      freeToken: () => this.#freeToken(),
      offer: (flags, token, a, aEnd, b, bStart, bEnd) => {
        if (!sink.offer(FRAME_FORMAT[format], flags, token, a, 0, aEnd, b, bStart, bEnd)) {
          return false
        }
        const from = (flags & FRAME_FLAG.MARKED) === 0 ? 0 : BATCH_PREFIX_BYTES
        const parts = [a.subarray(from, aEnd), b.subarray(bStart, bEnd)]
        capture?.received(id, sink, Buffer.concat(parts))
        return true
      },
      expect: (token, session) => this.#expected.set(token, session),
      send: (text) => {
        if (text !== '') socket.write(text)
        return socket.writableLength < TCP_ACK_BUFFER_BYTES
      },
    })
  }

  onReceipt(receipt: Receipt): void {
    this.#expected.get(receipt.token)?.onReceipt(receipt)
    this.#expected.delete(receipt.token)
  }

  /** The session's connection has gone: receipts still to come for it find nobody. */
  forget(session: AckSession): void {
    for (const [token, owner] of this.#expected) {
      if (owner === session) this.#expected.delete(token)
    }
  }

  #freeToken(): number | undefined {
    if (this.#expected.size >= TCP_SOURCE_BATCHES_MAX) return undefined
    do this.#token = (this.#token + 1) >>> 0
    while (this.#expected.has(this.#token))
    return this.#token
  }
}
