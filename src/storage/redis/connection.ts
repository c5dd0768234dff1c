// One connection to a Redis server that never reconnects, queues or resends by itself: its owner
// decides when to try again, and nothing waits in memory meanwhile.

import type { Redis } from 'ioredis'
import type { ClientOptions } from './config.ts'
import { explain } from './replies.ts'

/** A server that does not answer a goodbye is not waited for. */
const DISCONNECT_MS = 100

export interface ConnectOptions {
  readonly options: ClientOptions
  /** Without passwords, for messages. */
  readonly where: string
  /** Of the whole: name, connection, greeting. */
  readonly timeoutMs: number
  /** Ends the attempt. */
  readonly signal?: AbortSignal
  /** The connection has ended, after it was given out. */
  readonly onLost?: () => void
}

/** Throws TickdError REDIS_UNREACHABLE or REDIS_REFUSED. */
export async function connect({
  options,
  where,
  timeoutMs,
  signal,
  onLost = () => {},
}: ConnectOptions): Promise<Redis> {
  // Loaded here: a daemon without Redis starts without it.
  const { Redis } = await import('ioredis')
  const redis = new Redis({
    ...options,
    // RESP2: what every server since Redis 2 speaks, and all that is needed.
    protocol: 2,
    connectionName: 'tickd',
    disableClientInfo: true,
    lazyConnect: true,
    // The PING below tells of a server that is still loading, and needs no right to INFO.
    enableReadyCheck: false,
    enableOfflineQueue: false,
    autoResendUnfulfilledCommands: false,
    maxRetriesPerRequest: 0,
    connectTimeout: timeoutMs,
    disconnectTimeout: DISCONNECT_MS,
    retryStrategy: () => null,
  })
  // The reason comes here; the rejection of connect() says only that the connection is closed.
  let reason: unknown
  redis.on('error', (error) => {
    reason ??= error
  })
  // The client bounds the connecting, but not the answers that it waits for behind it.
  const giveUp = (text: string) => {
    reason ??= new Error(text)
    redis.disconnect()
  }
  const timer = setTimeout(() => giveUp(`no answer within ${timeoutMs} ms`), timeoutMs)
  const onAbort = () => giveUp('it was given up')
  signal?.addEventListener('abort', onAbort)
  try {
    signal?.throwIfAborted()
    await redis.connect()
    await redis.ping()
    redis.once('close', onLost)
    return redis
  } catch (thrown) {
    redis.disconnect()
    throw explain(reason ?? thrown, where)
  } finally {
    clearTimeout(timer)
    signal?.removeEventListener('abort', onAbort)
  }
}
