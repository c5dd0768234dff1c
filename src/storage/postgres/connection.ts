// One connection to PostgreSQL, to a server that takes writes: opened with a time-out, closed at
// once if need be.
//
// Of several hosts, all are asked at once, and the one that takes writes is taken. Two may, when an
// old primary has come back (or was never gone) after its standby was promoted: what is written to
// it will be thrown away. A promotion begins a new timeline, so the host of the highest is taken,
// and none of a lower one than we have stored on.

import { Socket } from 'node:net'
import pg from 'pg'
import { errorText, TickdError } from '../../errors.ts'
import { MIB } from '../../limits.ts'
import { systemAddon } from '../../native/addon.ts'
import { hostOf, hostUrls, withoutPassword } from './config.ts'
import { explain } from './explain.ts'

const VERSION_MIN = 140_000
/** Some 20,000 rows. The system may allow less. */
const UNIX_SEND_BUFFER_BYTES = 2 * MIB
const KEEP_ALIVE_MS = 10_000
/** Once a host takes writes, the others have so long to say that they do, too. */
const OTHER_HOSTS_MS = 500

export interface ConnectOptions {
  url: string
  /** Shown in pg_stat_activity. */
  name: string
  /** Of each host. */
  timeoutMs: number
  /** Where was stored before: a host of its past is refused. Only with several hosts. */
  after?: Lineage | undefined
  /** Called once when an open connection is lost. */
  onLost?: (error: Error) => void
}

/** Which cluster a server is of, and how many promotions it has seen. */
export interface Lineage {
  /** The cluster's system identifier. */
  readonly system: string
  readonly timeline: number
}

export interface Connection {
  readonly client: pg.Client
  /** Only of an address with several hosts, and of servers that tell. */
  readonly lineage?: Lineage | undefined
  /** `host:port`. */
  readonly host?: string
  /** Says goodbye, without waiting for the other side. Nothing may be under way. */
  close(): void
  /** Cuts the connection at once, whatever is under way. */
  destroy(): void
}

/** Throws TickdError POSTGRES_UNREACHABLE, _REFUSED, _READ_ONLY or _CONFLICT. */
export async function connect(options: ConnectOptions): Promise<Connection> {
  const urls = hostUrls(options.url)
  if (urls.length === 1) return await connectHost(options)
  const opened: Connection[] = []
  const errors: (TickdError | undefined)[] = []
  const attempts = urls.map(async (url, place) => {
    try {
      opened[place] = await connectOneOfSeveral({ ...options, url })
    } catch (thrown) {
      errors[place] = explain(thrown, url)
    }
    return opened[place]
  })
  const first = await firstOf(attempts)
  if (first !== undefined) await Promise.race([Promise.all(attempts), pause(OTHER_HOSTS_MS)])
  const best = opened
    .filter((one) => one !== undefined)
    .reduce((a, b) => ((b.lineage?.timeline ?? 0) > (a?.lineage?.timeline ?? 0) ? b : a), first)
  // One that answers later is closed, too.
  for (const attempt of attempts) void attempt.then((other) => other !== best && other?.close())
  if (best === undefined) throw noHost(options.url, errors)
  return best
}

async function connectOneOfSeveral(options: ConnectOptions): Promise<Connection> {
  const connection = await connectHost(options)
  const lineage = await lineageOf(connection.client)
  const { after } = options
  if (after === undefined || lineage?.system !== after.system || lineage.timeline >= after.timeline)
    return { ...connection, lineage }
  connection.close()
  throw new TickdError(
    'POSTGRES_CONFLICT',
    `PostgreSQL at ${withoutPassword(options.url)} is an old primary, on timeline ` +
      `${lineage.timeline}, and records were stored on timeline ${after.timeline} of the same ` +
      'cluster: it is left alone; make it a standby of the new one (pg_rewind)',
    { canRetry: true },
  )
}

async function connectHost(options: ConnectOptions): Promise<Connection> {
  const { url, name, timeoutMs } = options
  const socket = new Socket()
  const client = newClient(url, name, timeoutMs, socket)
  // A socket's error comes with one from the client; unheard it would end the process.
  client.on('error', (error) => options.onLost?.(error))
  const close = () => {
    client.end().catch(() => {})
    socket.destroySoon()
  }
  try {
    await client.connect()
    deepen(socket)
    await withTimeout(checkServer(client, url), timeoutMs)
  } catch (thrown) {
    socket.destroy()
    throw explain(thrown, url)
  }
  return { client, host: hostOf(url), close, destroy: () => void socket.destroy() }
}

/** Connects once. Returns the server's version, or throws as `connect` does. */
export async function checkPostgres(url: string, timeoutMs = 10_000): Promise<string> {
  const { client, close } = await connect({ url, name: 'tickd check', timeoutMs })
  try {
    const { rows } = await client.query('SHOW server_version')
    return String(rows[0]?.server_version).split(' ')[0] as string
  } catch (thrown) {
    throw explain(thrown, url)
  } finally {
    close()
  }
}

function newClient(url: string, name: string, timeoutMs: number, socket: Socket): pg.Client {
  try {
    return new pg.Client({
      connectionString: url,
      application_name: name,
      connectionTimeoutMillis: timeoutMs,
      keepAlive: true,
      keepAliveInitialDelayMillis: KEEP_ALIVE_MS,
      stream: () => socket,
    })
  } catch (cause) {
    const text = `postgres.url cannot be used: ${errorText(cause)}`
    throw new TickdError('CONFIG_INVALID', text, { cause })
  }
}

async function checkServer(client: pg.Client, url: string): Promise<void> {
  const { rows } = await client.query(
    `SELECT current_setting('server_version_num')::int4 AS version,
       pg_is_in_recovery() AS standby, current_setting('transaction_read_only') AS read_only`,
  )
  const { version, standby, read_only } = rows[0] as Record<string, unknown>
  const where = `PostgreSQL at ${withoutPassword(url)}`
  if (Number(version) < VERSION_MIN) {
    throw new TickdError('POSTGRES_REFUSED', `${where} is too old: version 14 or later is needed`)
  }
  if (read_only !== 'on') return
  throw new TickdError(
    'POSTGRES_READ_ONLY',
    `${where} takes no writes: it is ${standby === true ? 'a standby' : 'set to read-only'}; ` +
      'name the server that does in postgres.url, or all of them (host1,host2)',
    { canRetry: true },
  )
}

/**
 * A unix socket takes 200 KiB, which PostgreSQL has read in two milliseconds: it would wait for our
 * thread to wake, time and again. (TCP's buffers grow by themselves.)
 */
function deepen(socket: Socket): void {
  if (socket.remoteAddress !== undefined) return
  const { fd = -1 } = (socket as unknown as { _handle: { fd?: number } | null })._handle ?? {}
  if (fd >= 0) systemAddon()?.setSendBuffer(fd, UNIX_SEND_BUFFER_BYTES)
}

/** undefined where the server does not tell: not every PostgreSQL is the community's. */
async function lineageOf(client: pg.Client): Promise<Lineage | undefined> {
  try {
    const { rows } = await client.query(
      `SELECT system_identifier::text AS system,
         ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int4 AS timeline
       FROM pg_control_system()`,
    )
    return rows[0] as Lineage
  } catch {
    return undefined
  }
}

/** Why none of several hosts will do. */
function noHost(url: string, errors: readonly (TickdError | undefined)[]): TickdError {
  const all = errors.filter((error) => error !== undefined)
  const codes = ['POSTGRES_CONFLICT', 'POSTGRES_READ_ONLY', 'POSTGRES_REFUSED'] as const
  const code = codes.find((code) => all.some((error) => error.code === code))
  const said = all.map(({ message }) => message).join('; ')
  return new TickdError(
    code ?? 'POSTGRES_UNREACHABLE',
    `no host of ${withoutPassword(url)} can be stored to: ${said}`,
    { canRetry: all.some(({ canRetry }) => canRetry) },
  )
}

/** The first that is opened; undefined once all have failed. */
async function firstOf(
  attempts: readonly Promise<Connection | undefined>[],
): Promise<Connection | undefined> {
  const opened = attempts.map(async (attempt) => {
    const connection = await attempt
    if (connection === undefined) throw new Error('not opened')
    return connection
  })
  return await Promise.any(opened).catch(() => undefined)
}

async function pause(ms: number): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, ms))
}

async function withTimeout(work: Promise<void>, timeoutMs: number): Promise<void> {
  const timeout = Promise.withResolvers<never>()
  const timer = setTimeout(() => timeout.reject(new Error('timeout expired')), timeoutMs)
  try {
    await Promise.race([work, timeout.promise])
  } finally {
    clearTimeout(timer)
  }
}
