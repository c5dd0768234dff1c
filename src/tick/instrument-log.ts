// The instrument table's durable form: `instruments.jsonl` in the state directory.
//
// One JSON object a line, in the order of addition: {"id","venue","symbol","venue_symbol"}. A line
// is written and fdatasync'ed, under the table's lock, before its instrument becomes visible. A
// torn last line (a crash in mid-append) is cut off when the log is opened; any other damage is an
// error, for ids that move would rename every stored tick.

import {
  closeSync,
  existsSync,
  fdatasyncSync,
  openSync,
  readFileSync,
  truncateSync,
  writeSync,
} from 'node:fs'
import { TickdError } from '../errors.ts'
import { type Instrument, InstrumentTable } from './instruments.ts'

export class InstrumentLog {
  readonly #path: string
  #fd: number | undefined

  constructor(path: string) {
    this.#path = path
  }

  /**
   * Reads the log into the (empty) table memory. Called once, by the main thread, before any other
   * thread attaches. Throws TickdError STATE_DIR_UNUSABLE when a line is not what was written.
   * `tornTail`: what to do about a last line without an end; a tool that reads beside the daemon
   * leaves it alone ('ignore'), for it may be in the middle of being written.
   */
  load(memory: SharedArrayBuffer, capacity: number, tornTail: 'cut' | 'ignore' = 'cut'): void {
    if (!existsSync(this.#path)) return
    const table = new InstrumentTable(memory, capacity)
    const text = readFileSync(this.#path, 'utf8')
    const whole = text.lastIndexOf('\n') + 1
    if (whole < text.length && tornTail === 'cut') {
      truncateSync(this.#path, Buffer.byteLength(text.slice(0, whole)))
    }
    let line = 0
    for (const json of text.slice(0, whole).split('\n').slice(0, -1)) {
      line++
      if (!replay(table, json)) {
        throw new TickdError(
          'STATE_DIR_UNUSABLE',
          `${this.#path}: line ${line} is damaged; restore the file from a backup, or move the ` +
            'whole state directory away to start anew',
        )
      }
    }
  }

  /** Appends one instrument durably. Any thread, under the table's lock. */
  readonly append = (instrument: Instrument): void => {
    this.#fd ??= openSync(this.#path, 'a', 0o640)
    const { id, venue, symbol, venueSymbol } = instrument
    writeSync(this.#fd, `${JSON.stringify({ id, venue, symbol, venue_symbol: venueSymbol })}\n`)
    fdatasyncSync(this.#fd)
  }

  close(): void {
    if (this.#fd !== undefined) closeSync(this.#fd)
    this.#fd = undefined
  }
}

function replay(table: InstrumentTable, json: string): boolean {
  let entry: { id?: unknown; venue?: unknown; symbol?: unknown; venue_symbol?: unknown }
  try {
    entry = JSON.parse(json)
  } catch {
    return false
  }
  const { id, venue, symbol, venue_symbol: venueSymbol } = entry
  if (typeof venue !== 'string' || typeof symbol !== 'string') return false
  if (typeof venueSymbol !== 'string') return false
  return table.add(venue, symbol, venueSymbol) === id
}
