// The OpenAPI document of the HTTP API, written by hand. A test holds it against the route table.

import { VERSION } from '../../version.ts'
import { PUSH_CONTENT_TYPES } from './push-body.ts'

const text = { type: 'string' } as const
const integer = { type: 'integer' } as const
const nullable = (type: string) => ({ type: [type, 'null'] })

const query = (name: string, description: string, schema: object = text) => ({
  name,
  in: 'query',
  description,
  schema,
})

const header = (name: string, description: string) => ({
  name,
  in: 'header',
  description,
  schema: text,
})

const SYMBOL = query('symbol', 'Canonical symbol, the venue’s spelling, or a glob: ETH-*')
const VENUE = query('venue', 'Venue')
const LIMIT = query('limit', 'Most rows; bounded by serve.query_rows_max', integer)

const json = (description: string, schema: object) => ({
  description,
  content: { 'application/json': { schema } },
})
const failure = (description: string) => json(description, { $ref: '#/components/schemas/Error' })
const object = (properties: Record<string, object>) => ({ type: 'object', properties })
const list = (items: object) => ({ type: 'array', items })
const records = (extra: Record<string, object> = {}) =>
  object({ records: list({ $ref: '#/components/schemas/Record' }), ...extra })

const BAD_PARAMETER = failure('A parameter is unknown, repeated or out of bounds')
const UNKNOWN_SYMBOL = failure('No instrument has this symbol')

function historyPath(kind: string) {
  return {
    get: {
      summary: `Stored ${kind}, newest first`,
      parameters: [
        SYMBOL,
        VENUE,
        query('start', 'Event time from, RFC 3339 UTC; default: an hour before end'),
        query('end', 'Event time before, RFC 3339 UTC; default: now'),
        LIMIT,
        query('before', 'The `next` of the previous page'),
      ],
      responses: {
        200: json('A page', records({ next: nullable('string') })),
        400: BAD_PARAMETER,
        404: UNKNOWN_SYMBOL,
        503: failure('PostgreSQL is off, away or busy'),
        504: failure('The query took too long'),
      },
    },
  }
}

function plainPath(summary: string, contentType: string) {
  const content = { [contentType]: { schema: text } }
  return { get: { summary, responses: { 200: { description: summary, content } } } }
}

export const OPENAPI = {
  openapi: '3.1.0',
  info: {
    title: 'tickd',
    version: VERSION,
    description: 'The live feed is a WebSocket at /v1/feed: see docs/protocol.md.',
  },
  paths: {
    '/': plainPath('Status page', 'text/html'),
    '/v1/latest': {
      get: {
        summary: 'Newest trade, quote, price and status of each instrument',
        parameters: [SYMBOL, VENUE, LIMIT],
        responses: {
          200: json('Records', records()),
          400: BAD_PARAMETER,
          404: UNKNOWN_SYMBOL,
        },
      },
    },
    '/v1/trades': historyPath('trades'),
    '/v1/quotes': historyPath('quotes'),
    '/v1/instruments': {
      get: {
        summary: 'Instruments, by id',
        parameters: [SYMBOL, VENUE, LIMIT, query('after', 'The `next` of the previous page')],
        responses: {
          200: json(
            'A page',
            object({
              instruments: list({ $ref: '#/components/schemas/Instrument' }),
              next: nullable('integer'),
            }),
          ),
          400: BAD_PARAMETER,
          404: UNKNOWN_SYMBOL,
        },
      },
    },
    '/v1/ledger': {
      get: {
        summary:
          'The ledger of conservation: open minute, closed ones, totals, stores, subscribers',
        parameters: [
          query('since', 'Lines from here on, RFC 3339 UTC; default: an hour ago'),
          query('source', 'Name of a source; default: all'),
        ],
        responses: {
          200: json('The ledger; `ok` false = it does not balance', {
            $ref: '#/components/schemas/Ledger',
          }),
          400: BAD_PARAMETER,
          503: failure('The main thread has not answered in time'),
        },
      },
    },
    '/v1/incidents': {
      get: {
        summary: 'Incidents, oldest first',
        parameters: [query('after', 'Those with a larger id only')],
        responses: {
          200: json(
            'Incidents',
            object({ incidents: list({ $ref: '#/components/schemas/Incident' }) }),
          ),
          400: BAD_PARAMETER,
          503: failure('The main thread has not answered in time'),
        },
      },
    },
    '/v1/ticks': {
      post: {
        summary: 'Takes ticks; answers when they are durable',
        parameters: [
          query('source', 'Name of a source of type http; default: the first'),
          header('Idempotency-Key', 'Id of this body: sent again with it, nothing is stored twice'),
        ],
        requestBody: {
          required: true,
          content: Object.fromEntries(PUSH_CONTENT_TYPES.map((type) => [type, { schema: text }])),
        },
        responses: {
          200: json('All records are durable', { $ref: '#/components/schemas/Receipt' }),
          400: failure('The body is not what its content type says'),
          404: failure('No source of type http has this name'),
          409: failure('The Idempotency-Key was used for another body'),
          413: failure('The body or a line is too large'),
          415: failure('The content type is not one of those listed'),
          503: failure('Too much is under way; see Retry-After'),
          504: failure('Durability was not confirmed in time'),
        },
      },
    },
    '/metrics': plainPath('Prometheus metrics', 'text/plain'),
    '/healthz': plainPath('200 while the process is alive', 'application/json'),
    '/readyz': {
      get: {
        summary: 'Whether the daemon is ready, with each dependency, its lag and its breaker',
        responses: {
          200: json('Ready; also when degraded, as ingest and feed go on', {
            $ref: '#/components/schemas/Readiness',
          }),
          503: json('Not ready', { $ref: '#/components/schemas/Readiness' }),
        },
      },
    },
    '/openapi.json': plainPath('This document', 'application/json'),
  },
  components: {
    schemas: {
      Error: object({ error: object({ code: text, message: text }) }),
      Record: {
        ...object({
          type: { enum: ['trade', 'quote', 'book', 'price', 'status'] },
          venue: text,
          symbol: text,
          ts_event: text,
          ts_recv: text,
          flags: list(text),
          seq: integer,
        }),
        description: 'Normalised record; decimals are exact strings. Other fields by type.',
      },
      Instrument: object({ id: integer, venue: text, symbol: text, venue_symbol: text }),
      Receipt: object({
        accepted: integer,
        duplicate: integer,
        rejected: integer,
        repeated: integer,
        first_seq: nullable('integer'),
        last_seq: nullable('integer'),
        epoch: integer,
        shard: integer,
      }),
      Ledger: {
        ...object({
          ok: { type: 'boolean' },
          time: text,
          epoch: integer,
          started: text,
          open: { type: 'object' },
          lines: list({ type: 'object' }),
          more: { type: 'boolean' },
          totals: { type: 'object' },
          stores: { type: 'object' },
          imbalances: list({ type: 'object' }),
          findings: list({ type: 'object' }),
          damaged_lines: integer,
          subscribers: list({ type: 'object' }),
          subscribers_ok: { type: 'boolean' },
          subscribers_unknown_of: list(text),
        }),
        description: 'docs/ledger.md says what each number is.',
      },
      Incident: object({
        id: integer,
        at: text,
        kind: text,
        severity: { enum: ['notice', 'warning', 'critical'] },
        summary: text,
        repeats: integer,
        evidence: { type: 'object' },
      }),
      Readiness: object({
        ready: { type: 'boolean' },
        status: { enum: ['ready', 'degraded', 'unready'] },
        dependencies: {
          type: 'object',
          additionalProperties: object({
            ready: { type: 'boolean' },
            detail: text,
            lag: integer,
            state: { enum: ['closed', 'half-open', 'open'] },
            since: text,
            next_probe: text,
            failures_in_row: integer,
            last_error: text,
            last_error_at: text,
          }),
        },
      }),
    },
  },
} as const
