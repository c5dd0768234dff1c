// The `test` channel: a status record a second, with a counter, made here and nowhere stored.
//
// It needs no market data: a client can prove its decoder, its sequence check and its reconnect on
// it at any hour. `from` and `to` of the record are the counter.

import type { Clock } from '../../clock.ts'
import { TickBatch } from '../../tick/batch.ts'
import { writeInteger, writeNull, writeSplit } from '../../tick/fixed-point.ts'
import { FLAG, KIND, SIDE, WORD } from '../../tick/layout.ts'
import type { Router } from './router.ts'
import type { Stream } from './stream.ts'

export const TEST_TICK_MS = 1000

export class TestTicks {
  readonly #clock: Clock
  readonly #batch = new TickBatch(1)
  #emittedAtMs = Number.NEGATIVE_INFINITY
  #counter = 0

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** Appends a record to the stream when one is due. There is one test stream at most. */
  emit(nowMs: number, router: Router, stream: Stream): void {
    if (nowMs - this.#emittedAtMs < TEST_TICK_MS) return
    this.#emittedAtMs = nowMs
    this.#counter++
    const { words } = this.#batch
    this.#clock.read()
    this.#batch.clear(0)
    writeSplit(words, WORD.ts_event, false, this.#clock.sec, this.#clock.nsec)
    writeSplit(words, WORD.ts_recv, false, this.#clock.sec, this.#clock.nsec)
    this.#batch.setKindSide(0, KIND.status, SIDE.none)
    this.#batch.setFlags(0, FLAG.SYNTHETIC | FLAG.LAST)
    writeNull(words, WORD.p0)
    writeInteger(words, WORD.p1, this.#counter)
    writeInteger(words, WORD.p2, this.#counter)
    writeNull(words, WORD.p3)
    router.append(stream, words, 0)
  }
}
