// Bugs on purpose, and a clock that steps: what the fault suite must find (npm run test:faults --
// --planted), so that we know it can. Armed like test-faults.ts, and by the same switch:
//
//   TICKD_TEST_FAULTS=plant:ack-early,clock:back@500 TICKD_TEST_FAULTS_ALLOWED=yes
//
//   plant:ack-early       batches over TCP are acknowledged before they are durable
//   plant:forget-batches  a start does not remember the batches that were pushed before it
//   plant:store-swap      now and then the store takes a record for its neighbour
//   plant:feed-hole       now and then the feed passes over a record
//   clock:ahead|back@ms   wall clocks step by an hour, so many milliseconds after a thread began
//
// Nothing is wrapped, and nothing paid, when it is not armed.

import type { Clock } from '../clock.ts'
import { SEQ_MAX } from '../limits.ts'
import { BatchIds } from '../ring/batch-ids.ts'
import type { SharedSeq } from '../ring/shared-seq.ts'
import { TickRingLapper } from '../ring/tick-ring.ts'
import type { TickBatch } from '../tick/batch.ts'
import { TICK_BYTES } from '../tick/layout.ts'
import type { TestFault } from './test-faults.ts'

export const PLANTED_BUGS = ['ack-early', 'forget-batches', 'store-swap', 'feed-hole'] as const
export type PlantedBug = (typeof PLANTED_BUGS)[number]
/** Who has them, in place of a role. */
export const PLANT_ROLE = 'plant'
export const CLOCK_ROLE = 'clock'
export const CLOCK_STEPS = ['ahead', 'back'] as const

/** A reading in so many is spoilt. */
const SPOILT_ONE_IN = 5
const STEP_SEC = 3600

type Faults = readonly TestFault[] | undefined

function has(faults: Faults, bug: PlantedBug): boolean {
  return faults?.some(({ role, kind }) => role === PLANT_ROLE && kind === bug) ?? false
}

/** Next sequence that may be acknowledged. */
export function durableFor(faults: Faults, durable: SharedSeq): () => number {
  return has(faults, 'ack-early') ? () => SEQ_MAX : () => durable.load()
}

export function batchIdsFor(faults: Faults, memory: SharedArrayBuffer, capacity: number): BatchIds {
  const known = has(faults, 'forget-batches') ? BatchIds.create(capacity) : memory
  return new BatchIds(known, capacity)
}

export function lapperFor(faults: Faults, memory: SharedArrayBuffer, near: number): TickRingLapper {
  const isPlanted = has(faults, 'feed-hole')
  return isPlanted ? new HoledLapper(memory, near) : new TickRingLapper(memory, near)
}

interface Reader {
  read(out: TickBatch): number
}

/** The same reader, which takes a record for its neighbour now and then. */
export function spoilReader<R extends Reader>(faults: Faults, reader: R): R {
  if (!has(faults, 'store-swap')) return reader
  const read = reader.read.bind(reader)
  let reads = 0
  reader.read = (out) => {
    const count = read(out)
    if (out.count > 1 && ++reads % SPOILT_ONE_IN === 0)
      out.bytes.copyWithin(TICK_BYTES, 0, TICK_BYTES)
    return count
  }
  return reader
}

/** The clock, which steps if that is asked for. */
export function clockFor(faults: Faults, clock: Clock): Clock {
  const step = faults?.find(({ role }) => role === CLOCK_ROLE)
  if (step === undefined) return clock
  return new SteppingClock(clock, step.kind === 'ahead' ? STEP_SEC : -STEP_SEC, step.afterMs)
}

class HoledLapper extends TickRingLapper {
  #reads = 0

  override read(out: TickBatch): number {
    const seq = super.read(out)
    if (out.count > 1 && ++this.#reads % SPOILT_ONE_IN === 0) out.count--
    return seq
  }
}

class SteppingClock implements Clock {
  sec = 0
  nsec = 0
  readonly #clock: Clock
  readonly #stepSec: number
  readonly #dueMs: number

  constructor(clock: Clock, stepSec: number, afterMs: number) {
    this.#clock = clock
    this.#stepSec = stepSec
    this.#dueMs = clock.monoMs() + afterMs
  }

  read(): void {
    this.#clock.read()
    this.sec = this.#clock.sec + (this.monoMs() >= this.#dueMs ? this.#stepSec : 0)
    this.nsec = this.#clock.nsec
  }

  monoMs(): number {
    return this.#clock.monoMs()
  }
}
