// Which dead letters: what the query of a URL, and the options of the command line, say.
//
//   source=, stage=, reason=, state= (each may be repeated), since=, until=, after=

import { TickdError } from '../errors.ts'
import { DEAD_LETTER_REASONS } from '../ledger/reasons.ts'
import { type BookFilter, LETTER_STATES, type LetterState } from './dead-letter-book.ts'
import { LETTER_STAGES, type LetterStage } from './dead-letter-format.ts'
import type { DeadLetter } from './dead-letter-reader.ts'

export const FILTER_PARAMETERS = [
  'source',
  'stage',
  'reason',
  'state',
  'since',
  'until',
  'after',
] as const

const UNIT_MS: Readonly<Record<string, number>> = {
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
}
const AGO = /^(\d{1,6})([smhd])$/

/** Throws USAGE. `nowMs`: the time from which `since=2h` counts back. */
export function letterFilter(query: URLSearchParams, nowMs: number): BookFilter {
  const sources = query.getAll('source')
  const stages = chosen<LetterStage>(query, 'stage', LETTER_STAGES)
  const reasons = chosen<DeadLetter['reason']>(query, 'reason', DEAD_LETTER_REASONS)
  const states = chosen<LetterState>(query, 'state', LETTER_STATES)
  const fromNs = timeNs(query, 'since', nowMs)
  const untilNs = timeNs(query, 'until', nowMs)
  const after = query.get('after')
  return {
    ...(sources.length > 0 ? { sources } : {}),
    ...(stages.length > 0 ? { stages } : {}),
    ...(reasons.length > 0 ? { reasons } : {}),
    ...(states.length > 0 ? { states } : {}),
    ...(fromNs === undefined ? {} : { fromNs }),
    ...(untilNs === undefined ? {} : { untilNs }),
    ...(after === null ? {} : { after }),
  }
}

/** The same query of several values, as the command line has them. */
export function letterQuery(values: Readonly<Record<string, unknown>>): URLSearchParams {
  const query = new URLSearchParams()
  for (const name of FILTER_PARAMETERS) {
    const value = values[name]
    const all = Array.isArray(value) ? value : value === undefined ? [] : [value]
    for (const one of all) query.append(name, String(one))
  }
  return query
}

function chosen<Name extends string>(
  query: URLSearchParams,
  parameter: string,
  known: readonly Name[],
): Name[] {
  return query.getAll(parameter).map((given) => {
    const name = known.find((one) => one === given)
    if (name !== undefined) return name
    throw new TickdError('USAGE', `${parameter}=${given}: there is ${known.join(', ')}`)
  })
}

function timeNs(query: URLSearchParams, parameter: string, nowMs: number): bigint | undefined {
  const given = query.get(parameter)
  if (given === null) return undefined
  const [, count, unit = ''] = AGO.exec(given) ?? []
  const ms = count === undefined ? Date.parse(given) : nowMs - Number(count) * (UNIT_MS[unit] ?? 0)
  if (!Number.isNaN(ms)) return BigInt(Math.round(ms)) * 1_000_000n
  const forms = '2026-01-02T03:04:05Z, or how long ago: 90s, 15m, 2h, 7d'
  throw new TickdError('USAGE', `${parameter}=${given} is no time; give ${forms}`)
}
