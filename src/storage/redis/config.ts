// The address of Redis: redis://host:port/db, rediss://… (TLS) or unix:///path/to/socket.

import type { RedisOptions } from 'ioredis'
import {
  type AddressForm,
  addressToShow,
  addressWithPassword,
  type ExternalServer,
  parseAddress,
} from '../address.ts'

/** Of ioredis, but for what chooses the types of its replies. */
export type ClientOptions = Omit<RedisOptions, 'replyMapping'>

const FORM: AddressForm = {
  option: 'redis.url',
  form: 'redis://host:port/db or unix:///path',
}

/** The address to connect to, with the password of the file put in. */
export function externalUrl(config: ExternalServer): string {
  return addressWithPassword(config, FORM)
}

/** The address as it may be shown and logged. */
export function withoutPassword(address: string): string {
  return addressToShow(address, FORM)
}

/** What `redis-cli` needs to reach it, without the password. */
export function cliArguments(address: string): string {
  const url = parseAddress(address, FORM)
  return url.protocol === 'unix:'
    ? `-s ${decodeURIComponent(url.pathname)}`
    : `-u ${withoutPassword(address)}`
}

/** The address in the client's terms. */
export function connectionOptions(address: string): ClientOptions {
  const url = parseAddress(address, FORM)
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
