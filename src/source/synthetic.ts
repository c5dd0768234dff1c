// The synthetic source: the model of synthetic-model.ts, paced by the clock. Always on, no network.
//
// It goes the way of every source: packed ticks, in chunks, through the frame ring. When the ring
// is full it waits, and what it owes is bounded: it never makes more than one second's ticks at
// once, nor more than a duty cycle should.

import type { Clock } from '../clock.ts'
import { TickdError } from '../errors.ts'
import { FRAME_FORMAT } from '../ring/frame-format.ts'
import { TickBatch } from '../tick/batch.ts'
import type { InstrumentTable } from '../tick/instruments.ts'
import { TICK_BYTES } from '../tick/layout.ts'
import type { FrameSink, Source } from './source.ts'
import { type SyntheticInstrument, SyntheticModel } from './synthetic-model.ts'

/** Ticks of one frame: 64 KiB. */
const CHUNK_TICKS = 1024
/** Less than a chunk waits so long for more: a thread that makes tick after tick never sleeps. */
const GATHER_MS = 5
/** Most ticks of a duty cycle: 16 chunks, about 2 ms of work. */
const CYCLE_TICKS_MAX = 16 * CHUNK_TICKS

export interface SyntheticConfig {
  name: string
  venue: string
  rate: number
  seed: number
  symbols: readonly string[]
}

export interface SyntheticSourceOptions {
  config: SyntheticConfig
  /** Index of the source in the configuration. */
  source: number
  sink: FrameSink
  instruments: InstrumentTable
  clock: Clock
}

export class SyntheticSource implements Source {
  readonly name: string
  readonly idleMsMax = GATHER_MS
  readonly #config: SyntheticConfig
  readonly #source: number
  readonly #sink: FrameSink
  readonly #instruments: InstrumentTable
  readonly #clock: Clock
  /** Ticks made and not yet on the ring: one chunk. */
  readonly #batch = new TickBatch(CHUNK_TICKS)
  #model: SyntheticModel | undefined
  #owed = 0
  #lastMs = 0
  #stopped = false

  constructor({ config, source, sink, instruments, clock }: SyntheticSourceOptions) {
    this.name = config.name
    this.#config = config
    this.#source = source
    this.#sink = sink
    this.#instruments = instruments
    this.#clock = clock
  }

  start(): void {
    const { seed } = this.#config
    this.#clock.read()
    // Microseconds since 1970: at most 1,000,000 ids a second are given, so a restart never
    // repeats one, and the filter of duplicates never drops a tick of the next run.
    const firstId = this.#clock.sec * 1e6 + Math.floor(this.#clock.nsec / 1000)
    const instruments = registerInstruments(this.#instruments, this.#config)
    this.#model = new SyntheticModel({ instruments, seed, source: this.#source, firstId })
    this.#lastMs = this.#clock.monoMs()
  }

  doWork(): number {
    const model = this.#model
    if (model === undefined || !this.#flush()) return 0
    if (this.#stopped) return 0
    const nowMs = this.#clock.monoMs()
    const { rate } = this.#config
    const passedMs = nowMs - this.#lastMs
    const owed = this.#owed + (passedMs * rate) / 1000
    if (owed < CHUNK_TICKS && passedMs < GATHER_MS) return 0
    // What a long stall left undone beyond a second is forgotten: the walk has no past to make up.
    this.#owed = Math.min(rate, owed)
    this.#lastMs = nowMs
    let left = Math.min(Math.floor(this.#owed), CYCLE_TICKS_MAX)
    let made = 0
    while (left > 0) {
      const count = Math.min(left, CHUNK_TICKS)
      this.#sink.stamp()
      model.fill(this.#batch, count, this.#sink.recvSec, this.#sink.recvNsec)
      made += count
      left -= count
      if (!this.#flush()) break
    }
    this.#owed -= made
    return made
  }

  stop(): void {
    this.#stopped = true
  }

  drained(): boolean {
    return this.#batch.count === 0
  }

  async close(): Promise<void> {
    this.#stopped = true
  }

  /** Offers the made ticks; true when none wait any more. */
  #flush(): boolean {
    const batch = this.#batch
    if (batch.count === 0) return true
    const size = batch.count * TICK_BYTES
    if (!this.#sink.offer(FRAME_FORMAT.packed, 0, 0, batch.bytes, 0, size)) {
      this.#sink.held()
      return false
    }
    batch.count = 0
    return true
  }
}

function registerInstruments(
  table: InstrumentTable,
  { name, venue, symbols }: SyntheticConfig,
): SyntheticInstrument[] {
  return symbols.map((symbol) => {
    const id = table.add(venue, symbol)
    if (id === 0) {
      throw new TickdError(
        'CONFIG_INVALID',
        `source '${name}': the symbol '${symbol}' cannot be added to the instrument table ` +
          '(too long, or the table is full); shorten or remove it',
      )
    }
    return { id, symbol }
  })
}
