// The daemon's log: what an operator reads. Never per tick; repeats are the caller's to aggregate.
//
// JSON lines by default; on a terminal one short line each. Synchronous writes, so that a crash
// keeps its last words and blocking threads (which have no event loop) can log too.

import { writeSync } from 'node:fs'
import { createRequire } from 'node:module'

export interface Log {
  debug(fields: object, message: string): void
  info(fields: object, message: string): void
  warn(fields: object, message: string): void
  error(fields: object, message: string): void
}

export type LogFormat = 'json' | 'text'
export type LogLevel = 'debug' | 'info' | 'warn' | 'error'

const STDERR = 2
const LEVELS: Readonly<Record<LogLevel, number>> = { debug: 20, info: 30, warn: 40, error: 50 }
const require = createRequire(import.meta.url)

/**
 * A log whose lines carry `role`. Text goes to stderr; JSON goes to stdout. The library is loaded
 * for the first line that is said: most threads start, and run for days, without one.
 */
export function createLog(role: string, level: LogLevel, format: LogFormat): Log {
  let log: Log | undefined
  const at = (of: LogLevel) => (fields: object, message: string) => {
    if (LEVELS[of] < LEVELS[level]) return
    log ??= openLog(role, level, format)
    log[of](fields, message)
  }
  return { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') }
}

function openLog(role: string, level: LogLevel, format: LogFormat): Log {
  const { pino }: typeof import('pino') = require('pino')
  if (format === 'text') {
    return pino({ level, base: { role }, timestamp: false }, { write: writeText })
  }
  return pino(
    { level, base: { role }, timestamp: pino.stdTimeFunctions.isoTime },
    pino.destination({ dest: 1, sync: true }),
  )
}

/** Says nothing: for tests and tools. */
export const silentLog: Log = { debug() {}, info() {}, warn() {}, error() {} }

const LEVEL_TEXT: Record<number, string> = { 20: 'debug', 30: '     ', 40: 'WARN ', 50: 'ERROR' }

function writeText(line: string): void {
  const { level, role, msg, ...fields } = JSON.parse(line) as Record<string, unknown>
  const details = Object.entries(fields)
    .map(([name, value]) => `${name}=${typeof value === 'string' ? value : JSON.stringify(value)}`)
    .join(' ')
  const time = new Date().toTimeString().slice(0, 8)
  const text = `${time} ${LEVEL_TEXT[Number(level)] ?? level} ${role}: ${msg} ${details}`
  writeSync(STDERR, `${text.trimEnd()}\n`)
}
