// What a fault run stands on: a disk, a PostgreSQL, a Redis, ways that can be cut, and the daemon.
//
//   pushers, subscribers ─[proxy]→ daemon ─[proxy]→ PostgreSQL, Redis
//
// All ports stay the same, whatever is started anew.

import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { listSegments } from '../../src/journal/segment-files.ts'
import type { Random } from '../../src/source/random.ts'
import { freePort } from '../../src/storage/free-port.ts'
import { journalDirectory } from '../../src/threads/open-shard.ts'
import { CuttingProxy } from '../support/cutting-proxy.ts'
import { DaemonProcess } from '../support/daemon.ts'
import { RedisProcess } from '../support/redis-fleet.ts'
import { Database } from './database.ts'
import { FaultDisk } from './disk.ts'
import { randomOf } from './random-of.ts'

const HOST = '127.0.0.1'
const MIB = 2 ** 20
const SYNC_MS_MAX = 60
const START_MS_MAX = 90_000
const STARTED_AGAIN_MS = 250
/** As many as a busy daemon may remove while a database is put back. */
const SPARE_SEGMENTS = 16

/** A fault that the daemon is started with: see src/threads/test-faults.ts. */
export interface ArmedFault {
  readonly kind: 'agent-throw' | 'agent-hang' | 'thread-cut' | 'clock-step'
  readonly entry: string
  readonly afterMs: number
}

export interface SiteOptions {
  readonly directory: string
  readonly seed: number
  /** Bug that the daemon has on purpose. */
  readonly planted: string | undefined
  /** Arms faults at a start of the daemon. */
  readonly arm: (random: Random) => readonly ArmedFault[]
  readonly onViolation: (text: string) => void
  /** Its disk is an ordinary one, and its journal of the size that a daemon has by default. */
  readonly isLarge?: boolean
}

interface Proxies {
  readonly tcp: CuttingProxy
  readonly http: CuttingProxy
  readonly feed: CuttingProxy
  readonly postgres: CuttingProxy
  readonly redis: CuttingProxy
}

export class Site {
  readonly disk: FaultDisk
  readonly database: Database
  readonly redis: RedisProcess
  readonly proxies: Proxies
  /** From start to serving, milliseconds. */
  readonly startsMs: number[] = []
  /** Armed faults that came due. */
  readonly armedDone: ArmedFault['kind'][] = []
  readonly httpPort: number
  readonly stateDir: string
  readonly #tcpPort: number
  readonly #options: SiteOptions
  #daemon: DaemonProcess | undefined
  #armed: readonly ArmedFault[] = []
  #startedMs = 0
  /** Starts so far. */
  #spawns = 0
  /** Whoever kills, stops or starts the daemon waits for who does already. */
  #daemonTurn: Promise<unknown> = Promise.resolve()

  private constructor(options: SiteOptions, parts: SiteParts) {
    this.#options = options
    this.disk = parts.disk
    this.database = parts.database
    this.redis = parts.redis
    this.proxies = parts.proxies
    this.httpPort = parts.httpPort
    this.#tcpPort = parts.tcpPort
    this.stateDir = join(parts.disk.directory, 'state')
  }

  static async open(options: SiteOptions): Promise<Site> {
    const disk = new FaultDisk(join(options.directory, 'disk'), options.isLarge)
    const database = await Database.start(join(options.directory, 'postgres'))
    const [redisPort, tcpPort, httpPort] = [
      await freePort(HOST),
      await freePort(HOST),
      await freePort(HOST),
    ]
    const redis = new RedisProcess(join(options.directory, 'redis'), redisPort, [])
    await redis.start()
    const proxies = {
      tcp: await CuttingProxy.start(tcpPort),
      http: await CuttingProxy.start(httpPort),
      feed: await CuttingProxy.start(httpPort),
      postgres: await CuttingProxy.start(database.port),
      redis: await CuttingProxy.start(redisPort),
    }
    const parts = { disk, database, redis, proxies, tcpPort, httpPort }
    return new Site(options, parts)
  }

  get http(): string {
    return `http://${HOST}:${this.httpPort}`
  }

  get daemon(): DaemonProcess {
    if (this.#daemon === undefined) throw new Error('the daemon is not started')
    return this.#daemon
  }

  /**
   * Whether the journals go back to these sequences, by shard, with enough before them that they
   * still do when the database is there again.
   */
  journalsReach(sequences: ReadonlyMap<number, number>): boolean {
    return [...sequences].every(([shard, seq]) => {
      const segments = listSegments(journalDirectory(join(this.stateDir, 'journal'), shard))
      const spare = Math.min(SPARE_SEGMENTS, Math.floor(segments.length / 2))
      return (segments[spare] ?? 0) <= seq
    })
  }

  /** What the daemon has said since its last start. */
  output(): string {
    return this.#daemon?.output() ?? ''
  }

  /** Does something to the daemon while nobody else does. */
  async withDaemon(act: () => Promise<void>): Promise<void> {
    const turn = this.#daemonTurn.then(act)
    this.#daemonTurn = turn.catch(() => {})
    await turn
  }

  /**
   * Starts the daemon and waits until it serves. Where it finds no room on its disk it says so and
   * ends; then it is started again, as a service manager would.
   */
  async start(): Promise<void> {
    const deadlineMs = performance.now() + START_MS_MAX
    for (;;) {
      const daemon = this.spawn()
      const beganMs = performance.now()
      const outcome = await Promise.race([
        daemon.waitFor(({ msg }) => msg === 'ready', START_MS_MAX),
        daemon.exited(),
      ])
      if (typeof outcome !== 'number') {
        this.startsMs.push(performance.now() - beganMs)
        return
      }
      if (!this.#foundNoRoom(daemon) || beganMs > deadlineMs) {
        const armed = this.#armed.map(({ entry }) => entry).join()
        const what = `the daemon, armed with '${armed}', ended with ${outcome} at its start`
        throw new Error(`${what}: ${daemon.output()}`)
      }
      await delay(STARTED_AGAIN_MS)
    }
  }

  /** Whether it is right that it ended: its disk was full before it served. */
  #foundNoRoom(daemon: DaemonProcess): boolean {
    const said = daemon.output()
    if (said.includes('"msg":"ready"') || !said.includes('ENOSPC')) return false
    return this.disk.wasFullSince(this.#startedMs)
  }

  /** Starts the daemon. */
  spawn(): DaemonProcess {
    const { planted, arm, seed } = this.#options
    const random = randomOf(seed, 'start', this.#spawns++)
    this.#armed = arm(random)
    const entries = this.#armed.map(({ entry }) => entry)
    if (planted !== undefined) entries.push(`plant:${planted}`)
    const env: Record<string, string> =
      entries.length === 0
        ? {}
        : { TICKD_TEST_FAULTS: entries.join(','), TICKD_TEST_FAULTS_ALLOWED: 'yes' }
    const daemon = DaemonProcess.spawn({
      stateDir: this.stateDir,
      config: this.#config(random),
      env,
    })
    this.#daemon = daemon
    this.#startedMs = performance.now()
    void daemon.exited().then((code) => {
      // Nobody has ended it who would have said so.
      if (this.#daemon !== daemon || this.#foundNoRoom(daemon)) return
      const last = daemon.output().split('\n').slice(-8).join('\n')
      this.#options.onViolation(`the daemon ended by itself with ${code}: ${last}`)
    })
    return daemon
  }

  /** kill -9; returns when it is gone. */
  async kill(): Promise<void> {
    const daemon = this.#release()
    await daemon?.kill()
  }

  /** SIGTERM; returns when it is gone. Exit code 1 says that not all was drained. */
  async terminate(): Promise<void> {
    const daemon = this.#release()
    const code = (await daemon?.stop()) ?? 0
    if (code > 1) this.#options.onViolation(`the daemon ended with ${code} on SIGTERM`)
  }

  /** At the end of this process: PostgreSQL ends by itself, when nobody owns it. */
  killAll(): void {
    for (const pid of [this.#daemon?.pid ?? 0, this.redis.pid]) {
      if (pid > 0) process.kill(pid, 'SIGKILL')
    }
    this.#daemon = undefined
  }

  /** Ends everything, without grace for the daemon. */
  async close(): Promise<void> {
    await this.kill()
    for (const proxy of Object.values(this.proxies)) await proxy.stop()
    await this.redis.kill()
    await this.database.stop()
  }

  #release(): DaemonProcess | undefined {
    const daemon = this.#daemon
    this.#daemon = undefined
    const livedMs = performance.now() - this.#startedMs
    for (const { kind, afterMs } of this.#armed) {
      if (daemon !== undefined && afterMs < livedMs) this.armedDone.push(kind)
    }
    this.#armed = []
    return daemon
  }

  #config(random: Random): Record<string, unknown> {
    const { isLarge = false } = this.#options
    return {
      shards: 2,
      drain_ms: 3000,
      sources: [
        { name: 'tcp', type: 'tcp', shard: 0, listen: { port: this.#tcpPort } },
        { name: 'http', type: 'http', shard: 1 },
        { name: 'synthetic', type: 'synthetic', shard: 1, rate: 500 },
      ],
      // What is sent again must be known by its batch, and by nothing else.
      validate: { duplicate_window: 0 },
      journal: isLarge ? {} : smallJournal(random),
      postgres: {
        mode: 'external',
        url: this.database.urlAt(this.proxies.postgres.port),
        batch_rows: 1 + random.below(8000),
      },
      redis: {
        mode: 'external',
        url: `redis://${HOST}:${this.proxies.redis.port}`,
        timeout_ms: 1000,
      },
      serve: {
        listen: { port: this.httpPort },
        subscriber_buffer_bytes: 65_536,
        heartbeat_ms: 200,
      },
      supervise: { hang_ms: 1500, disk_hang_ms: 3000 },
      admin: { enabled: false },
    }
  }
}

function smallJournal(random: Random): Record<string, number> {
  return {
    segment_bytes: MIB / 2,
    // What is not yet durable, and must not be acknowledged, is much or little.
    sync_interval_ms: random.below(SYNC_MS_MAX),
    retain_ms: 60_000,
    retain_bytes: 256 * MIB,
    bytes_max: 512 * MIB,
    // Ingest is held in time, or when the disk itself says no.
    free_bytes_min: random.below(2) * MIB,
  }
}

interface SiteParts {
  readonly disk: FaultDisk
  readonly database: Database
  readonly redis: RedisProcess
  readonly proxies: Proxies
  readonly tcpPort: number
  readonly httpPort: number
}
