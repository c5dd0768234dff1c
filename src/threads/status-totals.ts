// What the line on a terminal is made of (ops/status-line.ts): sums over sources, shards and serve
// threads, read off the shared memory. Only reads.

import type { Config } from '../config/schema.ts'
import type { StatusTotals } from '../ops/status-line.ts'
import { POSITION } from '../pipeline.ts'
import type { Shared } from './shared-memory.ts'

export function statusTotals(config: Config, shared: Shared): StatusTotals {
  const serve = shared.sums('serve')
  const sum: StatusTotals = {
    records: 0,
    durable: 0,
    stored: 0,
    subscribers: serve.get('subscribers'),
    delivered: serve.get('records_delivered'),
    refused: 0,
  }
  for (const { name } of config.sources) {
    const decode = shared.counters('decode', name)
    sum.records += decode.get('records_accepted')
    sum.refused += decode.get('messages') - decode.get('messages_decoded')
    for (const counter of decode.names) {
      if (counter.startsWith('ignored_')) sum.refused -= decode.get(counter)
    }
    sum.refused += decode.get('records_quarantined')
    sum.refused += shared.sums('source', name).get('frames_dropped')
  }
  shared.memory.shards.forEach((_, shard) => {
    const durable = shared.position(shard, POSITION.durable).load()
    sum.durable += durable
    sum.stored += Math.min(durable, shared.position(shard, POSITION.postgres).load())
  })
  return sum
}
