// One connection to Redis that never reconnects by itself: its owner decides when to try again.

import { Redis } from 'ioredis'
import { errorText, TickdError } from '../../errors.ts'
import { type ClientOptions, connectionOptions, withoutPassword } from './config.ts'

/** First words of the replies by which a server says no to us. */
const REFUSED = /^(NOAUTH|WRONGPASS|NOPERM|ERR (invalid password|AUTH|Client sent AUTH|DB index))/i

/** A server that does not answer a goodbye is not waited for. */
const DISCONNECT_MS = 100

/** Throws TickdError REDIS_UNREACHABLE or REDIS_REFUSED. */
export async function connect(
  url: string,
  timeoutMs: number,
  onLost: () => void = () => {},
): Promise<Redis> {
  const options: ClientOptions = {
    ...connectionOptions(url),
    // RESP2: what every server since Redis 2 speaks, and all that is needed.
    protocol: 2,
    connectionName: 'tickd',
    disableClientInfo: true,
    lazyConnect: true,
    enableOfflineQueue: false,
    autoResendUnfulfilledCommands: false,
    maxRetriesPerRequest: 0,
    connectTimeout: timeoutMs,
    disconnectTimeout: DISCONNECT_MS,
    retryStrategy: () => null,
  }
  const redis = new Redis(options)
  // The reason comes here; the rejection of connect() says only that the connection is closed.
  let reason: unknown
  redis.on('error', (error) => {
    reason ??= error
  })
  // The client bounds the connecting, but not the answers that it waits for behind it.
  const timer = setTimeout(() => {
    reason ??= new Error(`no answer within ${timeoutMs} ms`)
    redis.disconnect()
  }, timeoutMs)
  try {
    await redis.connect()
    await redis.ping()
    redis.once('close', onLost)
    return redis
  } catch (thrown) {
    redis.disconnect()
    throw explain(reason ?? thrown, url)
  } finally {
    clearTimeout(timer)
  }
}

/** Connects once. Returns the server's version, or throws as `connect` does. */
export async function checkRedis(url: string, timeoutMs = 10_000): Promise<string> {
  const redis = await connect(url, timeoutMs)
  try {
    const info = await redis.info('server')
    return /redis_version:(\S+)/.exec(info)?.[1] ?? 'unknown'
  } catch (thrown) {
    throw explain(thrown, url)
  } finally {
    redis.disconnect()
  }
}

/** What went wrong as a TickdError: one line, where, and what to do; never the password. */
export function explain(thrown: unknown, url: string): TickdError {
  if (thrown instanceof TickdError) return thrown
  const where = `Redis at ${withoutPassword(url)}`
  const said = errorText(thrown instanceof AggregateError ? thrown.errors[0] : thrown)
  if (REFUSED.test(said)) {
    return new TickdError(
      'REDIS_REFUSED',
      `${where} refused: ${said}; check the password (redis.password_file), user and database`,
      { cause: thrown },
    )
  }
  return new TickdError(
    'REDIS_UNREACHABLE',
    `${where} does not answer: ${said}; check that it runs, and redis.url`,
    { canRetry: true, cause: thrown },
  )
}
