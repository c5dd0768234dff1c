// A journal on disk and what a store's agent needs around it: for tests with real databases.
//
// Every record is a function of its sequence, so that what a database holds can be told right from
// wrong without keeping what was sent.

import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { SystemClock } from '../../src/clock.ts'
import { type Config, configSchema } from '../../src/config/schema.ts'
import { SkippingReader } from '../../src/journal/skipping-reader.ts'
import { JournalWriter } from '../../src/journal/writer.ts'
import { MIB } from '../../src/limits.ts'
import { counterNames } from '../../src/ops/counter-catalog.ts'
import { CounterSet } from '../../src/ops/counters.ts'
import type { IncidentReport } from '../../src/ops/incidents.ts'
import type { Log } from '../../src/ops/log.ts'
import { POSITION, POSITION_COUNT } from '../../src/pipeline.ts'
import { SharedSeq } from '../../src/ring/shared-seq.ts'
import { PostgresAgent } from '../../src/storage/postgres/agent.ts'
import type { Agent } from '../../src/threads/agent.ts'
import { lossTeller } from '../../src/threads/journal-readers.ts'
import { TickBatch } from '../../src/tick/batch.ts'
import { writeInteger, writeSplit } from '../../src/tick/fixed-point.ts'
import { InstrumentTable } from '../../src/tick/instruments.ts'
import { TICK_WORDS, WORD } from '../../src/tick/layout.ts'
import { breakerBoard } from './breaker-board.ts'

/** 2026-03-01T00:00:00Z, in seconds. */
export const FIRST_SEC = 1_772_323_200
const BLOCK_TICKS = 4096
const KINDS = 5
const CAPACITY = 1024

export interface LoggedLine {
  level: keyof Log
  fields: Record<string, unknown>
  message: string
}

/** Keeps what is logged. */
export function recordingLog(): Log & { lines: LoggedLine[] } {
  const lines: LoggedLine[] = []
  const at = (level: keyof Log) => (fields: object, message: string) => {
    lines.push({ level, fields: fields as Record<string, unknown>, message })
  }
  return { lines, debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') }
}

/** Writes the record of `seq` at tick `index`: kinds in turn, a millisecond apart. */
export function putRecord(batch: TickBatch, index: number, seq: number): void {
  batch.clear(index)
  const at = index * TICK_WORDS
  const { words } = batch
  const sec = FIRST_SEC + Math.floor(seq / 1000)
  writeSplit(words, at + WORD.ts_event, false, sec, (seq % 1000) * 1_000_000 + (seq % 997))
  writeSplit(words, at + WORD.ts_recv, false, sec, (seq % 1000) * 1_000_000 + 999)
  batch.setInstrument(index, 1 + (seq % 3))
  batch.setSource(index, seq % 7)
  batch.setKindSide(index, 1 + (seq % KINDS), 0)
  writeInteger(words, at + WORD.p0, (seq % 1_000_003) * 10_000_000)
  writeInteger(words, at + WORD.p1, seq + 1)
  writeInteger(words, at + WORD.p2, seq + 2)
  writeInteger(words, at + WORD.p3, -seq)
}

export class StoreBench {
  readonly instruments: InstrumentTable
  readonly stored: SharedSeq
  readonly flushed: SharedSeq
  readonly clock = new SystemClock()
  readonly log = recordingLog()
  readonly counters = new CounterSet(counterNames('postgres'))
  readonly breaker = breakerBoard()
  readonly incidents: IncidentReport[] = []
  /** What was dead-lettered: sequence and detail. */
  readonly letters: { seq: number; detail: string }[] = []
  readonly refused = {
    add: (_batch: TickBatch, _index: number, seq: number, detail: string) => {
      this.letters.push({ seq, detail })
    },
    close: () => {},
  }
  readonly directory: string
  /** Next sequence after the durable ones. */
  durable = 0
  oldest = 0
  #epoch: number
  #writer: JournalWriter | undefined

  /** `directory` exists; the journal goes below it. */
  constructor(directory: string, epoch = 1, nextSeq = 0) {
    this.directory = join(directory, `journal-${epoch}`)
    mkdirSync(this.directory, { recursive: true })
    this.instruments = new InstrumentTable(InstrumentTable.create(CAPACITY), CAPACITY)
    for (const symbol of ['BTC-USD', 'ETH-USD', "O'Higgins \\ café"]) {
      this.instruments.add('bench', symbol, symbol.replace('-', ''))
    }
    const positions = new SharedArrayBuffer(SharedSeq.bytes(POSITION_COUNT))
    this.stored = new SharedSeq(positions, POSITION.postgres)
    this.flushed = new SharedSeq(positions, POSITION.postgresFlushed)
    this.#epoch = epoch
    this.durable = nextSeq
    this.oldest = nextSeq
  }

  /** Appends the next `count` records, durably. */
  append(count: number, put: typeof putRecord = putRecord): void {
    this.#writer ??= new JournalWriter({
      directory: this.directory,
      shard: 0,
      epoch: this.#epoch,
      nextSeq: this.durable,
      segmentBytes: 64 * MIB,
      clock: this.clock,
      onSealed: () => {},
    })
    const batch = new TickBatch(Math.min(count, BLOCK_TICKS))
    for (let done = 0; done < count; ) {
      const n = Math.min(batch.capacity, count - done)
      for (let i = 0; i < n; i++) put(batch, i, this.durable + done + i)
      this.#writer.append(batch.bytes, 0, n)
      done += n
    }
    this.#writer.sync()
    this.durable += count
  }

  close(): void {
    this.#writer?.close()
    this.#writer = undefined
  }

  agent(url: string | (() => string), settings: Partial<Config['postgres']> = {}, shard = 0) {
    const { counters, log } = this
    const raise = (report: IncidentReport) => void this.incidents.push(report)
    const onSkip = lossTeller({ shard, counters, log, raise })
    return new PostgresAgent({
      shard,
      config: { ...configSchema.parse({}).postgres, batch_ms: 1, ...settings },
      url: typeof url === 'string' ? () => url : url,
      openReader: (fromSeq) =>
        new SkippingReader({
          directory: this.directory,
          shard,
          fromSeq,
          durable: () => this.durable,
          onSkip,
        }),
      durable: () => this.durable,
      oldest: () => this.oldest,
      stored: this.stored,
      flushed: this.flushed,
      instruments: this.instruments,
      clock: this.clock,
      log: this.log,
      counters: this.counters,
      breaker: this.breaker,
      refused: this.refused,
      raise,
      wake: () => {},
    })
  }
}

/** Runs an agent's duty cycles until `condition` holds; fails after `timeoutMs`. */
export async function runUntil(
  agents: Agent | readonly Agent[],
  condition: () => boolean | Promise<boolean>,
  what: string,
  timeoutMs = 20_000,
): Promise<void> {
  const all: readonly Agent[] = Array.isArray(agents) ? agents : [agents as Agent]
  const endMs = performance.now() + timeoutMs
  while (!(await condition())) {
    let work = 0
    for (const agent of all) work += agent.doWork()
    if (performance.now() > endMs) throw new Error(`not within ${timeoutMs} ms: ${what}`)
    await new Promise((resolve) => (work > 0 ? setImmediate(resolve) : setTimeout(resolve, 1)))
  }
}
