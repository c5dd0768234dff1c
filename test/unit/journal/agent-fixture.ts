// A journal agent on a ring of its own, with a clock that moves when told to.

import { SimulatedClock } from '../../../src/clock.ts'
import { configSchema } from '../../../src/config/schema.ts'
import { JournalAgent } from '../../../src/journal/agent.ts'
import type { Disk } from '../../../src/journal/disk.ts'
import { openJournal } from '../../../src/journal/recovery.ts'
import { counterNames } from '../../../src/ops/counter-catalog.ts'
import { CounterSet } from '../../../src/ops/counters.ts'
import type { IncidentReport } from '../../../src/ops/incidents.ts'
import type { Log } from '../../../src/ops/log.ts'
import { GATING_SLOT, POSITION, POSITION_COUNT } from '../../../src/pipeline.ts'
import { SharedSeq } from '../../../src/ring/shared-seq.ts'
import { TickRingConsumer, TickRingProducer } from '../../../src/ring/tick-ring.ts'
import { createTickRing } from '../../../src/ring/tick-ring-layout.ts'
import { TickBatch } from '../../../src/tick/batch.ts'
import { putTicks } from './journal-fixture.ts'

export const RING_TICKS = 16_384

export type JournalSettings = ReturnType<typeof configSchema.parse>['journal']

/** Without a reserve: the disk that the tests run on is no concern of theirs. */
export const defaultSettings: JournalSettings = {
  ...configSchema.parse({}).journal,
  free_bytes_min: 0,
}

/** What one start of the daemon has: an epoch, a ring, positions; and agents that come and go. */
export class AgentRig {
  readonly clock = new SimulatedClock()
  readonly counters = new CounterSet(counterNames('journal'))
  readonly opened: ReturnType<typeof openJournal>
  readonly producer: TickRingProducer
  readonly directory: string
  readonly logged: string[] = []
  readonly raised: IncidentReport[] = []
  storedSeq = 0
  agent: JournalAgent
  readonly #settings: JournalSettings
  readonly #disk: Disk | undefined
  readonly #ring: SharedArrayBuffer
  readonly #positions = new SharedArrayBuffer(SharedSeq.bytes(POSITION_COUNT))

  constructor(directory: string, settings: Partial<JournalSettings> = {}, disk?: Disk) {
    this.#disk = disk
    this.directory = directory
    this.#settings = { ...defaultSettings, ...settings }
    this.opened = openJournal(directory, 0, disk)
    const { nextSeq, oldestSeq } = this.opened
    this.#ring = createTickRing(RING_TICKS, nextSeq)
    this.producer = new TickRingProducer(this.#ring, nextSeq, [GATING_SLOT.journal])
    this.position('written').store(nextSeq)
    this.position('durable').store(nextSeq)
    this.position('oldest').store(oldestSeq)
    this.agent = this.#start()
  }

  position(name: keyof typeof POSITION): SharedSeq {
    return new SharedSeq(this.#positions, POSITION[name])
  }

  /** Publishes `count` ticks as one batch; false when the ring has no room. */
  publish(count: number): boolean {
    const batch = new TickBatch(count)
    putTicks(batch.bytes, 0, this.producer.seq, count)
    return this.producer.publish(batch, 0, count) !== -1
  }

  /** What the runner does with an agent that threw. */
  restart(): void {
    this.agent.onClose()
    this.agent = this.#start()
  }

  #start(): JournalAgent {
    const note = (fields: object, message: string) =>
      void this.logged.push(`${message} ${JSON.stringify(fields)}`)
    const log: Log = { debug() {}, info: note, warn: note, error: note }
    const agent = new JournalAgent({
      shard: 0,
      directory: this.directory,
      epoch: this.opened.epoch,
      identity: this.opened.identity,
      settings: this.#settings,
      ring: new TickRingConsumer(this.#ring, GATING_SLOT.journal, this.opened.nextSeq),
      positions: {
        written: this.position('written'),
        durable: this.position('durable'),
        oldest: this.position('oldest'),
      },
      storedSeq: () => this.storedSeq,
      bells: [],
      clock: this.clock,
      log,
      counters: this.counters,
      raise: (report) => void this.raised.push(report),
      disk: this.#disk,
    })
    agent.onStart()
    return agent
  }
}
