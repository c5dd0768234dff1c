// Writes latest values to Redis: one pipeline a flush and node.
//
//   <prefix>latest:<venue>:<symbol>   hash of the newest values (encode.ts)
//   <prefix>instruments               set of <venue>:<symbol>
//   <prefix>stream                    one entry a changed value, capped; conflated, not a history
//
// Lives as long as its connections; after any failure a new one writes all values again. Writing a
// value twice does no harm to the hashes; the stream may then repeat an entry.

import type { TickBatch } from '../../tick/batch.ts'
import type { Instrument } from '../../tick/instruments.ts'
import { KIND_NAMES } from '../../tick/layout.ts'
import type { RedisTarget } from './config.ts'
import { latestFields } from './encode.ts'
import { type NodeCommand, RedisNodes } from './nodes.ts'
import { keySlot } from './slots.ts'

export interface RedisWriterOptions {
  readonly target: RedisTarget
  readonly prefix: string
  readonly streamEntriesMax: number
  readonly timeoutMs: number
  readonly openMsMax?: number
  readonly onLost: () => void
}

export class RedisWriter {
  readonly #options: RedisWriterOptions
  readonly #nodes: RedisNodes
  #commands: NodeCommand[] = []
  #moved: ReadonlySet<number> = new Set()
  /** Instruments 1 … this are in the set. */
  #instrumentCount = 0
  /** Values and stream entries gathered since the last flush. */
  values = 0
  streamEntries = 0

  private constructor(options: RedisWriterOptions, nodes: RedisNodes) {
    this.#options = options
    this.#nodes = nodes
  }

  /** Throws TickdError REDIS_UNREACHABLE or REDIS_REFUSED. */
  static async open(options: RedisWriterOptions): Promise<RedisWriter> {
    return new RedisWriter(options, await RedisNodes.open(options))
  }

  /** Grows as long as Redis answers. */
  get bytesRead(): number {
    return this.#nodes.bytesRead
  }

  /** Adds the instruments up to `count` that this connection has not named yet. */
  addInstruments(count: number, get: (id: number) => Instrument | undefined): void {
    if (this.#instrumentCount >= count) return
    const names: string[] = []
    for (let id = this.#instrumentCount + 1; id <= count; id++) {
      const instrument = get(id)
      if (instrument !== undefined) names.push(`${instrument.venue}:${instrument.symbol}`)
    }
    const key = this.#instrumentsKey()
    this.#commands.push({ key, name: 'SADD', args: [key, ...names] })
    this.#instrumentCount = count
  }

  /** Adds the value of tick `index` of the batch. */
  addValue(instrument: Instrument, batch: TickBatch, index: number, seq: number): void {
    const { prefix, streamEntriesMax } = this.#options
    const { venue, symbol } = instrument
    const fields = latestFields(batch, index, seq)
    const latest = this.#latestKey(instrument)
    this.#commands.push({ key: latest, name: 'HSET', args: [latest, ...fields] })
    this.values++
    if (streamEntriesMax === 0) return
    const kind = KIND_NAMES[batch.kind(index)] as string
    const head = ['type', kind, 'venue', venue, 'symbol', symbol]
    const key = `${prefix}stream`
    const cap = ['MAXLEN', '~', streamEntriesMax, '*']
    this.#commands.push({ key, name: 'XADD', args: [key, ...cap, ...head, ...fields] })
    this.streamEntries++
  }

  /** Sends what was added. After a throw the writer is of no more use. */
  async flush(): Promise<void> {
    const commands = this.#commands
    this.#commands = []
    this.values = 0
    this.streamEntries = 0
    await this.#nodes.send(commands)
    this.#noteMoved()
  }

  /** Is this still where writes belong? After a throw the writer is of no more use. */
  async check(): Promise<void> {
    await this.#nodes.check()
    this.#noteMoved()
  }

  /** True when a flush or check has found keys with another master: they are to be written anew. */
  get hasMoved(): boolean {
    return this.#moved.size > 0
  }

  isMoved(instrument: Instrument): boolean {
    return this.#moved.has(keySlot(this.#latestKey(instrument)))
  }

  forgetMoved(): void {
    this.#moved = new Set()
  }

  close(): void {
    this.#nodes.close()
  }

  #noteMoved(): void {
    const moved = this.#nodes.takeMoved()
    if (moved.size === 0) return
    this.#moved = moved
    if (moved.has(keySlot(this.#instrumentsKey()))) this.#instrumentCount = 0
  }

  #latestKey({ venue, symbol }: Instrument): string {
    return `${this.#options.prefix}latest:${venue}:${symbol}`
  }

  #instrumentsKey(): string {
    return `${this.#options.prefix}instruments`
  }
}
