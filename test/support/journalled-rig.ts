// A ServeRig whose records go through a real journal as well, so that the feed can go back to them.
//
// `kill` ends it as kill -9 would: what the journal agent had not yet taken from the ring is lost,
// though the feed may have sent it. A rig on the same directory is the next start of the daemon.

import { join } from 'node:path'
import { SystemClock } from '../../src/clock.ts'
import { configSchema } from '../../src/config/schema.ts'
import { JournalAgent } from '../../src/journal/agent.ts'
import { counterNames } from '../../src/ops/counter-catalog.ts'
import { CounterSet } from '../../src/ops/counters.ts'
import { silentLog } from '../../src/ops/log.ts'
import { GATING_SLOT } from '../../src/pipeline.ts'
import { SharedSeq } from '../../src/ring/shared-seq.ts'
import { TickRingConsumer } from '../../src/ring/tick-ring.ts'
import { checkpointsPath, openFeedJournal } from '../../src/threads/feed-journal.ts'
import { openShard } from '../../src/threads/open-shard.ts'
import { type RigOptions, ServeRig, type TickRow } from './serve-rig.ts'

const { journal: DEFAULTS } = configSchema.parse({})
const SYMBOLS = ['BTC-USDT', 'ETH-USDT', 'SOL-USDT']

export class JournalledRig {
  readonly serve: ServeRig
  readonly epoch: number
  readonly firstSeq: number
  readonly ids: number[]
  /** While true nothing becomes durable: what the feed sends may be un-said. */
  isDiskPaused = false
  readonly #options: RigOptions
  readonly #journal: JournalAgent
  readonly #positions: { written: SharedSeq; durable: SharedSeq; oldest: SharedSeq }
  #isRunning = true
  #failure: unknown

  constructor(state: string, options: RigOptions = {}) {
    const shard = openShard(state, 0, DEFAULTS)
    const directory = join(state, 'shard-0')
    const { nextSeq: firstSeq, epoch, originSeq, identity } = shard
    this.epoch = epoch
    this.firstSeq = firstSeq
    const memory = new SharedArrayBuffer(SharedSeq.bytes(3))
    const [written, durable, oldest] = [0, 1, 2].map((slot) => new SharedSeq(memory, slot)) as [
      SharedSeq,
      SharedSeq,
      SharedSeq,
    ]
    written.store(firstSeq)
    durable.store(firstSeq)
    oldest.store(shard.oldestSeq)
    this.#positions = { written, durable, oldest }
    const journal = openFeedJournal({
      shard: 0,
      directory,
      epoch,
      firstSeq,
      originSeq,
      journalId: identity.journalId,
      durable: () => durable.load(),
      oldest: () => oldest.load(),
    })
    const feed = { journal, checkpointsPath: checkpointsPath(directory) }
    this.#options = {
      ...options,
      firstSeq,
      epoch,
      journal: { gatingSlot: GATING_SLOT.journal, feed },
    }
    this.serve = new ServeRig(this.#options)
    this.#journal = new JournalAgent({
      shard: 0,
      directory,
      epoch,
      identity,
      settings: { ...DEFAULTS, sync_interval_ms: 0 },
      ring: new TickRingConsumer(this.serve.ring, GATING_SLOT.journal, firstSeq),
      positions: this.#positions,
      storedSeq: () => 0,
      bells: [],
      clock: new SystemClock(),
      log: silentLog,
      counters: new CounterSet(counterNames('journal')),
    })
    this.ids = SYMBOLS.map((symbol) => this.serve.add(symbol))
  }

  /** A serve agent made anew in the same epoch, on the same ring. */
  again(): ServeRig {
    const successor = new ServeRig({ ...this.#options, ring: this.serve.ring })
    for (const symbol of SYMBOLS) successor.add(symbol)
    return successor
  }

  async start(): Promise<void> {
    await this.#journal.onStart()
    this.serve.start()
    const turn = () => {
      if (!this.#isRunning) return
      try {
        if (!this.isDiskPaused) this.#journal.doWork()
        setImmediate(turn)
      } catch (error) {
        this.#failure = error
      }
    }
    turn()
  }

  get feed(): string {
    return this.serve.feed
  }

  /** Publishes one record after the other; false when the journal leaves no room. */
  publish(rows: readonly TickRow[]): boolean {
    if (this.serve.producer.available() < rows.length) return false
    this.serve.publish(rows)
    return true
  }

  /** Trades of the first symbol, one a value; as `publish`. */
  trades(from: number, count: number): boolean {
    const instrument = this.ids[0] as number
    return this.publish(Array.from({ length: count }, (_, i) => ({ instrument, value: from + i })))
  }

  /** Everything published is durable. */
  async settled(): Promise<void> {
    const deadline = performance.now() + 10_000
    while (this.#positions.durable.load() < this.serve.producer.seq) {
      if (this.#failure !== undefined) throw this.#failure
      if (performance.now() > deadline) throw new Error('waited in vain for the journal')
      await new Promise((resolve) => setImmediate(resolve))
    }
  }

  async kill(): Promise<void> {
    this.#isRunning = false
    await this.serve.close()
    if (this.#failure !== undefined) throw this.#failure
  }
}
