// One connection to PostgreSQL: opened with a time-out, closed at once if need be, and errors put
// in words that say what to do.

import { Socket } from 'node:net'
import pg from 'pg'
import { errorText, TickdError } from '../../errors.ts'
import { withoutPassword } from './config.ts'

const VERSION_MIN = 140_000
/** SQLSTATE classes and codes by which a server says no to us, not to this moment. */
const REFUSED = /^(28|3D|42501)/
/** A SQLSTATE has a digit, the name of a system error has none. */
const SQLSTATE = /^(?=.*\d)[0-9A-Z]{5}$/
/** SQLSTATE of the fence in `advance` (migrations/001): the position is not what we thought. */
const FENCE = 'TK001'
const KEEP_ALIVE_MS = 10_000

export interface ConnectOptions {
  url: string
  /** Shown in pg_stat_activity. */
  name: string
  timeoutMs: number
  /** Called once when an open connection is lost. */
  onLost?: (error: Error) => void
}

export interface Connection {
  readonly client: pg.Client
  /** Says goodbye, without waiting for the other side. Nothing may be under way. */
  close(): void
  /** Cuts the connection at once, whatever is under way. */
  destroy(): void
}

/** Throws TickdError POSTGRES_UNREACHABLE or POSTGRES_REFUSED. */
export async function connect(options: ConnectOptions): Promise<Connection> {
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
    await checkVersion(client, url)
  } catch (thrown) {
    socket.destroy()
    throw explain(thrown, url)
  }
  return { client, close, destroy: () => void socket.destroy() }
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

/** What went wrong as a TickdError: one line, where, and what to do; never the password. */
export function explain(thrown: unknown, url: string): TickdError {
  if (thrown instanceof TickdError) return thrown
  const where = `PostgreSQL at ${withoutPassword(url)}`
  const code = String((thrown as { code?: unknown }).code ?? '')
  const said = errorText(thrown instanceof AggregateError ? thrown.errors[0] : thrown)
  if (code === FENCE) {
    return new TickdError(
      'POSTGRES_CONFLICT',
      `${where}: ${said}: another tickd has written the same tables; stop it, or give one of the ` +
        'two another postgres.schema',
      { cause: thrown },
    )
  }
  if (REFUSED.test(code) || /password must be/.test(said)) {
    return new TickdError(
      'POSTGRES_REFUSED',
      `${where} refused: ${said}; check user, password (postgres.password_file), database, rights`,
      { cause: thrown },
    )
  }
  // It answered, and is neither starting, nor stopping, nor out of connections.
  if (SQLSTATE.test(code) && !/^(08|57P|53300)/.test(code)) {
    return new TickdError('POSTGRES_BROKEN', `${where}: ${said}`, { canRetry: true, cause: thrown })
  }
  return new TickdError(
    'POSTGRES_UNREACHABLE',
    `${where} does not answer: ${said}; check that it runs, and postgres.url`,
    { canRetry: true, cause: thrown },
  )
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

async function checkVersion(client: pg.Client, url: string): Promise<void> {
  const { rows } = await client.query('SHOW server_version_num')
  if (Number(rows[0]?.server_version_num) >= VERSION_MIN) return
  throw new TickdError(
    'POSTGRES_REFUSED',
    `PostgreSQL at ${withoutPassword(url)} is too old: version 14 or later is needed`,
  )
}
