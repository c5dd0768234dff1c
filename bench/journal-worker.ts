// The threads of the journal bench: one that publishes on a tick ring, and the journal's agent.
//
// The agent runs under the daemon's own runner, with its waits, heartbeats and counters. The
// publisher's messages are rounds: it answers when it began.

import { parentPort, workerData } from 'node:worker_threads'
import { SystemClock } from '../src/clock.ts'
import type { Config } from '../src/config/schema.ts'
import { JournalAgent } from '../src/journal/agent.ts'
import { counterNames } from '../src/ops/counter-catalog.ts'
import { CounterSet } from '../src/ops/counters.ts'
import { createLog } from '../src/ops/log.ts'
import { GATING_SLOT, POSITION } from '../src/pipeline.ts'
import { Doorbell } from '../src/ring/doorbell.ts'
import { SharedSeq } from '../src/ring/shared-seq.ts'
import { TickRingConsumer, TickRingProducer } from '../src/ring/tick-ring.ts'
import { Lifecycle } from '../src/threads/lifecycle.ts'
import { Runner } from '../src/threads/runner.ts'
import { TickBatch } from '../src/tick/batch.ts'

export interface JournalTask {
  readonly role: 'publisher' | 'journal'
  readonly directory: string
  readonly epoch: number
  readonly nextSeq: number
  readonly settings: Config['journal']
  readonly ring: SharedArrayBuffer
  /** 0 = the publisher's, 1 = the journal's, 2 = whoever waits for durability. */
  readonly bells: SharedArrayBuffer
  readonly positions: SharedArrayBuffer
  readonly counters: SharedArrayBuffer
  readonly lifecycle: SharedArrayBuffer
  /** Prepared ticks, published over and over, `batchTicks` at a time. */
  readonly ticks: SharedArrayBuffer
  readonly tickCount: number
  readonly batchTicks: number
}

const SLEEP_MS = 10

const task = workerData as JournalTask
const bell = (slot: number) => new Doorbell(task.bells, slot)

function publish(): void {
  const { ring, nextSeq, tickCount, batchTicks } = task
  const producer = new TickRingProducer(ring, nextSeq, [GATING_SLOT.journal], [bell(1)])
  const batch = new TickBatch(tickCount, task.ticks)
  const own = bell(0)
  parentPort?.on('message', (count: number) => {
    const beganNs = Number(process.hrtime.bigint())
    const end = producer.seq + count
    while (producer.seq < end) {
      const from = producer.seq % tickCount
      while (producer.publish(batch, from, batchTicks) === -1) {
        own.prepare()
        if (producer.available() < batchTicks) own.wait(SLEEP_MS)
        own.wake()
      }
    }
    parentPort?.postMessage(beganNs)
  })
  parentPort?.postMessage('ready')
}

async function journal(): Promise<void> {
  const { directory, epoch, nextSeq, settings, ring, positions, counters, lifecycle } = task
  const position = (slot: number) => new SharedSeq(positions, slot)
  const clock = new SystemClock()
  const log = createLog('journal-0', 'warn', 'text')
  const make = () =>
    new JournalAgent({
      shard: 0,
      directory,
      epoch,
      settings,
      ring: new TickRingConsumer(ring, GATING_SLOT.journal, nextSeq, bell(0)),
      positions: {
        written: position(POSITION.written),
        durable: position(POSITION.durable),
        oldest: position(POSITION.oldest),
      },
      // As if PostgreSQL had everything: it holds no segment back.
      storedSeq: () => position(POSITION.durable).load(),
      bells: [bell(2)],
      clock,
      log,
      counters: new CounterSet(counterNames('journal'), counters),
    })
  const seat = { roleName: 'journal-0', make, lifecycle: new Lifecycle(lifecycle, 0) }
  const onStartFailure = (_roleName: string, error: unknown) => {
    throw error
  }
  parentPort?.postMessage('ready')
  await new Runner({
    seats: [seat],
    clock,
    log,
    bell: bell(1),
    blocking: true,
    onStartFailure,
  }).run()
}

if (task.role === 'publisher') publish()
else await journal()
