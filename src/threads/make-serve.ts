// A serve agent, from the shared memory. Each has a part of its own of whatever has one writer.

import { idText } from '../journal/identity.ts'
import { FEED_STORE_REPLAYS_MAX, HISTORY_QUERIES_MAX } from '../limits.ts'
import type { Log } from '../ops/log.ts'
import type { AskAny } from '../ops/questions.ts'
import { POSITION } from '../pipeline.ts'
import { FeedbackSender } from '../ring/feedback.ts'
import type { AccessPlan } from '../serve/access/doors.ts'
import { ServeAgent } from '../serve/agent.ts'
import type { FeedStore } from '../serve/feed/feed-journal.ts'
import { type History, PostgresHistory } from '../serve/http/history.ts'
import type { OtherAccounts } from '../serve/http/ledger.ts'
import type { PushSource } from '../serve/http/push.ts'
import { Breaker } from '../storage/breaker.ts'
import { hostUrls } from '../storage/postgres/config.ts'
import { StoredRecords } from '../storage/postgres/stored-records.ts'
import type { Agent } from './agent.ts'
import type { AgentFactory } from './agents.ts'
import { checkpointsPath, openFeedJournal } from './feed-journal.ts'
import { metricSources } from './metrics.ts'
import { serveRole } from './plan.ts'
import { lapperFor } from './planted-bugs.ts'
import { postgresUrl } from './postgres-url.ts'
import { readiness } from './readiness.ts'
import type { Runtime } from './runtime.ts'
import { historyBreaker } from './shared-memory.ts'

export function makeServeAgent(factory: AgentFactory, instance: number, log: Log): Agent {
  const { runtime, shared, threads, clock, ask, faults, tellsAccounts } = factory.options
  const { serve } = runtime.config
  const shards = factory.shards()
  const wanted = shards.map(({ wantedBooks }, shard) => {
    const own = wantedBooks[instance] as SharedArrayBuffer
    return new FeedbackSender(own, factory.bell('decode', shard))
  })
  const database = openDatabase(factory, instance, log)
  const role = serveRole(instance)
  const agent = new ServeAgent({
    roleName: role,
    thread: { index: instance, count: shared.memory.serveThreads },
    others: shared.sums('serve', '', instance),
    usage: shared.usageBoard(instance),
    otherAccounts: (max) => otherAccounts(ask, max),
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
    lanes: factory.producerRings('serve', instance).map((rings, shard) => {
      const durable = shared.position(shard, POSITION.durable)
      return { ...rings, durable: () => durable.load(), epoch: shared.shard(shard).epoch }
    }),
    sources: pushSources(factory, instance),
    history: database?.history,
    access: accessPlan(runtime),
    readiness: () => readiness(shared, threads),
    metrics: () => metricSources(shared),
    sourceNames: runtime.config.sources.map(({ name }) => name),
    ask,
    clock,
    log,
    counters: shared.counters('serve', '', instance),
    wantBook: (shard, instrument) => wanted[shard]?.resync(0, instrument),
    // They share the address: it is told once.
    ...(instance === 0 ? { onListening: factory.announce } : {}),
  })
  tellsAccounts?.((max) => ({ role, subscribers: agent.accounts(max) }))
  return agent
}

async function otherAccounts(ask: AskAny, max: number): Promise<OtherAccounts> {
  const { status, body } = await ask({ about: 'subscribers', max })
  if (status === 200) return JSON.parse(body) as OtherAccounts
  return { subscribers: [], silent: ['main'] }
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
function pushSources({ options }: AgentFactory, instance: number): PushSource[] {
  const { runtime, shared } = options
  return runtime.config.sources.flatMap(({ type, name, shard }, index) =>
    type === 'http'
      ? [{ name, index, shard, counters: shared.counters('source', name, instance) }]
      : [],
  )
}

/**
 * What is read of PostgreSQL: history for HTTP, and for the feed what the journal has removed. The
 * threads divide its connections, and have one each at least.
 */
function openDatabase({ options }: AgentFactory, instance: number, log: Log) {
  const { runtime, shared, clock } = options
  if (runtime.postgresUrl === '') return undefined
  const { schema, connect_timeout_ms: connectTimeoutMs } = runtime.config.postgres
  const name = historyBreaker(instance)
  const breaker = new Breaker({ name, clock, board: shared.breaker(name) })
  const share = (connections: number) => Math.ceil(connections / shared.memory.serveThreads)
  const url = () => postgresUrl(runtime)
  const settings = { breaker, schema, connectTimeoutMs }
  const queriesMax = share(HISTORY_QUERIES_MAX)
  const urls = () => hostUrls(url())
  const history: History = new PostgresHistory({ ...settings, urls, queriesMax, log })
  const readers = { count: 0 }
  const store = (shard: number, journal: string): FeedStore => {
    const readersMax = share(FEED_STORE_REPLAYS_MAX)
    return new StoredRecords({ ...settings, url, shard, journal, readers, readersMax })
  }
  return { history, store }
}
