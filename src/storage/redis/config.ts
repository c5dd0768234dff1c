// The address of Redis: redis://host:port/db, rediss://… (TLS) or unix:///path/to/socket.

import type { RedisOptions } from 'ioredis'
import { readSecret } from '../../config/secret.ts'
import { TickdError } from '../../errors.ts'

/** Of ioredis, but for what chooses the types of its replies. */
export type ClientOptions = Omit<RedisOptions, 'replyMapping'>

/** Configuration that names a server somewhere else. */
export interface ExternalRedis {
  readonly url: string
  readonly password_file: string
}

/** The address to connect to, with the password of the file put in. */
export function externalUrl(config: ExternalRedis): string {
  if (config.password_file === '') return config.url
  const url = parse(config.url)
  const password = readSecret(config.password_file)
  if (url.protocol === 'unix:') url.searchParams.set('password', password)
  else url.password = encodeURIComponent(password)
  return url.href
}

/** The address as it may be shown and logged. */
export function withoutPassword(address: string): string {
  const url = parse(address)
  url.password = ''
  url.searchParams.delete('password')
  return url.href
}

/** What `redis-cli` needs to reach it, without the password. */
export function cliArguments(address: string): string {
  const url = parse(address)
  return url.protocol === 'unix:'
    ? `-s ${decodeURIComponent(url.pathname)}`
    : `-u ${withoutPassword(address)}`
}

/** The address in the client's terms. */
export function connectionOptions(address: string): ClientOptions {
  const url = parse(address)
  const options: ClientOptions = {}
  const password = decodeURIComponent(url.password) || url.searchParams.get('password')
  if (password) options.password = password
  if (url.username !== '') options.username = decodeURIComponent(url.username)
  if (url.protocol === 'unix:') return { ...options, path: decodeURIComponent(url.pathname) }
  if (url.protocol === 'rediss:') options.tls = {}
  return {
    ...options,
    host: url.hostname,
    port: url.port === '' ? 6379 : Number(url.port),
    db: Number(url.pathname.slice(1) || '0'),
  }
}

function parse(address: string): URL {
  try {
    return new URL(address)
  } catch {
    throw new TickdError(
      'CONFIG_INVALID',
      'redis.url is not an address; it has the form redis://host:port/db or unix:///path',
    )
  }
}
