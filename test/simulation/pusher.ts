// A program that pushes batches with POST /v1/ticks, one at a time, and believes what it is told.
//
// Its ticks carry identity: the trade id, unique in a schedule, is also the price. What it was told
// of each batch is kept for the checks at the end.

import type { HttpAnswer } from '../../src/serve/server.ts'
import type { Random } from '../../src/source/random.ts'
import { check } from './violation.ts'

const BATCH_TICKS_MAX = 10

/** What a pusher knows of a batch. */
export type BatchState =
  /** To be sent, or sent again: nothing of it was taken, or it has a key. */
  | 'waiting'
  | 'sent'
  /** Answered with 200: durable. */
  | 'acknowledged'
  /** Answered with 200, and none of it accepted: its frame crashed decode, and is a dead letter. */
  | 'rejected'
  /** No answer, or one that leaves it open; and it has no key to be sent again under. */
  | 'unknown'

export interface Batch {
  readonly tradeIds: readonly number[]
  /** Lines among them that no decoder takes. */
  readonly badCount: number
  readonly body: Uint8Array
  /** By which it is known when it is sent again; '' = it never is. */
  readonly key: string
  state: BatchState
  /** Of an acknowledged batch that was not a repeat: where it lies. -1 = not told. */
  firstSeq: number
}

/** Sends a body under a key ('' = none); false when nobody listens. */
export type Post = (
  key: string,
  body: Uint8Array,
  onEnd: (answer: HttpAnswer | undefined) => void,
) => boolean

export class Pusher {
  readonly symbol: string
  readonly batches: Batch[] = []
  /** Batches that were acknowledged. */
  acknowledgedCount = 0
  readonly #random: Random
  readonly #takeId: () => number
  readonly #hasKeys: boolean

  constructor(symbol: string, random: Random, takeId: () => number) {
    this.symbol = symbol
    this.#random = random
    this.#takeId = takeId
    this.#hasKeys = random.below(4) > 0
  }

  /** True when no batch waits, to be sent or to be answered. */
  get isDone(): boolean {
    const state = this.batches.at(-1)?.state
    return state !== 'sent' && state !== 'waiting'
  }

  /** Sends the next batch, or the last one again where nothing of it was taken. */
  act(post: Post, mayBegin: boolean): boolean {
    const last = this.batches.at(-1)
    if (last?.state === 'sent') return false
    if (last?.state === 'waiting') return this.#send(last, post)
    if (!mayBegin) return false
    const batch = this.#make()
    this.batches.push(batch)
    return this.#send(batch, post)
  }

  /**
   * The daemon starts anew, and knows pushed batches only as far back as its journal goes: a batch
   * that has left it is not to be sent again. `isGone` says so of a trade.
   */
  forget(isGone: (tradeId: number) => boolean): void {
    const last = this.batches.at(-1)
    if (last?.state === 'waiting' && last.tradeIds.some(isGone)) last.state = 'unknown'
  }

  #send(batch: Batch, post: Post): boolean {
    batch.state = 'sent'
    const isSent = post(batch.key, batch.body, (answer) => this.#onAnswer(batch, answer))
    if (!isSent) batch.state = 'waiting'
    return isSent
  }

  #make(): Batch {
    const count = 1 + this.#random.below(BATCH_TICKS_MAX)
    const tradeIds = Array.from({ length: count }, () => this.#takeId())
    const lines = tradeIds.map((id) => tradeLine(this.symbol, id))
    const badCount = this.#random.below(8) === 0 ? 1 : 0
    if (badCount > 0) lines.splice(this.#random.below(count + 1), 0, '{"type":"trade"}')
    const body = Buffer.from(`${lines.join('\n')}\n`)
    const key = this.#hasKeys ? `${this.symbol}-${this.batches.length}` : ''
    return { tradeIds, badCount, body, key, state: 'waiting', firstSeq: -1 }
  }

  #onAnswer(batch: Batch, answer: HttpAnswer | undefined): void {
    if (answer?.status === 200) this.#onResult(batch, JSON.parse(String(answer.body)))
    else if (answer?.status === 503) batch.state = 'waiting'
    else batch.state = batch.key === '' ? 'unknown' : 'waiting'
  }

  #onResult(batch: Batch, result: Record<string, number>): void {
    const { accepted = 0, duplicate = 0, rejected = 0, first_seq: firstSeq = -1 } = result
    const count = batch.tradeIds.length
    if (accepted + duplicate === 0 && rejected > 0) {
      batch.state = 'rejected'
      return
    }
    check('an answer accounts for its batch', accepted + duplicate === count, () => {
      return `${accepted} accepted and ${duplicate} repeated of ${count}`
    })
    check('an answer accounts for bad lines', rejected === batch.badCount, () => {
      return `${rejected} rejected of ${batch.badCount}`
    })
    batch.state = 'acknowledged'
    this.acknowledgedCount++
    if (accepted === count) batch.firstSeq = firstSeq
  }
}

/** A trade as normalised JSON. Its event time is long past: no step of a clock makes it new. */
export function tradeLine(symbol: string, tradeId: number): string {
  const day = 1 + (Math.floor(tradeId / 100) % 28)
  const ts = `2020-01-${String(day).padStart(2, '0')}T00:00:00.000000000Z`
  return (
    `{"type":"trade","venue":"sim","symbol":"${symbol}","ts_event":"${ts}","id":"${tradeId}",` +
    `"price":"${tradeId}","size":"1","side":"buy"}`
  )
}
