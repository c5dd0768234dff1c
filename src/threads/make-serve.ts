// The serve agent, from the shared memory.

import { idText } from '../journal/identity.ts'
import type { Log } from '../ops/log.ts'
import { POSITION } from '../pipeline.ts'
import { FeedbackSender } from '../ring/feedback.ts'
import type { AccessPlan } from '../serve/access/doors.ts'
import { ServeAgent } from '../serve/agent.ts'
import type { FeedStore } from '../serve/feed/feed-journal.ts'
import { type History, PostgresHistory } from '../serve/http/history.ts'
import type { PushSource } from '../serve/http/push.ts'
import { Breaker } from '../storage/breaker.ts'
import { hostUrls } from '../storage/postgres/config.ts'
import { StoredRecords } from '../storage/postgres/stored-records.ts'
import type { Agent } from './agent.ts'
import type { AgentFactory } from './agents.ts'
import { checkpointsPath, openFeedJournal } from './feed-journal.ts'
import { metricSources } from './metrics.ts'
import { lapperFor } from './planted-bugs.ts'
import { postgresUrl } from './postgres-url.ts'
import { readiness } from './readiness.ts'
import type { Runtime } from './runtime.ts'

export function makeServeAgent(factory: AgentFactory, _shard: number, log: Log): Agent {
  const { runtime, shared, threads, clock, ask, faults } = factory.options
  const { serve } = runtime.config
  const shards = factory.shards()
  const wanted = shards.map(({ wantedBooks }, shard) => {
    return new FeedbackSender(wantedBooks, factory.bell('decode', shard))
  })
  const database = openDatabase(factory, log)
  return new ServeAgent({
    settings: {
      ...serve,
      listen: { ...serve.listen, port: factory.portOf('http', serve.listen.port) },
    },
    epoch: shards[0]?.epoch ?? 0,
    rings: shards.map(({ ticks, epoch, firstSeq, originSeq, identity }, shard) => {
      const directory = factory.journalDirectory(shard)
      const [durable, oldest] = [POSITION.durable, POSITION.oldest].map((slot) =>
        shared.position(shard, slot),
      )
      return {
        shard,
        lapper: lapperFor(faults, ticks, shared.nearSeq(shard)),
        epoch,
        journal: openFeedJournal({
          shard,
          directory,
          epoch,
          firstSeq,
          originSeq,
          journalId: identity.journalId,
          durable: () => durable?.load() ?? 0,
          oldest: () => oldest?.load() ?? 0,
          store: database?.store(shard, idText(identity.journalId)),
        }),
        checkpointsPath: checkpointsPath(directory),
      }
    }),
    instruments: shared.instruments,
    latest: shared.latest,
    lanes: factory.producerRings('serve').map((rings, shard) => {
      const durable = shared.position(shard, POSITION.durable)
      return { ...rings, durable: () => durable.load(), epoch: shared.shard(shard).epoch }
    }),
    sources: pushSources(factory),
    history: database?.history,
    access: accessPlan(runtime),
    readiness: () => readiness(shared, threads),
    metrics: () => metricSources(shared),
    sourceNames: runtime.config.sources.map(({ name }) => name),
    ask,
    clock,
    log,
    counters: shared.counters('serve'),
    wantBook: (shard, instrument) => wanted[shard]?.resync(0, instrument),
    onListening: factory.announce,
  })
}

function accessPlan({ config, paths }: Runtime): AccessPlan {
  const { access, serve } = config
  return {
    settings: access,
    keysFile: access.keys_file === '' ? paths.keys : access.keys_file,
    auditFile: paths.audit,
    isInsecure: serve.listen.insecure,
    tls: serve.tls.cert_file === '' ? undefined : serve.tls,
  }
}

/** Sources of type http, with their index in the configuration. */
function pushSources({ options }: AgentFactory): PushSource[] {
  const { runtime, shared } = options
  return runtime.config.sources.flatMap(({ type, name, shard }, index) =>
    type === 'http' ? [{ name, index, shard, counters: shared.counters('source', name) }] : [],
  )
}

/** What is read of PostgreSQL: history for HTTP, and for the feed what the journal has removed. */
function openDatabase({ options }: AgentFactory, log: Log) {
  const { runtime, shared, clock } = options
  if (runtime.postgresUrl === '') return undefined
  const { schema, connect_timeout_ms: connectTimeoutMs } = runtime.config.postgres
  const breaker = new Breaker({ name: 'history', clock, board: shared.breaker('history') })
  const url = () => postgresUrl(runtime)
  const settings = { breaker, schema, connectTimeoutMs }
  const history: History = new PostgresHistory({ ...settings, urls: () => hostUrls(url()), log })
  const readers = { count: 0 }
  const store = (shard: number, journal: string): FeedStore => {
    return new StoredRecords({ ...settings, url, shard, journal, readers })
  }
  return { history, store }
}
