// The venues that can be decoded: which wire format their frames have.
//
// A venue's name is what configuration and command line say, and the first part of an instrument's
// name. Push venues name themselves in each record; for a file of such records it is 'ndjson'.

import { TickdError } from '../errors.ts'
import { FRAME_FORMAT } from '../ring/frame-format.ts'

export interface Venue {
  readonly name: string
  /** FRAME_FORMAT of its frames. */
  readonly format: number
  /** What the HTTP answers in a capture are: see source/capture. */
  readonly http: 'binance-depth' | 'verbatim'
}

export const VENUES: readonly Venue[] = [
  { name: 'binance-us', format: FRAME_FORMAT.binance, http: 'binance-depth' },
  { name: 'binance', format: FRAME_FORMAT.binance, http: 'binance-depth' },
  { name: 'binance-usdm', format: FRAME_FORMAT.binanceUsdm, http: 'binance-depth' },
  { name: 'ndjson', format: FRAME_FORMAT.ndjson, http: 'verbatim' },
  { name: 'normalised', format: FRAME_FORMAT.ndjson, http: 'verbatim' },
]

/** The venue of this name. Throws TickdError USAGE with the list of those there are. */
export function venueNamed(name: string): Venue {
  const venue = VENUES.find((known) => known.name === name)
  if (venue !== undefined) return venue
  const names = VENUES.map((known) => known.name).join(', ')
  throw new TickdError('USAGE', `no venue '${name}'; known venues: ${names}`)
}
