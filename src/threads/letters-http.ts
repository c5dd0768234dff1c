// Dead letters over HTTP, on the admin listener: they hold what others sent, raw, and two of the
// calls change what will be stored.
//
//   GET    /v1/dlq?<filter>&limit=          a list          GET /v1/dlq?summary=true  counts
//   GET    /v1/dlq/<id>                     one, whole
//   POST   /v1/dlq/replay?<filter>&limit=&dry_run=true&even_doubtful=true
//   DELETE /v1/dlq?<filter>&confirm=yes     gives them up
//
// <filter>: see validate/dead-letter-query.ts.

import type { IncomingMessage, ServerResponse } from 'node:http'
import { LETTERS_LISTED_MAX, LETTERS_PER_CALL_MAX } from '../limits.ts'
import type { AdminRoute } from '../ops/admin.ts'
import { demandKnown, demandMethod, Refusal } from '../ops/refusal.ts'
import { FILTER_PARAMETERS, letterFilter } from '../validate/dead-letter-query.ts'
import type { LettersCall, LettersDo } from './letters-call.ts'

const LETTERS_PATH = '/v1/dlq'
const REPLAY_PATH = `${LETTERS_PATH}/replay`
const LISTED = 100
const REPLAYED = 10_000

/** The admin listener's part for dead letters. */
export function lettersRoute(letters: LettersDo): AdminRoute {
  return {
    path: LETTERS_PATH,
    answer: async (request, response, { pathname, searchParams }) => {
      const value = await letters(callOf(request, response, pathname, searchParams))
      if (value !== undefined) return value
      const text = 'there is no such letter; it was purged, or discarded to stay within the budget'
      throw new Refusal(404, 'unknown_letter', text)
    },
  }
}

function callOf(
  request: IncomingMessage,
  response: ServerResponse,
  path: string,
  query: URLSearchParams,
): LettersCall {
  if (path === REPLAY_PATH) {
    demandMethod(request, response, 'POST')
    demandKnown(query, [...FILTER_PARAMETERS, 'limit', 'dry_run', 'even_doubtful'])
    const filter = letterFilter(query, Date.now())
    const limit = numberOf(query, REPLAYED, LETTERS_PER_CALL_MAX)
    const dryRun = flagOf(query, 'dry_run')
    return {
      op: 'replay',
      request: { filter, limit, dryRun, evenDoubtful: flagOf(query, 'even_doubtful') },
    }
  }
  if (path !== LETTERS_PATH) {
    demandMethod(request, response, 'GET')
    demandKnown(query, [])
    return { op: 'show', id: path.slice(LETTERS_PATH.length + 1) }
  }
  demandMethod(request, response, 'GET', 'DELETE')
  if (request.method === 'DELETE') return purgeCall(query)
  demandKnown(query, [...FILTER_PARAMETERS, 'limit', 'summary'])
  const filter = letterFilter(query, Date.now())
  if (flagOf(query, 'summary')) return { op: 'summary', filter }
  return { op: 'list', filter, limit: numberOf(query, LISTED, LETTERS_LISTED_MAX) }
}

function purgeCall(query: URLSearchParams): LettersCall {
  demandKnown(query, [...FILTER_PARAMETERS, 'confirm'])
  if (query.get('confirm') !== 'yes') {
    const text = 'what is purged cannot be driven again: say confirm=yes'
    throw new Refusal(400, 'not_confirmed', text)
  }
  return { op: 'purge', filter: letterFilter(query, Date.now()) }
}

function flagOf(query: URLSearchParams, name: string): boolean {
  const given = query.get(name) ?? 'false'
  if (given === 'true' || given === 'false') return given === 'true'
  throw new Refusal(400, 'bad_parameter', `${name} is true or false`)
}

function numberOf(query: URLSearchParams, otherwise: number, max: number): number {
  const given = query.get('limit') ?? String(otherwise)
  const number = /^\d{1,7}$/.test(given) ? Number(given) : 0
  if (number >= 1 && number <= max) return number
  throw new Refusal(400, 'bad_parameter', `limit is a whole number from 1 to ${max}`)
}
