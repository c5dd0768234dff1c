// The address of PostgreSQL: postgresql://user@host:port/database, with one host or several.
//
// Several hosts (`h1:5432,h2:5433`, as libpq has them) are the servers of one database, of which
// one takes writes: which, connection.ts finds out.

import { TickdError } from '../../errors.ts'
import {
  type AddressForm,
  addressToShow,
  addressWithPassword,
  type ExternalServer,
  parseAddress,
} from '../address.ts'

const FORM: AddressForm = {
  option: 'postgres.url',
  form: 'postgresql://user@host:port/database, or …@host1:port1,host2:port2/database',
}
/** Scheme with user and password, hosts, the rest. A password's own `@` and `/` are escaped. */
const PARTS = /^([a-z]+:\/\/(?:[^@/?#]*@)?)([^@/?#]*)(.*)$/i
/** Stands for a list of hosts where an address may have but one. */
const PLACEHOLDER = 'several.invalid'
/** What the store can do with: it writes, and so always looks for the host that takes writes. */
const SESSION_ATTRIBUTES = ['any', 'read-write', 'primary']

/** The address to connect to, with the password of the file put in. Throws CONFIG_INVALID. */
export function externalUrl(config: ExternalServer): string {
  const url = withOneHost(config.url, (one) => {
    return addressWithPassword({ ...config, url: one }, FORM)
  })
  for (const host of hostUrls(url)) checkSessionAttributes(host)
  return url
}

/** The address as it may be shown and logged. */
export function withoutPassword(address: string): string {
  return withOneHost(address, (one) => addressToShow(one, FORM))
}

/** The address of each of its hosts, in their order; of one host, just that. */
export function hostUrls(address: string): string[] {
  const parts = PARTS.exec(address)
  if (parts === null) return [address]
  const [, before, hosts, after] = parts as unknown as [string, string, string, string]
  return hosts.split(',').map((host) => `${before}${host}${after}`)
}

/** `host:port`, or the whole address where it has none (a unix socket). */
export function hostOf(address: string): string {
  return PARTS.exec(address)?.[2] || withoutPassword(address)
}

/** Applies to an address what is made for one with a single host. */
function withOneHost(address: string, change: (one: string) => string): string {
  const parts = PARTS.exec(address)
  const hosts = parts?.[2] ?? ''
  if (parts === null || !hosts.includes(',')) return change(address)
  if (hosts.split(',').includes('')) {
    throw new TickdError('CONFIG_INVALID', `postgres.url names an empty host; it is ${FORM.form}`)
  }
  return change(`${parts[1]}${PLACEHOLDER}${parts[3]}`).replace(PLACEHOLDER, hosts)
}

function checkSessionAttributes(url: string): void {
  const { searchParams } = parseAddress(url, FORM)
  const wanted = searchParams.get('target_session_attrs') ?? 'any'
  if (SESSION_ATTRIBUTES.includes(wanted)) return
  throw new TickdError(
    'CONFIG_INVALID',
    `postgres.url: target_session_attrs=${wanted} is of no use: the store writes; ` +
      'leave it out, or set it to read-write',
  )
}
