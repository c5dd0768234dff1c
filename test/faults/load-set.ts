// The pushers of a run: two over TCP, two over HTTP, with large and with small batches.

import { HttpLoad } from './http-load.ts'
import type { Load } from './load.ts'
import { randomOf } from './random-of.ts'
import type { Site } from './site.ts'
import { TcpLoad } from './tcp-load.ts'

const TCP_BATCH_TRADES = 400
const HTTP_BATCH_TRADES = 2000
/** Between the batches of a pusher. */
const PACE_MS = 8

export function makeLoads(
  site: Site,
  seed: number,
  onViolation: (text: string) => void,
  paceMs = PACE_MS,
): Load[] {
  const { tcp, http } = site.proxies
  const load = (number: number) => ({
    number,
    random: randomOf(seed, 'load', number),
    onViolation,
    paceMs,
  })
  return [
    new TcpLoad({ ...load(0), port: tcp.port, batchTradesMax: TCP_BATCH_TRADES }),
    new TcpLoad({ ...load(1), port: tcp.port, batchTradesMax: TCP_BATCH_TRADES }),
    new HttpLoad({ ...load(2), port: http.port, batchTradesMax: HTTP_BATCH_TRADES }),
    new HttpLoad({ ...load(3), port: http.port, batchTradesMax: HTTP_BATCH_TRADES / 20 }),
  ]
}
