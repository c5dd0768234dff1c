// Every counter of the daemon for a scrape: the blocks in shared memory, and the fill of the rings,
// which is read off their positions then and there and costs their users nothing.

import { type CounterName, type CounterSetName, counterNames } from '../ops/counter-catalog.ts'
import { CounterSet } from '../ops/counters.ts'
import type { MetricSource } from '../ops/metrics.ts'
import { GATING_SLOT } from '../pipeline.ts'
import { FrameRingProducer } from '../ring/frame-ring.ts'
import { TickRingConsumer } from '../ring/tick-ring.ts'
import { serveRole } from './plan.ts'
import type { Shared } from './shared-memory.ts'

export function metricSources(shared: Shared): MetricSource[] {
  const blocks = shared.memory.counterBlocks.map((block) => {
    const { set, labels } = block
    return { set, labels, counters: shared.countersOf(block) }
  })
  return [...blocks, ...frameRings(shared), ...tickRings(shared)]
}

function frameRings(shared: Shared): MetricSource[] {
  return shared.memory.shards.flatMap(({ ways }, shard) =>
    ways.map(({ producer, instance, frames }) => {
      const { fillBytes, capacity } = new FrameRingProducer(frames)
      const role = producer === 'serve' ? serveRole(instance) : producer
      const labels = { shard: String(shard), producer: role }
      return gauges('frame_ring', labels, { fill_bytes: fillBytes, capacity_bytes: capacity })
    }),
  )
}

/** A consumer made anew stands where the one at work has advanced to; it writes nothing. */
function tickRings(shared: Shared): MetricSource[] {
  return shared.memory.shards.flatMap(({ ticks, firstSeq }, shard) =>
    Object.entries(GATING_SLOT).map(([consumer, slot]) => {
      const ring = new TickRingConsumer(ticks, slot, firstSeq)
      const labels = { shard: String(shard), consumer }
      const lag = Math.max(0, ring.available())
      return gauges('tick_ring', labels, { lag_records: lag, capacity_records: ring.capacity })
    }),
  )
}

function gauges<Set extends CounterSetName>(
  set: Set,
  labels: Readonly<Record<string, string>>,
  values: Readonly<Record<CounterName<Set>, number>>,
): MetricSource {
  const counters = new CounterSet(counterNames(set))
  for (const name of counters.names) counters.set(name, values[name])
  return { set, labels, counters }
}
