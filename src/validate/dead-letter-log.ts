// What became of dead letters afterwards: driven again, purged. `settled.log` beside their files,
// which are never changed.
//
//   <crc32 of the JSON, 8 hex digits> <JSON>\n
//
//   try     is about to be put on the way of ticks, while the journal's durable position was `seq`.
//           Without a later line of the same letter: in doubt, for the journal to answer.
//   done    settled, `as` what. Never driven again.
//   failed  still refused, `why`. Stays where it is; its tries are counted.
//
// A letter is known by its digest, so that one which was written twice is settled once. Lines are
// fsynced before what they announce happens, or before it is told. One thread writes.
//
// Bounded by the letters on disk: lines about files that are gone go when the log is rewritten.

import { createHash } from 'node:crypto'
import {
  closeSync,
  existsSync,
  fsyncSync,
  ftruncateSync,
  openSync,
  readFileSync,
  renameSync,
  writeSync,
} from 'node:fs'
import path from 'node:path'
import { crc32 } from 'node:zlib'
import { errorText, TickdError } from '../errors.ts'
import { MIB } from '../limits.ts'
import { syncDirectory } from './dead-letter-files.ts'
import type { DeadLetter } from './dead-letter-reader.ts'

/**
 * recovered: stored now; ignored: understood, and rightly no record; quarantined: a rule refuses
 * its records, which are letters of their own now.
 */
export const OUTCOMES = ['recovered', 'duplicate', 'ignored', 'quarantined', 'purged'] as const
export type Outcome = (typeof OUTCOMES)[number]

interface LetterName {
  /** Digest: see letterDigest. */
  readonly letter: string
  /** Where it lies. */
  readonly id: string
}

export type LogLine =
  | (LetterName & Try & { readonly is: 'try' })
  | (LetterName & { readonly is: 'done'; readonly as: Outcome })
  /** `tries`: that many at once, in a log that was rewritten. */
  | (LetterName & { readonly is: 'failed'; readonly why: string; readonly tries?: number })

/** Where the journal stood when a letter was put on its way. */
export interface Try {
  readonly shard: number
  /** Which journal: another one that came in its place knows nothing of it. */
  readonly journal: string
  /** Next sequence after the durable ones. */
  readonly seq: number
}

/** What is known of a letter. */
export interface Fate {
  readonly id: string
  /** Times it was driven again. */
  tries: number
  /** Undefined while it is a dead letter. */
  as: Outcome | undefined
  /** Why the last try failed; '' if none did. */
  why: string
  /** Set while it is not known what became of the last try. */
  doubt: Try | undefined
}

const LOG_FILE = 'settled.log'
const CRC_DIGITS = 8
/** Hex digits of a letter's name: 80 bits. */
const DIGEST_DIGITS = 20
/** A log below this size is not worth rewriting. */
const COMPACT_BYTES_MIN = MIB
/** About that of a line. */
const LINE_BYTES = 110

/** The name of a letter by its contents: equal for the two of one that was written twice. */
export function letterDigest(letter: DeadLetter): string {
  const { stage, reason, sourceName, format, recvNs, origin, ordinal, record, bytes } = letter
  // Version 1 does not tell two equal messages from one that was written twice.
  const place = origin < 0 ? letter.id : `${origin} ${ordinal}`
  const hash = createHash('sha1')
  hash.update(`${stage} ${reason} ${sourceName} ${format} ${recvNs} ${place}\n`)
  if (record !== undefined) hash.update(record)
  return hash.update(bytes).digest('hex').slice(0, DIGEST_DIGITS)
}

export class SettlementLog {
  readonly fates = new Map<string, Fate>()
  /** Lines in the middle that do not read: what they said is not known. */
  damagedCount = 0
  readonly #path: string
  #size = 0
  #fd: number | undefined

  /** Reads the log of `<state>/dead-letters`; writes nothing before `append`. */
  constructor(directory: string) {
    this.#path = path.join(directory, LOG_FILE)
    this.#load()
  }

  /** Adds lines, durably, before it returns. Throws IO. */
  append(lines: readonly LogLine[]): void {
    if (lines.length === 0) return
    try {
      this.#fd ??= this.#open()
      this.#size += writeAll(this.#fd, lines.map(lineText).join(''))
      fsyncSync(this.#fd)
    } catch (error) {
      throw this.#ioError(error)
    }
    for (const line of lines) this.#apply(line)
  }

  /** Rewrites a long log without what is said of letters for which `isThere` is false. */
  compact(isThere: (id: string) => boolean): void {
    // Not each time for a log that says no more than it must.
    const needed = this.fates.size * LINE_BYTES
    if (this.#size < COMPACT_BYTES_MIN || this.#size < 2 * needed) return
    for (const [letter, { id }] of this.fates) if (!isThere(id)) this.fates.delete(letter)
    const lines = [...this.fates].flatMap(([letter, fate]) => linesOf(letter, fate))
    const fresh = `${this.#path}.new`
    this.close()
    try {
      const fd = openSync(fresh, 'w', 0o640)
      this.#size = writeAll(fd, lines.map(lineText).join(''))
      fsyncSync(fd)
      closeSync(fd)
      renameSync(fresh, this.#path)
      syncDirectory(path.dirname(this.#path))
    } catch (error) {
      throw this.#ioError(error)
    }
  }

  close(): void {
    if (this.#fd !== undefined) closeSync(this.#fd)
    this.#fd = undefined
  }

  /** Cuts a torn last line, which #load() has passed over, off. */
  #open(): number {
    const isNew = !existsSync(this.#path)
    const fd = openSync(this.#path, 'a', 0o640)
    ftruncateSync(fd, this.#size)
    if (isNew) syncDirectory(path.dirname(this.#path))
    return fd
  }

  #load(): void {
    if (!existsSync(this.#path)) return
    const text = readFileSync(this.#path, 'utf8')
    const end = text.lastIndexOf('\n') + 1
    this.#size = Buffer.byteLength(text.slice(0, end))
    for (const line of text.slice(0, end).split('\n')) {
      if (line === '') continue
      const json = line.slice(CRC_DIGITS + 1)
      if (line.slice(0, CRC_DIGITS) === crcText(json)) this.#apply(JSON.parse(json))
      else this.damagedCount++
    }
  }

  #apply(line: LogLine): void {
    const fate = this.fates.get(line.letter) ?? newFate(line.id)
    this.fates.set(line.letter, fate)
    fate.doubt = undefined
    switch (line.is) {
      case 'try':
        fate.tries++
        fate.doubt = { shard: line.shard, journal: line.journal, seq: line.seq }
        return
      case 'done':
        fate.as = line.as
        return
      case 'failed':
        // One that went as far as a try is counted by it.
        fate.tries += line.tries ?? (line.why === NOT_TAKEN ? 0 : 1)
        fate.why = line.why
    }
  }

  #ioError(error: unknown): TickdError {
    const text = `${this.#path} cannot be written (${errorText(error)})`
    return new TickdError('IO', `${text}; nothing more is driven again`, { cause: error })
  }
}

/** `why` of a try of which the journal shows nothing: the daemon ended before. */
export const NOT_TAKEN = 'not_taken'

function newFate(id: string): Fate {
  return { id, tries: 0, as: undefined, why: '', doubt: undefined }
}

/** The shortest lines that tell a fate. */
function linesOf(letter: string, { id, tries, as, why, doubt }: Fate): LogLine[] {
  if (as !== undefined) return [{ is: 'done', letter, id, as }]
  const failed = doubt === undefined ? tries : tries - 1
  const lines: LogLine[] = []
  if (failed > 0) lines.push({ is: 'failed', letter, id, why, tries: failed })
  if (doubt !== undefined) lines.push({ is: 'try', letter, id, ...doubt })
  return lines
}

function lineText(line: LogLine): string {
  const json = JSON.stringify(line)
  return `${crcText(json)} ${json}\n`
}

function crcText(json: string): string {
  return crc32(json).toString(16).padStart(CRC_DIGITS, '0')
}

function writeAll(fd: number, text: string): number {
  const bytes = Buffer.from(text)
  let written = 0
  while (written < bytes.length) written += writeSync(fd, bytes, written)
  return written
}
