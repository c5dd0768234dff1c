// What PostgreSQL said, in words that say what to do. Never the password.

import { type ErrorCode, errorText, TickdError } from '../../errors.ts'
import { STORE_STALL_MS_MAX } from '../../limits.ts'
import { withoutPassword } from './config.ts'

/** SQLSTATE classes and codes by which a server says no to us, not to this moment. */
const REFUSED = /^(28|3D|42501)/
/** A SQLSTATE has a digit, the name of a system error has none. */
const SQLSTATE = /^(?=.*\d)[0-9A-Z]{5}$/
/** Of the fence in `advance` (migrations/001): the position is not what we thought. */
const FENCE = 'TK001'

/** What is to be done about a SQLSTATE, or class of them; the first that fits. */
const ADVICE: readonly [state: RegExp, code: ErrorCode, advice: string][] = [
  [
    /^TK001$/,
    'POSTGRES_CONFLICT',
    'another tickd has written the same tables; stop it, or give one of the two another ' +
      'postgres.schema',
  ],
  [/^25006$/, 'POSTGRES_READ_ONLY', 'it became a standby, or is failing over'],
  [REFUSED, 'POSTGRES_REFUSED', 'check user, password (postgres.password_file), database, rights'],
  [/^53300$/, 'POSTGRES_UNREACHABLE', 'raise max_connections, or end some'],
  [/^53100$/, 'POSTGRES_BROKEN', 'its disk is full: make room there; records wait in the journal'],
  [/^53/, 'POSTGRES_BROKEN', 'it is out of a resource; records wait in the journal'],
  [
    /^(42P01|42703|42804|42883|3F000|428C9|0A000)$/,
    'POSTGRES_SCHEMA_CHANGED',
    'a table or function of tickd was altered or dropped; undo that, or set postgres.schema to ' +
      'another name',
  ],
]

/** What went wrong as a TickdError: one line, where, and what to do; never the password. */
export function explain(thrown: unknown, url: string): TickdError {
  if (thrown instanceof TickdError) return thrown
  const where = `PostgreSQL at ${withoutPassword(url)}`
  const state = String((thrown as { code?: unknown }).code ?? '')
  const said = errorText(thrown instanceof AggregateError ? thrown.errors[0] : thrown)
  const isRefused = /password must be/.test(said)
  const known = ADVICE.find(([states]) => states.test(isRefused ? '28P01' : state))
  if (known !== undefined) {
    const [, code, advice] = known
    const canRetry = code !== 'POSTGRES_REFUSED' && state !== FENCE
    const says = code === 'POSTGRES_REFUSED' ? 'refused: ' : ''
    return new TickdError(code, `${where} ${says}${said}; ${advice}`, { canRetry, cause: thrown })
  }
  // It answered, and is neither starting nor stopping.
  if (SQLSTATE.test(state) && !/^(08|57P)/.test(state)) {
    return new TickdError('POSTGRES_BROKEN', `${where}: ${said}`, { canRetry: true, cause: thrown })
  }
  return new TickdError(
    'POSTGRES_UNREACHABLE',
    `${where} does not answer: ${said}; check that it runs, and postgres.url`,
    { canRetry: true, cause: thrown },
  )
}

/** A server that owes us an answer and does nothing. */
export function stalled(): TickdError {
  return new TickdError(
    'POSTGRES_UNREACHABLE',
    `PostgreSQL took and sent nothing for ${STORE_STALL_MS_MAX / 1000} s; connecting anew`,
    { canRetry: true },
  )
}

/** Why a server refused rows for what is in them. */
export interface DataRefusal {
  readonly sqlState: string
  readonly text: string
  /** The row of the COPY, from 1; 0 = not told. */
  readonly line: number
}

/** Not 22P03: that column has another type than ours, and no row will do. */
const DATA_STATES = /^(22(?!P03)|23|44|P0001$)/
const COPY_LINE = /^COPY [^\n]*?, line (\d+)/gm
const TEXT_LENGTH_MAX = 500

/** undefined when the server failed for another reason than the rows. */
export function dataRefusal(
  thrown: unknown,
  columns: (name: string) => boolean,
): DataRefusal | undefined {
  const { code, constraint, column, where } = thrown as Record<string, string | undefined>
  if (code === undefined || !DATA_STATES.test(code)) return undefined
  // No constraint of somebody's, but the lack of a partition.
  if (code === '23514' && constraint === undefined) return undefined
  // A column that is not ours and must be filled: no row will ever do.
  if (code === '23502' && column !== undefined && !columns(column)) return undefined
  // The innermost context comes first; the COPY of ours is the last.
  const line = [...(where ?? '').matchAll(COPY_LINE)].at(-1)?.[1]
  const text = errorText(thrown).slice(0, TEXT_LENGTH_MAX)
  return { sqlState: code, text, line: Number(line ?? 0) }
}
