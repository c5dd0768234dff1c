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
  fstatSync,
  fsyncSync,
  ftruncateSync,
  openSync,
  readFileSync,
  truncateSync,
  writeSync,
} from 'node:fs'
import path from 'node:path'
import { errorText, TickdError } from '../errors.ts'
import { type Instrument, InstrumentTable } from './instruments.ts'

interface LoggedInstrument {
  readonly id: number
  readonly venue: string
  readonly symbol: string
  readonly venue_symbol: string
}

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

  /**
   * Finishes the addition within which a thread ended, whose lock is still held: what it made
   * durable becomes visible, half a line is cut off. Called by main.
   */
  mend(table: InstrumentTable): void {
    const text = existsSync(this.#path) ? readFileSync(this.#path, 'utf8') : ''
    const whole = text.lastIndexOf('\n') + 1
    if (whole < text.length) truncateSync(this.#path, Buffer.byteLength(text.slice(0, whole)))
    const lines = text.slice(0, whole).split('\n').slice(0, -1)
    const entries = lines.map((line) => JSON.parse(line) as LoggedInstrument)
    const missing = entries.filter(({ id }) => id > table.count)
    table.finish(
      missing.map(({ venue_symbol: venueSymbol, ...rest }) => ({ ...rest, venueSymbol })),
    )
  }

  /**
   * Appends one instrument durably, or not at all. Any thread, under the table's lock. Throws
   * TickdError IO when the disk refuses: the instrument then is not added.
   */
  readonly append = (instrument: Instrument): void => {
    const { id, venue, symbol, venueSymbol } = instrument
    const line = `${JSON.stringify({ id, venue, symbol, venue_symbol: venueSymbol })}\n`
    try {
      this.#fd ??= this.#open()
      appendWhole(this.#fd, Buffer.from(line))
    } catch (cause) {
      const text = `${this.#path}: the instrument ${venue} ${symbol} cannot be recorded`
      throw new TickdError('IO', `${text}: ${errorText(cause)}`, { canRetry: true, cause })
    }
  }

  close(): void {
    if (this.#fd !== undefined) closeSync(this.#fd)
    this.#fd = undefined
  }

  #open(): number {
    const fd = openSync(this.#path, 'a', 0o640)
    // A new file is only there after a power cut if its directory entry is.
    const directory = openSync(path.dirname(this.#path), 'r')
    fsyncSync(directory)
    closeSync(directory)
    return fd
  }
}

/** Half a line in the middle, or a line whose id is given again, would make the file unreadable. */
function appendWhole(fd: number, line: Buffer): void {
  const { size } = fstatSync(fd)
  try {
    for (let written = 0; written < line.length; ) written += writeSync(fd, line, written)
    fdatasyncSync(fd)
  } catch (error) {
    ftruncateSync(fd, size)
    throw error
  }
}

function replay(table: InstrumentTable, json: string): boolean {
  let entry: { id?: unknown; venue?: unknown; symbol?: unknown; venue_symbol?: unknown }
  try {
    entry = JSON.parse(json) ?? {}
  } catch {
    return false
  }
  const { id, venue, symbol, venue_symbol: venueSymbol } = entry
  if (typeof venue !== 'string' || typeof symbol !== 'string') return false
  if (typeof venueSymbol !== 'string') return false
  return table.add(venue, symbol, venueSymbol) === id
}
