// The address of a server that is not ours: with its password for connecting, without for showing.

import { readSecret } from '../config/secret.ts'
import { TickdError } from '../errors.ts'

/** Configuration that names a server somewhere else. */
export interface ExternalServer {
  readonly url: string
  readonly password_file: string
}

/** What an address of this store looks like, for the message when one does not. */
export interface AddressForm {
  /** The option that holds it: 'postgres.url'. */
  readonly option: string
  readonly form: string
}

/** The address to connect to, with the password of the file put in. */
export function addressWithPassword(config: ExternalServer, form: AddressForm): string {
  if (config.password_file === '') return config.url
  const url = parseAddress(config.url, form)
  const password = readSecret(config.password_file)
  // An address without a host (a unix socket) has no place for a password but this.
  if (url.hostname === '') url.searchParams.set('password', password)
  else url.password = encodeURIComponent(password)
  return url.href
}

/** The address as it may be shown and logged. */
export function addressToShow(address: string, form: AddressForm): string {
  const url = parseAddress(address, form)
  url.password = ''
  url.searchParams.delete('password')
  return url.href
}

/** Throws CONFIG_INVALID with the form that an address has. */
export function parseAddress(address: string, { option, form }: AddressForm): URL {
  try {
    return new URL(address)
  } catch {
    throw new TickdError('CONFIG_INVALID', `${option} is not an address; it has the form ${form}`)
  }
}
