// The source agent, from the shared memory.

import { venueNamed } from '../decode/venues.ts'
import type { Log } from '../ops/log.ts'
import { POSITION } from '../pipeline.ts'
import { SourceAgent } from '../source/agent.ts'
import { RawCapture } from '../source/raw-capture.ts'
import type { Agent } from './agent.ts'
import type { AgentFactory } from './agents.ts'
import { durableFor } from './planted-bugs.ts'

export function makeSourceAgent(factory: AgentFactory, _shard: number, log: Log): Agent {
  const { runtime, shared, clock, wake, faults } = factory.options
  const { capture } = runtime.config
  return new SourceAgent({
    sources: runtime.config.sources.map((source) => {
      if (source.type !== 'tcp') return source
      const port = factory.portOf(source.name, source.listen.port)
      return { ...source, listen: { ...source.listen, port } }
    }),
    venueNamed,
    rings: factory.producerRings('source').map((rings, shard) => {
      const durable = shared.position(shard, POSITION.durable)
      const { epoch } = shared.shard(shard)
      return { ...rings, journal: { shard, epoch, durable: durableFor(faults, durable) } }
    }),
    instruments: shared.instruments,
    clock,
    log,
    counters: (index) => shared.counters('source', factory.sourceName(index)),
    wake,
    onListening: factory.announce,
    raise: factory.options.raise,
    capture: capture.enabled
      ? new RawCapture({
          directory: capture.directory || runtime.paths.capture,
          fileBytes: capture.file_bytes,
          bytesMax: capture.bytes_max,
          clock,
          log,
        })
      : undefined,
  })
}
