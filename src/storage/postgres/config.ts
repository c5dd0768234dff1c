// The address of PostgreSQL: postgresql://user@host:port/database.

import {
  type AddressForm,
  addressToShow,
  addressWithPassword,
  type ExternalServer,
} from '../address.ts'

const FORM: AddressForm = {
  option: 'postgres.url',
  form: 'postgresql://user@host:port/database',
}

/** The address to connect to, with the password of the file put in. */
export function externalUrl(config: ExternalServer): string {
  return addressWithPassword(config, FORM)
}

/** The address as it may be shown and logged. */
export function withoutPassword(address: string): string {
  return addressToShow(address, FORM)
}
