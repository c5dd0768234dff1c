// A serve agent: rings to feed, HTTP, POST bodies to frame rings. One thread, an event loop. There
// may be several: they share the port, and of each other know what UsageBoard and counters say.
//
// It reads the tick rings without holding their producers back, and does not wait for the disk:
// what it says live, an epoch later may not know. Sockets wake the event loop by themselves; rings
// and receipts ring the thread's bell. A bug in a handler is thrown out of the next `doWork`.

import type { LatestTable } from '../aggregate/latest-table.ts'
import type { Clock } from '../clock.ts'
import { FEED_BUFFER_SLACK_BYTES, FEED_MESSAGE_BYTES_MAX } from '../limits.ts'
import type { CounterName } from '../ops/counter-catalog.ts'
import { type CounterReader, type CounterSet, CounterSums } from '../ops/counters.ts'
import type { Log } from '../ops/log.ts'
import type { MetricSource } from '../ops/metrics.ts'
import type { Ask } from '../ops/questions.ts'
import type { TickRingLapper } from '../ring/tick-ring.ts'
import { type Agent, IDLE_MS_MAX } from '../threads/agent.ts'
import { TickBatch } from '../tick/batch.ts'
import type { InstrumentTable } from '../tick/instruments.ts'
import { VERSION } from '../version.ts'
import { type AccessPlan, Doors } from './access/doors.ts'
import type { Visitor } from './access/feed-gate.ts'
import { UsageBoard } from './access/usage-board.ts'
import type { SubscriberAccount } from './feed/account.ts'
import { Feed } from './feed/feed.ts'
import type { FeedJournal } from './feed/feed-journal.ts'
import type { ServeThread } from './feed/session.ts'
import type { FeedLimits } from './feed/welcome.ts'
import type { History } from './http/history.ts'
import { LedgerRoutes, type OtherAccounts } from './http/ledger.ts'
import { pageRoutes } from './http/page-files.ts'
import { Push, type PushLane, type PushSource } from './http/push.ts'
import { Records } from './http/records.ts'
import { HttpRouter } from './http/router.ts'
import { type ReadinessReport, routes } from './http/routes.ts'
import type { Server, ServerOptions } from './server.ts'
import { createUwsServer } from './uws-server.ts'

export const FEED_PATH = '/v1/feed'
/** Records of one ring in one read, and reads in one duty cycle. */
const READ_TICKS = 1024
const READS_MAX = 8
/** Of a board that no other thread has: for a few holders. */
const USAGE_SLOTS_ALONE = 4096
const ONLY_THREAD: ServeThread = Object.freeze({ index: 0, count: 1 })
const NO_OTHERS = new CounterSums<CounterName<'serve'>>([])

/** The `serve` section of the configuration. */
export interface ServeSettings extends FeedLimits {
  readonly listen: { readonly host: string; readonly port: number }
  readonly body_bytes_max: number
  readonly query_rows_max: number
}

export interface ServeRing {
  readonly shard: number
  readonly lapper: TickRingLapper
  /** Of this start, in this shard; that of the agent if not given. */
  readonly epoch?: number
  /** undefined: nothing can be replayed. */
  readonly journal?: FeedJournal
  /** File for the places to replay from; '' or undefined = in memory only. */
  readonly checkpointsPath?: string
}

/** Records that were read while those before them are still to be counted. */
interface Ahead {
  readonly firstSeq: number
  readonly batch: TickBatch
}

export interface ServeAgentOptions {
  /** 'serve' if not given. */
  readonly roleName?: string
  /** Which of how many serve threads; the only one if not given. */
  readonly thread?: ServeThread
  /** Counters of the others; they count nothing if not given. */
  readonly others?: CounterReader<CounterName<'serve'>>
  /** What holders and addresses use, over all of them; one of its own if not given. */
  readonly usage?: UsageBoard
  /** Accounts of up to `max` subscribers of the others; there are none if not given. */
  readonly otherAccounts?: (max: number) => Promise<OtherAccounts>
  readonly settings: ServeSettings
  /** Number of this start: no two of the same state directory are equal. */
  readonly epoch: number
  readonly rings: readonly ServeRing[]
  readonly instruments: InstrumentTable
  readonly latest: LatestTable
  /** POST /v1/ticks: the ways in by shard, and the sources of type http. */
  readonly lanes: readonly PushLane[]
  readonly sources: readonly PushSource[]
  /** undefined = PostgreSQL is off. Closed by the agent. */
  readonly history: History | undefined
  /** Who may use it. */
  readonly access: AccessPlan
  readonly readiness: () => ReadinessReport
  readonly metrics: () => readonly MetricSource[]
  /** Of all sources, by index in the configuration. */
  readonly sourceNames: readonly string[]
  /** What only the main thread knows. */
  readonly ask: Ask
  readonly clock: Clock
  readonly log: Log
  readonly counters: CounterSet<CounterName<'serve'>>
  /** The book of an instrument of a shard needs a fresh image. */
  readonly wantBook?: (shard: number, instrument: number) => void
  /** Told the address once it is bound. */
  readonly onListening?: (name: string, address: string) => void
  /** Makes the web server; a simulation has one without sockets. */
  readonly createServer?: (options: ServerOptions<Visitor>) => Server
}

export class ServeAgent implements Agent {
  readonly roleName: string
  readonly #options: ServeAgentOptions
  readonly #feed: Feed
  readonly #push: Push
  readonly #batch = new TickBatch(READ_TICKS)
  readonly #server: Server
  readonly #doors: Doors
  readonly #at: Readonly<Record<'records' | 'lapped', number>>
  /** By shard. */
  readonly #ahead: (Ahead | undefined)[] = []
  #failure: unknown
  #isStopping = false
  #port = 0

  constructor(options: ServeAgentOptions) {
    const { settings, instruments, latest, clock, counters, history } = options
    this.#options = options
    this.roleName = options.roleName ?? 'serve'
    const { thread = ONLY_THREAD, others = NO_OTHERS } = options
    const writesCheckpoints = thread.index === 0
    this.#at = { records: counters.index('records'), lapped: counters.index('records_lapped') }
    const shards = options.rings.map(({ shard, lapper, epoch, journal, checkpointsPath = '' }) => {
      const place = { shard, epoch: epoch ?? options.epoch, nextSeq: lapper.seq }
      return { ...place, journal, checkpointsPath, writesCheckpoints }
    })
    const limits = settings
    this.#feed = new Feed({ ...options, thread, others, shards, limits, version: VERSION })
    this.#push = new Push({ ...options, bodyBytesMax: settings.body_bytes_max })
    const rowsMax = settings.query_rows_max
    const records = new Records({ instruments, latest, history, rowsMax, clock })
    const ledger = new LedgerRoutes({
      ask: options.ask,
      sources: options.sourceNames,
      accounts: (max) => this.#feed.accounts(max),
      otherAccounts:
        options.otherAccounts ?? (() => Promise.resolve({ subscribers: [], silent: [] })),
    })
    const router = new HttpRouter([
      ...routes({ ...options, records, push: this.#push, ledger }),
      ...pageRoutes(),
    ])
    const { createServer = createUwsServer } = options
    this.#doors = new Doors({
      plan: options.access,
      feed: this.#feed,
      http: (request, reply) => router.handle(request, reply),
      bufferBytes: settings.subscriber_buffer_bytes,
      clock,
      log: options.log,
      counters,
      others,
      usage: options.usage ?? new UsageBoard(UsageBoard.create(1, USAGE_SLOTS_ALONE), 1, 0, ''),
    })
    // Before the server is made: it needs the certificate.
    this.#doors.start()
    this.#server = createServer(this.#serverOptions())
  }

  /** What up to `max` of its subscribers were owed. */
  accounts(max: number): SubscriberAccount[] {
    return this.#feed.accounts(max)
  }

  /** The bound port; 0 before `onStart`. */
  get port(): number {
    return this.#port
  }

  onStart(): void {
    const { settings, onListening } = this.#options
    const { host, port } = settings.listen
    this.#port = this.#server.listen(host, port)
    const scheme = this.#options.access.tls === undefined ? 'http' : 'https'
    const address = `${scheme}://${host.includes(':') ? `[${host}]` : host}:${this.#port}`
    onListening?.('http', address)
  }

  doWork(): number {
    if (this.#failure !== undefined) throw this.#failure
    this.#doors.turn(this.#server)
    return this.#push.doWork() + this.#readRings() + this.#feed.turn()
  }

  drain(): boolean {
    if (!this.#isStopping) {
      this.#isStopping = true
      this.#server.stopListening()
    }
    const isPushed = this.#push.drain()
    const isRead = this.#options.rings.every(({ shard, lapper }) => {
      return lapper.lag() === 0 && this.#ahead[shard] === undefined
    })
    if (!isPushed || !isRead) return false
    this.#feed.flush()
    this.#feed.closeAll()
    this.#doors.feed.closePending()
    return true
  }

  async onClose(): Promise<void> {
    this.#feed.closeAll()
    this.#server.close()
    await this.#doors.close()
    await this.#options.history?.close()
  }

  idleMsMax(): number {
    const { settings, counters } = this.#options
    const hasSubscribers = counters.get('subscribers') > 0
    const idleMs = hasSubscribers ? Math.min(this.#feed.idleMs(), IDLE_MS_MAX) : IDLE_MS_MAX
    return settings.flush_ms === 0 ? idleMs : Math.min(settings.flush_ms, idleMs)
  }

  #serverOptions(): ServerOptions<Visitor> {
    const { settings, counters, log } = this.#options
    const { access, feed, http } = this.#doors
    const { tls } = this.#options.access
    return {
      feedPath: FEED_PATH,
      feed,
      http: (request, reply) => {
        counters.add('http_requests')
        http.handle(request, reply)
      },
      admit: (visit, answer) => feed.admit(visit, answer),
      connects: (address, count) => access.connects(address, count),
      onConnections: (count) => counters.set('connections', count),
      ...(tls === undefined ? {} : { tls }),
      onAnswer: (status) => {
        if (status >= 400) counters.add('http_errors')
      },
      messageBytesMax: FEED_MESSAGE_BYTES_MAX,
      bufferBytesMax: settings.subscriber_buffer_bytes + FEED_BUFFER_SLACK_BYTES,
      onFailure: (error) => {
        if (this.#failure === undefined) log.error({ error }, 'a handler threw: a bug of ours')
        this.#failure ??= error
      },
    }
  }

  #readRings(): number {
    const { rings } = this.#options
    let work = 0
    for (const ring of rings) {
      for (let read = 0; read < READS_MAX; read++) {
        const { shard } = ring
        const ahead = this.#ahead[shard]
        if (ahead !== undefined) {
          // What the ring no longer has is counted first: the sequences of streams hold.
          if (!this.#feed.catchUp(shard, ahead.firstSeq)) break
          this.#ahead[shard] = undefined
          if (ahead.batch.count > 0) this.#feed.take(shard, ahead.batch)
        }
        const count = this.#read(ring)
        if (count === 0) break
        work += count
      }
    }
    return work
  }

  /** One read of a ring. Returns the records. */
  #read({ shard, lapper }: ServeRing): number {
    const { values } = this.#options.counters
    const batch = this.#batch
    const expected = this.#feed.seqOf(shard)
    const first = lapper.read(batch)
    const { count } = batch
    values[this.#at.records] = (values[this.#at.records] as number) + count
    if (first > expected) {
      values[this.#at.lapped] = (values[this.#at.lapped] as number) + first - expected
      const copy = new TickBatch(count)
      copy.bytes.set(batch.bytes.subarray(0, copy.bytes.length))
      copy.count = count
      this.#ahead[shard] = { firstSeq: first, batch: copy }
    } else if (count > 0) this.#feed.take(shard, batch)
    return count
  }
}
