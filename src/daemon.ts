// The daemon as a whole: what is started, in which order, and how it is stopped again.
//
//   (workers made: they load) → state directory, lock → listeners free? → PostgreSQL, Redis
//   → journals recovered → shared memory → threads begin → agents, readers before writers. Stopping
//   undoes it from the far end. If any step fails, all before it is undone: nothing is left
//   half-started.

import { randomUUID } from 'node:crypto'
import { type AddressInfo, createServer } from 'node:net'
import { SystemClock } from './clock.ts'
import { resolveStateDir } from './config/load.ts'
import type { Config } from './config/schema.ts'
import { StateLock } from './config/state-lock.ts'
import { errorText, TickdError } from './errors.ts'
import { idText } from './journal/identity.ts'
import { LEDGER_EVERY_MS, type Ledger } from './ledger/ledger.ts'
import { INSTRUMENTS_MAX, SEQ_MAX, STORE_START_MS_MAX } from './limits.ts'
import { activeAddon, systemAddon } from './native/addon.ts'
import { AdminListener } from './ops/admin.ts'
import { Incidents } from './ops/incidents.ts'
import { createLog, type Log, type LogFormat } from './ops/log.ts'
import { Profiler } from './ops/profiling/profiler.ts'
import { METER_MS, ThreadMeter } from './ops/profiling/thread-meter.ts'
import { MAIN_THREAD } from './ops/profiling/thread-target.ts'
import { SdNotify } from './ops/sd-notify.ts'
import { StatusLine } from './ops/status-line.ts'
import { POSITION } from './pipeline.ts'
import { askStored, NOTHING_STORED, type StoredState } from './storage/postgres/positions.ts'
import { type PostgresServer, startPostgres } from './storage/postgres/server.ts'
import { type RedisServer, startRedis } from './storage/redis/server.ts'
import type { EarlyWorkers } from './threads/early-workers.ts'
import { LettersDesk } from './threads/letters-desk.ts'
import { lettersRoute } from './threads/letters-http.ts'
import { makeLedger } from './threads/make-ledger.ts'
import { journalOrigin, openShard, type ShardStart, tellDamage } from './threads/open-shard.ts'
import type { ThreadPlan } from './threads/plan.ts'
import { clockFor } from './threads/planted-bugs.ts'
import { answerQuestion } from './threads/questions.ts'
import { restoreInstruments } from './threads/restore-instruments.ts'
import { type Runtime, type StatePaths, statePaths } from './threads/runtime.ts'
import { createSharedMemory, Shared } from './threads/shared-memory.ts'
import { statusTotals } from './threads/status-totals.ts'
import { Supervisor } from './threads/supervisor.ts'
import { testFaults } from './threads/test-faults.ts'
import { undrained } from './threads/undrained.ts'
import { InstrumentLog } from './tick/instrument-log.ts'
import { VERSION } from './version.ts'

const STATUS_MS = 1000
/** Longest wait for the message that tells a bound address. */
const LISTENING_MS_MAX = 1000

export class Daemon {
  readonly #config: Config
  readonly #early: EarlyWorkers
  readonly #log: Log
  readonly #logFormat: LogFormat
  readonly #fatal = Promise.withResolvers<never>()
  readonly #listeners = new Map<string, string>()
  /** Ports that were free at start, of listeners that may take any; by name. */
  readonly #ports = new Map<string, number>()
  readonly #clock = clockFor(testFaults(process.env), new SystemClock())
  #lock: StateLock | undefined
  #incidents: Incidents | undefined
  #postgres: PostgresServer | undefined
  #redis: RedisServer | undefined
  #supervisor: Supervisor | undefined
  #shared: Shared | undefined
  #profiler: Profiler | undefined
  #letters: LettersDesk | undefined
  #admin: AdminListener | undefined
  #status: NodeJS.Timeout | undefined
  #meter: NodeJS.Timeout | undefined
  readonly #systemd: SdNotify
  #ledger: Ledger | undefined
  #ledgerTimer: NodeJS.Timeout | undefined

  /** `early`: of the threads that the configuration says; the daemon ends them. */
  constructor(config: Config, early: EarlyWorkers) {
    this.#config = config
    this.#early = early
    const auto = process.stderr.isTTY ? 'text' : 'json'
    this.#logFormat = config.log.format === 'auto' ? auto : config.log.format
    this.#log = createLog('main', config.log.level, this.#logFormat)
    const send = systemAddon()?.notify
    this.#systemd = new SdNotify({ env: process.env, log: this.#log, send })
    this.#fatal.promise.catch(() => {})
  }

  /** Rejects with the reason when the daemon cannot go on. Never resolves. */
  get fatal(): Promise<never> {
    return this.#fatal.promise
  }

  /** Resolves when all agents run. Throws a TickdError; `stop` must follow in either case. */
  async start(): Promise<void> {
    // Before anything is begun: kernels that are asked for and do not load are an error.
    const kernels = activeAddon()
    const paths = statePaths(resolveStateDir(this.#config))
    this.#lock = StateLock.acquire(paths.state)
    this.#incidents = new Incidents({
      path: paths.incidents,
      clock: this.#clock,
      log: this.#log,
    })
    this.#log.info(
      {
        version: VERSION,
        state: paths.state,
        pid: process.pid,
        kernels: kernels.name,
        kernels_why: kernels.why,
      },
      'starting',
    )
    await this.#checkListeners()
    await this.#startStores(paths)
    const runtime: Runtime = {
      config: this.#config,
      paths,
      logFormat: this.#logFormat,
      postgresUrl: this.#postgres?.url ?? '',
      redisTarget: this.#redis?.target,
      session: randomUUID(),
    }
    await this.#startThreads(runtime, await this.#openJournals(paths))
    await this.#untilListening()
    this.#announce(runtime)
    this.#systemd.ready(
      () => this.#supervisor?.isHealthy(performance.now()) ?? false,
      () => this.#supervisor?.status() ?? '',
    )
  }

  /** Stops what was started, in order. Returns the roles that could not be drained in time. */
  async stop(): Promise<string[]> {
    clearInterval(this.#status)
    clearInterval(this.#meter)
    const startedMs = performance.now()
    this.#systemd.stopping(this.#config.drain_ms)
    if (this.#supervisor !== undefined) this.#log.info({}, 'stopping: draining in order')
    // Both have to do with the sources' way, which is drained next.
    await this.#letters?.close()
    await this.#admin?.stop()
    const late = (await this.#supervisor?.stop(this.#config.drain_ms)) ?? []
    if (late.length > 0) {
      const left = this.#shared === undefined ? {} : undrained(this.#shared)
      this.#log.error({ late, ...left }, 'not drained in time')
    }
    clearInterval(this.#ledgerTimer)
    this.#ledger?.close()
    await this.#early.end()
    await this.#redis?.stop()
    await this.#postgres?.stop()
    this.#lock?.release()
    if (this.#supervisor !== undefined) {
      const ms = Math.round(performance.now() - startedMs)
      this.#log.info({ ms, drained: late.length === 0 }, 'stopped')
    }
    return late
  }

  /** Threads that outlive `stop`, as they are in a system call: the process must be killed. */
  get stuckThreads(): readonly string[] {
    return this.#supervisor?.stuck ?? []
  }

  /** Binds each listener's address for a moment: a clear error before anything else is started. */
  async #checkListeners(): Promise<void> {
    const wanted: [option: string, host: string, port: number][] = [
      ['serve.listen', this.#config.serve.listen.host, this.#config.serve.listen.port],
    ]
    const { admin } = this.#config
    if (admin.enabled) wanted.push(['admin.listen', admin.listen.host, admin.listen.port])
    for (const source of this.#config.sources) {
      if (source.type !== 'tcp') continue
      wanted.push([`sources: ${source.name}: listen`, source.listen.host, source.listen.port])
    }
    for (const [option, host, port] of wanted) await probe(option, host, port)
  }

  /** Both at once: a start waits for the slower one only. What was started is known to `stop`. */
  async #startStores(paths: StatePaths): Promise<void> {
    const postgres = startPostgres(this.#config.postgres, paths.postgres, this.#log)
    const redis = startRedis(this.#config.redis, paths.redis, this.#log)
    await Promise.allSettled([
      postgres.then((server) => {
        this.#postgres = server
      }),
      redis.then((server) => {
        this.#redis = server
      }),
    ])
    await postgres
    await redis
  }

  /** Opens each shard's journal, once the database has been asked whose records it has. */
  async #openJournals(paths: StatePaths): Promise<ShardStart[]> {
    const stored = await this.#askStored()
    this.#clock.read()
    const nowSec = this.#clock.sec
    let isLost = false
    const starts = Array.from({ length: this.#config.shards }, (_, shard) => {
      const answer = stored === undefined ? undefined : { position: stored.positions.get(shard) }
      const origin = journalOrigin(paths.journal, shard, answer, nowSec, (report) => {
        isLost = true
        this.#incidents?.raise(report)
      })
      const start = openShard(paths.journal, shard, this.#config.journal, { origin })
      const { nextSeq, oldestSeq, epoch, truncatedBytes, batchCount, identity } = start
      const journal = idText(identity.journalId)
      const fields = { shard, journal, epoch, nextSeq, oldestSeq, truncatedBytes, batchCount }
      this.#log.info(fields, 'journal open')
      tellDamage(shard, start.damage, (report) => this.#incidents?.raise(report))
      return start
    })
    if (isLost) restoreInstruments(paths.instruments, stored?.instruments ?? [])
    return starts
  }

  /** Nothing where PostgreSQL is off; undefined where it does not answer now. */
  async #askStored(): Promise<StoredState | undefined> {
    if (this.#postgres === undefined) return NOTHING_STORED
    const { schema, connect_timeout_ms: timeoutMs } = this.#config.postgres
    try {
      return await askStored(this.#postgres.url, schema, Math.min(timeoutMs, STORE_START_MS_MAX))
    } catch (error) {
      this.#log.warn({ error: errorText(error) }, 'PostgreSQL does not say what it has stored')
      return undefined
    }
  }

  async #startThreads(runtime: Runtime, starts: readonly ShardStart[]): Promise<void> {
    const { threads } = this.#early
    const memory = createSharedMemory(this.#config, threads, starts)
    new InstrumentLog(runtime.paths.instruments).load(memory.instruments, INSTRUMENTS_MAX)
    const shared = new Shared(memory)
    this.#shared = shared
    starts.forEach((_, shard) => {
      // Until PostgreSQL's own position is known it holds back every segment; when off, none.
      shared.position(shard, POSITION.postgres).store(this.#postgres === undefined ? SEQ_MAX : 0)
    })
    const incidents = this.#incidents as Incidents
    incidents.countIn(shared.counters('incidents'))
    const ledger = this.#openLedger(runtime, shared, incidents)
    const { host, port } = this.#config.serve.listen
    // Known from the start, so that a thread made anew serves where the first one did.
    if (port === 0) this.#ports.set('http', await probe('serve.listen', host, port))
    this.#supervisor = new Supervisor({
      runtime,
      threads,
      memory,
      log: this.#log,
      onFatal: (error) => this.#fatal.reject(error),
      onListening: (name, address) => this.#onListening(name, address),
      onIncident: (report) => incidents.raise(report),
      ports: this.#ports,
      early: this.#early,
      isProfiled: (thread) => this.#profiler?.isBusy(thread) ?? false,
      onQuestion: (question) => answerQuestion(question, { incidents, ledger }),
    })
    await this.#supervisor.start()
    this.#startMeter(shared)
    this.#letters = new LettersDesk({ runtime, threads, memory }, this.#log)
    if (this.#config.admin.enabled) await this.#startAdmin(threads, this.#letters)
    if (this.#logFormat === 'text') this.#startStatus(shared)
  }

  #openLedger(runtime: Runtime, shared: Shared, incidents: Incidents): Ledger {
    const ledger = makeLedger({
      config: this.#config,
      shared,
      directory: runtime.paths.ledger,
      hasRedis: runtime.redisTarget !== undefined,
      clock: this.#clock,
      log: this.#log,
      raise: (report) => incidents.raise(report),
    })
    ledger.open()
    this.#ledger = ledger
    this.#ledgerTimer = setInterval(() => ledger.turn(), LEDGER_EVERY_MS)
    return ledger
  }

  /** The workers meter themselves in their loops; main has no loop of its own. */
  #startMeter(shared: Shared): void {
    const counters = shared.counters('thread', MAIN_THREAD.name)
    const meter = new ThreadMeter(counters, { blocking: false, nowMs: performance.now() })
    this.#meter = setInterval(() => meter.turn(performance.now()), METER_MS)
  }

  async #startAdmin(threads: readonly ThreadPlan[], desk: LettersDesk): Promise<void> {
    const targets = threads.map(({ name, agents, blocking }) => ({
      name,
      roles: agents.map(({ roleName }) => roleName),
      waits: blocking ? ('blocking' as const) : ('event-loop' as const),
    }))
    const profiler = new Profiler(targets)
    this.#profiler = profiler
    const { listen } = this.#config.admin
    const routes = [lettersRoute((call) => desk.call(call))]
    this.#admin = new AdminListener({ listen, profiler, routes, log: this.#log })
    this.#onListening('admin', `http://${await this.#admin.start()}`)
  }

  #onListening(name: string, address: string): void {
    this.#listeners.set(name, address)
    this.#log.info({ name, address }, 'listening')
  }

  /** Threads tell their addresses by message, which may come after the word that they run. */
  async #untilListening(): Promise<void> {
    const names = this.#config.sources.flatMap(({ type, name }) => (type === 'tcp' ? [name] : []))
    const deadline = performance.now() + LISTENING_MS_MAX
    while (!['http', ...names].every((name) => this.#listeners.has(name))) {
      if (performance.now() > deadline) return
      await new Promise((resolve) => setTimeout(resolve, 1))
    }
  }

  #announce(runtime: Runtime): void {
    const http = this.#listeners.get('http') ?? ''
    const where = {
      http,
      feed: `${http.replace('http', 'ws')}/v1/feed`,
      postgres: this.#postgres?.printUrl ?? '',
      redis: this.#redis?.target.show ?? '',
      redis_cli: this.#redis?.cliArguments ?? '',
      state: runtime.paths.state,
    }
    if (this.#redis === undefined && this.#config.redis.mode === 'auto') {
      this.#log.warn({}, 'no redis-server binary found: the cache of latest values is off')
    }
    this.#log.info(where, 'ready')
    if (this.#logFormat === 'text') process.stderr.write(banner(where, this.#listeners))
  }

  #startStatus(shared: Shared): void {
    const line = new StatusLine()
    this.#status = setInterval(() => {
      const text = line.next(statusTotals(this.#config, shared), performance.now())
      if (text !== '') process.stderr.write(`${new Date().toTimeString().slice(0, 8)} ${text}\n`)
    }, STATUS_MS)
  }
}

function banner(
  where: Readonly<Record<'http' | 'feed' | 'postgres' | 'redis_cli' | 'state', string>>,
  listeners: ReadonlyMap<string, string>,
): string {
  const rows: [string, string][] = [
    ['status page', where.http],
    ['feed', where.feed],
    ['PostgreSQL', where.postgres === '' ? 'off' : `psql '${where.postgres}'`],
    ['Redis', where.redis_cli === '' ? 'off' : `redis-cli ${where.redis_cli}`],
  ]
  for (const [name, address] of listeners) if (name !== 'http') rows.push([name, address])
  rows.push(['state', where.state], ['stop', 'Ctrl-C'])
  return `\n${rows.map(([label, text]) => `  ${label.padEnd(14)}${text}`).join('\n')}\n\n`
}

/** Returns the port: a free one where it is 0. */
async function probe(option: string, host: string, port: number): Promise<number> {
  const server = createServer()
  const bound = Promise.withResolvers<void>()
  server.once('error', bound.reject)
  server.listen({ host, port, exclusive: true }, bound.resolve)
  try {
    await bound.promise
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? ''
    const why = code === 'EADDRINUSE' ? 'is already in use' : `cannot be bound (${code})`
    throw new TickdError(
      'ADDRESS_IN_USE',
      `${option}: ${host}:${port} ${why}; stop what uses it or choose another address`,
      { cause: error },
    )
  }
  const address = server.address() as AddressInfo
  await new Promise((resolve) => server.close(resolve))
  return address.port
}
