// Dead letters on a real disk for tests, and a way of ticks that is an array.

import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import type { Test } from 'tap'
import { REJECT_REASONS, STORE_REASONS } from '../../src/ledger/reasons.ts'
import { MIB } from '../../src/limits.ts'
import { counterNames } from '../../src/ops/counter-catalog.ts'
import { CounterSet } from '../../src/ops/counters.ts'
import { silentLog } from '../../src/ops/log.ts'
import { FRAME_FORMAT } from '../../src/ring/frame-format.ts'
import type { FrameMeta } from '../../src/ring/frame-ring.ts'
import { TickBatch } from '../../src/tick/batch.ts'
import { writeInteger } from '../../src/tick/fixed-point.ts'
import { FLAG, KIND, SIDE, TICK_WORDS, WORD } from '../../src/tick/layout.ts'
import { LetterBook } from '../../src/validate/dead-letter-book.ts'
import { SettlementLog } from '../../src/validate/dead-letter-log.ts'
import { DeadLetterStore } from '../../src/validate/dead-letters.ts'

const encoder = new TextEncoder()

export const LETTER_SOURCES = ['zero', 'one', 'push']

export class LetterRig {
  /** `<state>/dead-letters`. */
  readonly directory: string
  readonly counters = new CounterSet(counterNames('dead_letters'))
  readonly #bytesMax: number
  #origin = 0

  constructor(t: Test, bytesMax = 64 * MIB) {
    const root = mkdtempSync(path.join(tmpdir(), 'tickd-letters-'))
    t.teardown(() => rmSync(root, { recursive: true }))
    this.directory = path.join(root, 'dead-letters')
    mkdirSync(this.directory)
    this.#bytesMax = bytesMax
  }

  store(series = 'shard-0'): DeadLetterStore {
    return new DeadLetterStore({
      directory: path.join(this.directory, series),
      config: { bytes_max: this.#bytesMax, letter_bytes_max: 65_536 },
      sources: LETTER_SOURCES,
      counters: this.counters,
      log: silentLog,
    })
  }

  /** A rejected message, each at a place of its own unless `origin` is given. */
  add(store: DeadLetterStore, message: string, fields: Partial<FrameMeta> & Place = {}): void {
    const origin = fields.origin ?? this.#origin++
    const bytes = encoder.encode(' '.repeat(origin) + message)
    const { reason = 'bad_json' } = fields
    store.addMessage(REJECT_REASONS.indexOf(reason), metaOf(fields), bytes, origin, bytes.length)
  }

  /** Writes the messages, one letter each, and closes the store. */
  write(...messages: string[]): void {
    const store = this.store()
    for (const message of messages) this.add(store, message)
    store.close()
  }

  /** A record that a database refused. */
  addRefused(store: DeadLetterStore, seq: number, detail: string): void {
    const batch = new TickBatch(1)
    batch.bytes.set(tickOf(seq, 2))
    const reason = STORE_REASONS.indexOf('refused_by_postgres')
    store.addRefused(reason, batch, 0, seq, detail)
  }

  book(): LetterBook {
    return new LetterBook(this.directory, new SettlementLog(this.directory))
  }
}

export interface Place {
  readonly origin?: number
  readonly reason?: (typeof REJECT_REASONS)[number]
}

export function metaOf(fields: Partial<FrameMeta> = {}): FrameMeta {
  const { source = 2, format = FRAME_FORMAT.ndjson, recvSec = 1_700_000_000 } = fields
  return { source, format, flags: 0, token: 0, recvSec, recvNsec: fields.recvNsec ?? 5 }
}

/** A trade whose id and price are `value`, of the source with this index, flagged REPLAYED. */
export function tickOf(value: number, source: number): Uint8Array {
  const batch = new TickBatch(1)
  batch.setKindSide(0, KIND.trade, SIDE.buy)
  batch.setInstrument(0, 1)
  batch.setSource(0, source)
  batch.setFlags(0, FLAG.REPLAYED | FLAG.LAST)
  for (const word of [WORD.ts_event, WORD.ts_recv, WORD.p0, WORD.p1, WORD.p2]) {
    writeInteger(batch.words, word, value)
  }
  batch.words[TICK_WORDS - 1] = 0
  return batch.bytes
}
