// The PostgreSQL agent of a shard, from the shared memory.

import { idText } from '../journal/identity.ts'
import { STORE_REASONS } from '../ledger/reasons.ts'
import type { Log } from '../ops/log.ts'
import { POSITION } from '../pipeline.ts'
import { PostgresAgent, type RefusedRecords } from '../storage/postgres/agent.ts'
import type { Agent } from './agent.ts'
import type { AgentFactory } from './agents.ts'
import { startOf, storeReaders } from './journal-readers.ts'
import { makeDeadLetters } from './make-dead-letters.ts'
import { postgresUrl } from './postgres-url.ts'

export function makePostgresAgent(factory: AgentFactory, shard: number, log: Log): Agent {
  const { runtime, shared, clock, wake, raise } = factory.options
  const durable = shared.position(shard, POSITION.durable)
  const oldest = shared.position(shard, POSITION.oldest)
  const { postgres } = runtime.config
  const { identity, originSeq } = shared.shard(shard)
  return new PostgresAgent({
    shard,
    config: postgres,
    url: () => postgresUrl(runtime),
    openReader: storeReaders(factory, shard, log),
    durable: () => durable.load(),
    oldest: () => oldest.load(),
    journal: {
      id: idText(identity.journalId),
      firstSeq: originSeq,
      startOf: (seq) => startOf(factory, shard, seq),
    },
    stored: shared.position(shard, POSITION.postgres),
    flushed: shared.position(shard, POSITION.postgresFlushed),
    instruments: shared.instruments,
    clock,
    log,
    counters: shared.counters('postgres', String(shard)),
    breaker: shared.breaker(`postgres-${shard}`),
    refused: refusedRecords(factory, shard, log),
    raise,
    wake,
  })
}

/** Refused records are dead letters of the stage `store`. */
function refusedRecords(factory: AgentFactory, shard: number, log: Log): RefusedRecords {
  const letters = makeDeadLetters(factory, `store-${shard}`, log)
  const reason = STORE_REASONS.indexOf('refused_by_postgres')
  return {
    add: (batch, index, seq, detail) => {
      letters.addRefused(reason, batch, index, seq, detail)
      letters.flush()
    },
    close: () => letters.close(),
  }
}
