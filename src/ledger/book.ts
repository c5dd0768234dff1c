// The ledger's book: lines appended to numbered files, each under a checksum; old files removed.
//
//   ledger/000001.jsonl      9ae0daaf {"type":"minute",…}
//
// Written by the main thread, once a minute, and fsynced. A line without its end is what a crash
// left: cut off when the daemon opens the book, passed over by others (it may be being written). A
// line that its checksum does not cover is damage: counted, and never read as if it were whole.
// Bounded by age and bytes; while the disk refuses, by lines in memory.

import {
  closeSync,
  existsSync,
  fsyncSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeSync,
} from 'node:fs'
import { join } from 'node:path'
import { crc32 } from 'node:zlib'
import { errorText } from '../errors.ts'
import { LEDGER_FILE_BYTES, LEDGER_LINES_WAITING_MAX } from '../limits.ts'
import type { CounterName } from '../ops/counter-catalog.ts'
import type { CounterSet } from '../ops/counters.ts'
import type { Log } from '../ops/log.ts'
import type { LedgerLine } from './minute.ts'

const FILE_NAME = /^(\d{6,})\.jsonl$/
const DAY_MS = 86_400_000

export interface BookOptions {
  readonly directory: string
  readonly retainDays: number
  readonly retainBytes: number
  readonly log: Log
  readonly counters: CounterSet<CounterName<'ledger'>>
}

export interface BookPart {
  /** As they follow each other in the book. */
  readonly lines: LedgerLine[]
  /** There are older ones, which were not asked for or did not fit. */
  readonly more: boolean
  readonly damaged: number
}

export class LedgerBook {
  readonly #options: BookOptions
  /** Lines that the disk has not taken yet, with their checksums. */
  readonly #waiting: string[] = []
  #number = 1

  constructor(options: BookOptions) {
    this.#options = options
  }

  /** Makes the directory, cuts a torn end off. Returns the last line that is whole. */
  open(): LedgerLine | undefined {
    const { directory, counters } = this.#options
    mkdirSync(directory, { recursive: true })
    const numbers = fileNumbers(directory)
    this.#number = numbers.at(-1) ?? 1
    if (numbers.length === 0) return undefined
    const path = filePath(directory, this.#number)
    const bytes = readFileSync(path)
    const wholeBytes = bytes.lastIndexOf(0x0a) + 1
    if (wholeBytes < bytes.length) truncateSync(path, wholeBytes)
    const { lines, damaged } = readBook(directory, { isWanted: () => true, linesMax: 1 })
    counters.set('lines_damaged', damaged)
    counters.set('bytes', bookBytes(directory))
    return lines.at(-1)
  }

  /** Appends durably; what the disk refuses waits, bounded, for the next call. `nowMs`: UTC. */
  append(lines: readonly LedgerLine[], nowMs: number): void {
    const { counters } = this.#options
    for (const line of lines) {
      if (this.#waiting.length === LEDGER_LINES_WAITING_MAX) {
        this.#waiting.shift()
        counters.add('lines_lost')
      }
      this.#waiting.push(lineText(line))
    }
    if (this.#waiting.length === 0) return
    try {
      this.#write(Buffer.from(this.#waiting.join('')))
      this.#waiting.length = 0
      this.#retain(nowMs)
    } catch (error) {
      counters.add('write_failures')
      const fields = { waiting: this.#waiting.length, error: errorText(error) }
      this.#options.log.error(fields, 'the ledger cannot be written; closed minutes wait in memory')
    }
  }

  read(isWanted: (line: LedgerLine) => boolean, linesMax: number): BookPart {
    const part = readBook(this.#options.directory, { isWanted, linesMax })
    this.#options.counters.set('lines_damaged', part.damaged)
    return part
  }

  #write(bytes: Buffer): void {
    const { directory } = this.#options
    let path = filePath(directory, this.#number)
    if (existsSync(path) && statSync(path).size + bytes.length > LEDGER_FILE_BYTES) {
      this.#number++
      path = filePath(directory, this.#number)
    }
    const isNew = !existsSync(path)
    const fd = openSync(path, 'a', 0o640)
    const sizeBytes = isNew ? 0 : statSync(path).size
    try {
      for (let written = 0; written < bytes.length; ) written += writeSync(fd, bytes, written)
      fsyncSync(fd)
      if (isNew) syncDirectory(directory)
    } catch (error) {
      // Half a line in the middle would spoil the one that follows it.
      ftruncateSync(fd, sizeBytes)
      throw error
    } finally {
      closeSync(fd)
    }
  }

  /** Removes the oldest files, but never the one that is written. */
  #retain(nowMs: number): void {
    const { directory, retainDays, retainBytes, counters } = this.#options
    let allBytes = bookBytes(directory)
    for (const number of fileNumbers(directory)) {
      if (number === this.#number) break
      const path = filePath(directory, number)
      const { size, mtimeMs } = statSync(path)
      if (allBytes <= retainBytes && nowMs - mtimeMs <= retainDays * DAY_MS) break
      rmSync(path)
      allBytes -= size
    }
    counters.set('bytes', allBytes)
  }
}

/**
 * The newest lines that are wanted, up to `linesMax`, found from the end backward: the first file
 * whose oldest line is not wanted ends the search. Only reads: may run beside the daemon.
 */
export function readBook(
  directory: string,
  { isWanted, linesMax }: { isWanted: (line: LedgerLine) => boolean; linesMax: number },
): BookPart {
  const lines: LedgerLine[] = []
  let damaged = 0
  let more = false
  if (!existsSync(directory)) return { lines, more, damaged }
  for (const number of fileNumbers(directory).reverse()) {
    const file = readLines(filePath(directory, number))
    damaged += file.damaged
    const wanted = file.lines.filter(isWanted)
    more ||= wanted.length < file.lines.length || lines.length + wanted.length > linesMax
    if (wanted.length > 0) lines.unshift(...wanted.slice(-Math.max(1, linesMax - lines.length)))
    if (more || lines.length >= linesMax) break
  }
  return { lines: lines.slice(-linesMax), more, damaged }
}

function readLines(path: string): { lines: LedgerLine[]; damaged: number } {
  const texts = readFileSync(path, 'utf8').split('\n')
  // Behind the last line's end there is nothing, or a line that is not whole yet.
  texts.pop()
  const lines: LedgerLine[] = []
  let damaged = 0
  for (const text of texts) {
    const line = parseLine(text)
    if (line === undefined) damaged++
    else lines.push(line)
  }
  return { lines, damaged }
}

function lineText(line: LedgerLine): string {
  const json = JSON.stringify(line)
  return `${checksum(json)} ${json}\n`
}

function parseLine(text: string): LedgerLine | undefined {
  const json = text.slice(9)
  if (text[8] !== ' ' || checksum(json) !== text.slice(0, 8)) return undefined
  return JSON.parse(json) as LedgerLine
}

function checksum(json: string): string {
  return crc32(json).toString(16).padStart(8, '0')
}

/** Ascending. */
function fileNumbers(directory: string): number[] {
  return readdirSync(directory)
    .flatMap((name) => FILE_NAME.exec(name)?.[1] ?? [])
    .map(Number)
    .sort((a, b) => a - b)
}

function filePath(directory: string, number: number): string {
  return join(directory, `${String(number).padStart(6, '0')}.jsonl`)
}

function bookBytes(directory: string): number {
  return fileNumbers(directory).reduce((sum, number) => {
    return sum + statSync(filePath(directory, number)).size
  }, 0)
}

function syncDirectory(directory: string): void {
  const fd = openSync(directory, 'r')
  fsyncSync(fd)
  closeSync(fd)
}
