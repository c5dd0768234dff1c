// The table of HTTP routes, and the handlers too small for files of their own.

import { errorText } from '../../errors.ts'
import {
  METRICS_CONTENT_TYPE,
  type MetricSource,
  renderCounters,
  renderProcess,
} from '../../ops/metrics.ts'
import type { HttpReply } from '../server.ts'
import { sendError, sendJson } from './answers.ts'
import type { LedgerRoutes } from './ledger.ts'
import { OPENAPI } from './openapi.ts'
import { consolePage } from './page-files.ts'
import type { Push } from './push.ts'
import type { Records } from './records.ts'
import type { Route } from './router.ts'

/** What /readyz answers; threads/readiness.ts says what is in it. */
export interface ReadinessReport {
  readonly ready: boolean
  readonly status: string
  readonly dependencies: Readonly<Record<string, { readonly ready: boolean }>>
}

export interface RouteOptions {
  readonly records: Records
  readonly push: Push
  readonly ledger: LedgerRoutes
  readonly readiness: () => ReadinessReport
  readonly metrics: () => readonly MetricSource[]
}

export function routes(options: RouteOptions): Route[] {
  const { records, push, ledger, readiness } = options
  return [
    { method: 'GET', path: '/', handle: (_, reply) => consolePage(reply) },
    { method: 'GET', path: '/v1/latest', handle: (req, reply) => records.latest(req, reply) },
    {
      method: 'GET',
      path: '/v1/trades',
      handle: (req, reply) => records.history('trades', req, reply),
    },
    {
      method: 'GET',
      path: '/v1/quotes',
      handle: (req, reply) => records.history('quotes', req, reply),
    },
    {
      method: 'GET',
      path: '/v1/instruments',
      handle: (req, reply) => records.instruments(req, reply),
    },
    { method: 'GET', path: '/v1/ledger', handle: (req, reply) => ledger.ledger(req, reply) },
    { method: 'GET', path: '/v1/incidents', handle: (req, reply) => ledger.incidents(req, reply) },
    { method: 'POST', path: '/v1/ticks', handle: (req, reply) => push.accept(req, reply) },
    { method: 'GET', path: '/metrics', handle: (_, reply) => sendMetrics(options, reply) },
    { method: 'GET', path: '/healthz', handle: (_, reply) => sendJson(reply, { status: 'ok' }) },
    { method: 'GET', path: '/readyz', handle: (_, reply) => sendReadiness(readiness(), reply) },
    { method: 'GET', path: '/openapi.json', handle: (_, reply) => sendJson(reply, OPENAPI) },
  ]
}

function sendReadiness(report: ReadinessReport, reply: HttpReply): void {
  sendJson(reply, report, report.ready ? 200 : 503)
}

function sendMetrics({ metrics }: RouteOptions, reply: HttpReply): void {
  const counters = renderCounters(metrics())
  renderProcess().then(
    (process) => {
      reply.send({ status: 200, contentType: METRICS_CONTENT_TYPE, body: `${counters}${process}` })
    },
    (thrown: unknown) => sendError(reply, 500, 'internal', errorText(thrown)),
  )
}
