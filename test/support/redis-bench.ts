// A Redis agent with what it reads from, and the check of what Redis then holds.

import { ChangeNotice } from '../../src/aggregate/change-notice.ts'
import { LatestTable } from '../../src/aggregate/latest-table.ts'
import { SystemClock } from '../../src/clock.ts'
import { type Config, configSchema } from '../../src/config/schema.ts'
import { counterNames } from '../../src/ops/counter-catalog.ts'
import { CounterSet } from '../../src/ops/counters.ts'
import { RedisAgent } from '../../src/storage/redis/agent.ts'
import type { RedisTarget } from '../../src/storage/redis/config.ts'
import { latestFields } from '../../src/storage/redis/encode.ts'
import { TickBatch } from '../../src/tick/batch.ts'
import { writeInteger, writeSplit } from '../../src/tick/fixed-point.ts'
import { InstrumentTable } from '../../src/tick/instruments.ts'
import { KIND, SIDE, WORD } from '../../src/tick/layout.ts'
import { breakerBoard } from './breaker-board.ts'
import { recordingLog, runUntil } from './store-bench.ts'

const CAPACITY = 1024

/** Reads a hash: of any client, one server's or a cluster's. */
export type ReadHash = (key: string) => Promise<Record<string, string>>

export class RedisBench {
  readonly instruments = new InstrumentTable(InstrumentTable.create(CAPACITY), CAPACITY)
  readonly latest = new LatestTable(LatestTable.create(CAPACITY), CAPACITY)
  readonly notice = new ChangeNotice(ChangeNotice.create())
  readonly counters = new CounterSet(counterNames('redis'))
  readonly board = breakerBoard()
  readonly log = recordingLog()
  readonly agent: RedisAgent
  /** The agent's clock is ahead of the machine's by this. */
  aheadMs = 0
  /** Sequence of the next trade. */
  seq = 0
  readonly #tick = new TickBatch(1)

  constructor(target: RedisTarget, settings: Partial<Config['redis']> = {}) {
    for (const symbol of ['BTC-USD', 'ETH-USD']) this.instruments.add('bench', symbol)
    this.agent = new RedisAgent({
      config: { ...configSchema.parse({}).redis, flush_ms: 1, ...settings },
      target: () => target,
      latest: this.latest,
      notice: this.notice,
      instruments: this.instruments,
      clock: this.#clock(),
      log: this.log,
      counters: this.counters,
      board: this.board,
      wake: () => {},
    })
  }

  #clock(): SystemClock {
    const clock = new SystemClock()
    const monoMs = clock.monoMs.bind(clock)
    clock.monoMs = () => monoMs() + this.aheadMs
    return clock
  }

  /** A trade of this whole price. */
  trade(instrument: number, price: number, seq: number): void {
    const { words } = this.#tick
    this.#tick.clear(0)
    this.#tick.setInstrument(0, instrument)
    this.#tick.setKindSide(0, KIND.trade, SIDE.buy)
    writeSplit(words, WORD.ts_event, false, 1_772_323_200, 5)
    writeInteger(words, WORD.p0, price * 1e9)
    writeInteger(words, WORD.p1, 250_000_000)
    writeInteger(words, WORD.p2, seq)
    this.latest.write(words, 0, seq)
    this.notice.take()
  }

  /** One trade more for every instrument, of which there are `count` at least. */
  tradeAll(count = this.instruments.count): void {
    while (this.instruments.count < count) {
      this.instruments.add('bench', `S${this.instruments.count}-USD`)
    }
    for (let id = 1; id <= this.instruments.count; id++) this.trade(id, this.seq % 1000, this.seq++)
  }

  /** Runs the agent until all that is in the table is in Redis. */
  async settle(timeoutMs?: number): Promise<void> {
    const settled = () => this.agent.status().connected && this.agent.drain()
    await runUntil(this.agent, settled, 'all is written', timeoutMs)
  }

  async untilConnected(timeoutMs?: number): Promise<void> {
    await runUntil(this.agent, () => this.agent.status().connected, 'connected', timeoutMs)
  }

  /** Keys whose hash in Redis is not that of the latest table: none, when all is well. */
  async differing(read: ReadHash): Promise<string[]> {
    const differing: string[] = []
    for (let id = 1; id <= this.instruments.count; id++) {
      const seq = this.latest.read(id, KIND.trade, this.#tick, 0)
      if (seq < 0) continue
      const instrument = this.instruments.get(id)
      const key = `tickd:latest:${instrument?.venue}:${instrument?.symbol}`
      const fields = latestFields(this.#tick, 0, seq)
      const found = await read(key)
      const isSame = fields.every(
        (text, i) => i % 2 === 0 || found[fields[i - 1] as string] === text,
      )
      if (!isSame) differing.push(`${key}: ${JSON.stringify(found)}, not ${fields}`)
    }
    return differing
  }

  errors(): string[] {
    return this.log.lines.flatMap(({ fields }) =>
      fields.error === undefined ? [] : [String(fields.error)],
    )
  }
}
