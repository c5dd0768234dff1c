// The address of PostgreSQL: with its password for connecting, and without for showing.

import { readSecret } from '../../config/secret.ts'
import { TickdError } from '../../errors.ts'

/** Configuration that names a server somewhere else. */
export interface ExternalPostgres {
  readonly url: string
  readonly password_file: string
}

/** The address to connect to, with the password of the file put in. */
export function externalUrl(config: ExternalPostgres): string {
  if (config.password_file === '') return config.url
  const url = parse(config.url)
  const password = readSecret(config.password_file)
  // An address without a host (a unix socket in ?host=) has no place for a password but this.
  if (url.hostname === '') url.searchParams.set('password', password)
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

function parse(address: string): URL {
  try {
    return new URL(address)
  } catch {
    throw new TickdError(
      'CONFIG_INVALID',
      'postgres.url is not an address; it has the form postgresql://user@host:port/database',
    )
  }
}
