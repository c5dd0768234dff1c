// Where Redis is: one server by its address, a master that sentinels know, or a cluster.
//
//   url        redis://host:port/db, rediss://… (TLS) or unix:///path/to/socket
//   sentinels  are asked for the master of `sentinel_name`, at each connection anew
//   cluster    some of its nodes; they name the others

import { readFileSync } from 'node:fs'
import type { RedisOptions } from 'ioredis'
import type { Config } from '../../config/schema.ts'
import { readSecret } from '../../config/secret.ts'
import { errorText, TickdError } from '../../errors.ts'
import { type AddressForm, addressToShow, addressWithPassword, parseAddress } from '../address.ts'

/** Of ioredis, but for what chooses the types of its replies. */
export type ClientOptions = Omit<RedisOptions, 'replyMapping'>

export interface NodeAddress {
  readonly host: string
  readonly port: number
}

/** Plain data: it crosses to the store's thread. */
export interface RedisTarget {
  readonly kind: 'single' | 'sentinel' | 'cluster'
  /** Sentinels, or nodes of the cluster to begin with; single: none. */
  readonly seeds: readonly NodeAddress[]
  /** Sentinel: the name of the master; otherwise ''. */
  readonly masterName: string
  /** For a connection to a server; single: with its address. */
  readonly options: ClientOptions
  /** For a connection to a sentinel. */
  readonly sentinelOptions: ClientOptions
  /** To show and to log: without passwords. */
  readonly show: string
}

const FORM: AddressForm = {
  option: 'redis.url',
  form: 'redis://host:port/db or unix:///path',
}

/** Of a Redis that is not ours. Throws TickdError CONFIG_INVALID when a file cannot be read. */
export function externalTarget(config: Config['redis']): RedisTarget {
  const { sentinels, cluster, sentinel_name: masterName } = config
  if (sentinels.length === 0 && cluster.length === 0) {
    return urlTarget(addressWithPassword(config, FORM), tlsOptions(config))
  }
  const tls = config.tls ? { tls: tlsOptions(config) } : {}
  const options: ClientOptions = {
    ...tls,
    ...(config.username === '' ? {} : { username: config.username }),
    ...(config.password_file === '' ? {} : { password: readSecret(config.password_file) }),
  }
  if (cluster.length > 0) return clusterTarget(cluster, options)
  const { sentinel_password_file: file } = config
  const sentinelOptions = file === '' ? tls : { ...tls, password: readSecret(file) }
  return {
    kind: 'sentinel',
    seeds: sentinels,
    masterName,
    options,
    sentinelOptions,
    show: `${masterName} of sentinels ${addressesText(sentinels)}`,
  }
}

export function clusterTarget(
  seeds: readonly NodeAddress[],
  options: ClientOptions = {},
): RedisTarget {
  const show = `cluster ${addressesText(seeds)}`
  return { kind: 'cluster', seeds, masterName: '', options, sentinelOptions: {}, show }
}

/** Of one server; `tls` counts where the address begins with rediss. */
export function urlTarget(address: string, tls: { ca?: string } = {}): RedisTarget {
  return {
    kind: 'single',
    seeds: [],
    masterName: '',
    options: connectionOptions(address, tls),
    sentinelOptions: {},
    show: addressToShow(address, FORM),
  }
}

/** What `redis-cli` needs to reach it, without the password. */
export function cliArguments(target: RedisTarget): string {
  const { kind, options, seeds, show } = target
  if (options.path !== undefined) return `-s ${options.path}`
  if (kind === 'single') return `-u ${show}`
  const { host, port } = seeds[0] as NodeAddress
  return kind === 'cluster'
    ? `-c -h ${host} -p ${port}`
    : `-h ${host} -p ${port} SENTINEL get-master-addr-by-name ${target.masterName}`
}

export function addressText({ host, port }: NodeAddress): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
}

function addressesText(addresses: readonly NodeAddress[]): string {
  return addresses.map(addressText).join(', ')
}

function connectionOptions(address: string, tls: { ca?: string }): ClientOptions {
  const url = parseAddress(address, FORM)
  const options: ClientOptions = {}
  const password = decodeURIComponent(url.password) || url.searchParams.get('password')
  if (password) options.password = password
  if (url.username !== '') options.username = decodeURIComponent(url.username)
  if (url.protocol === 'unix:') return { ...options, path: decodeURIComponent(url.pathname) }
  if (url.protocol === 'rediss:') options.tls = tls
  return {
    ...options,
    host: url.hostname,
    port: url.port === '' ? 6379 : Number(url.port),
    db: Number(url.pathname.slice(1) || '0'),
  }
}

function tlsOptions({ tls_ca_file: path }: Config['redis']): { ca?: string } {
  if (path === '') return {}
  try {
    return { ca: readFileSync(path, 'utf8') }
  } catch (cause) {
    const text = `redis.tls_ca_file ${path} cannot be read: ${errorText(cause)}`
    throw new TickdError('CONFIG_INVALID', text, { cause })
  }
}
