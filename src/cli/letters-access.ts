// The way of `tickd dlq` to dead letters: through the running daemon's admin listener, or, of one
// that does not run, in the files of its state directory.

import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { request } from 'undici'
import { StateLock } from '../config/state-lock.ts'
import { errorText, TickdError } from '../errors.ts'
import { INSTRUMENTS_MAX, LETTERS_CALL_MS_MAX } from '../limits.ts'
import { InstrumentLog } from '../tick/instrument-log.ts'
import { InstrumentTable } from '../tick/instruments.ts'
import { LetterBook } from '../validate/dead-letter-book.ts'
import { SettlementLog } from '../validate/dead-letter-log.ts'

/** Codes of the admin listener's refusals that are the caller's to mend. */
const USAGE_CODES = ['bad_parameter', 'not_confirmed', 'unknown_letter']

/** What the listener answers, as JSON. Throws USAGE or IO. */
export async function askAdmin<Answer>(
  url: string,
  method: 'GET' | 'POST' | 'DELETE',
  path: string,
): Promise<Answer> {
  if (!URL.canParse(url)) throw new TickdError('USAGE', `--url ${url}: must be http://host:port`)
  const target = new URL(path, url)
  const { statusCode, body } = await request(target, {
    method,
    headersTimeout: LETTERS_CALL_MS_MAX,
    bodyTimeout: LETTERS_CALL_MS_MAX,
  }).catch((error) => {
    const text = `${target.origin} cannot be reached (${errorText(error)})`
    const hint =
      'is the daemon running, and admin.enabled? --dir reads the files of one that is not'
    throw new TickdError('IO', `${text}; ${hint}`, { cause: error, canRetry: true })
  })
  const text = await body.text()
  if (statusCode === 200) return JSON.parse(text) as Answer
  throw refusal(statusCode, text)
}

function refusal(status: number, text: string): TickdError {
  try {
    const { error } = JSON.parse(text)
    const code = USAGE_CODES.includes(error.code) ? 'USAGE' : 'IO'
    return new TickdError(code, error.message)
  } catch {
    // Not JSON: not from us.
    return new TickdError('IO', `it answered ${status}; is it tickd’s admin listener?`)
  }
}

/** The book of a state directory, or of its dead-letters/. Throws USAGE. */
export function openBook(dir: string): { book: LetterBook; instruments: InstrumentTable } {
  const inState = join(dir, 'dead-letters')
  const directory = existsSync(inState) ? inState : dir
  if (!existsSync(directory)) throw new TickdError('USAGE', `--dir ${dir}: there is none`)
  const memory = InstrumentTable.create(INSTRUMENTS_MAX)
  const names = join(dir, 'instruments.jsonl')
  // A daemon may be writing it: its last line is left alone.
  if (existsSync(names)) new InstrumentLog(names).load(memory, INSTRUMENTS_MAX, 'ignore')
  const book = new LetterBook(directory, new SettlementLog(directory))
  return { book, instruments: new InstrumentTable(memory, INSTRUMENTS_MAX) }
}

/** Does what no daemon may do meanwhile. Throws STATE_DIR_UNUSABLE when one runs on `dir`. */
export function withLock<Result>(dir: string, work: () => Result): Result {
  const lock = StateLock.acquire(dir)
  try {
    return work()
  } finally {
    lock.release()
  }
}
