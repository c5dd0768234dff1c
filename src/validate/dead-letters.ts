// The dead letters of one shard: raw bytes of what was refused, with the reason, on disk.
//
// Not durable to the last letter: they are gathered in memory and written when there are many, when
// the agent is idle, and at close; a crash loses what was gathered. Never throws: a disk that
// refuses them is counted (write_failures) and said once an outage.
//
// Bounded: files of an eighth of `bytes_max`; the oldest is removed, and its letters are counted as
// discarded, before the whole would exceed it. One store writes a directory (one a shard).
//
// Invariants: the files hold whole entries only, but for a torn one at the end of the last file
// after a crash, which is cut off before more is written; a file is never changed otherwise.

import {
  closeSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  statSync,
  truncateSync,
  unlinkSync,
  writeSync,
} from 'node:fs'
import path from 'node:path'
import type { Config } from '../config/schema.ts'
import { errorText } from '../errors.ts'
import { DEAD_LETTER_BUFFER_BYTES, DEAD_LETTER_FILE_BYTES_MAX } from '../limits.ts'
import type { CounterName } from '../ops/counter-catalog.ts'
import type { CounterSet } from '../ops/counters.ts'
import type { Log } from '../ops/log.ts'
import type { FrameMeta } from '../ring/frame-ring.ts'
import type { TickBatch } from '../tick/batch.ts'
import { writeSplit } from '../tick/fixed-point.ts'
import { TICK_BYTES, TICK_WORDS, WORD } from '../tick/layout.ts'
import {
  LETTER_ALIGN_BYTES,
  LETTER_FLAG,
  LETTER_HEADER_BYTES,
  LETTER_MAGIC,
  LETTER_OFFSET,
  letterCrc,
  letterFileName,
  letterFileNumber,
  letterSize,
  letterSizeAt,
} from './dead-letter-format.ts'

const FILES_PER_BUDGET = 8

export interface DeadLetterStoreOptions {
  /** Directory of this shard's files: `<state>/dead-letters/shard-<number>`. */
  readonly directory: string
  readonly config: Config['dead_letters']
  readonly counters: CounterSet<CounterName<'dead_letters'>>
  readonly log: Log
}

interface LetterFile {
  readonly number: number
  size: number
  /** Unknown (-1) of a file that an earlier process wrote. */
  letterCount: number
}

export class DeadLetterStore {
  readonly #options: DeadLetterStoreOptions
  readonly #fileBytesMax: number
  readonly #buffer: Buffer
  readonly #words: Int32Array
  #bufferedBytes = 0
  #bufferedCount = 0
  /** Oldest first; the last one is written. Undefined until the first write. */
  #files: LetterFile[] | undefined
  #fd: number | undefined
  #failing = false

  constructor(options: DeadLetterStoreOptions) {
    this.#options = options
    this.#fileBytesMax = Math.min(
      Math.floor(options.config.bytes_max / FILES_PER_BUDGET),
      DEAD_LETTER_FILE_BYTES_MAX,
    )
    const largest = letterSize(this.#rawBytesMax(LETTER_FLAG.RECORD))
    const size = Math.max(Math.min(DEAD_LETTER_BUFFER_BYTES, this.#fileBytesMax), largest) & -8
    this.#buffer = Buffer.alloc(size)
    this.#words = new Int32Array(this.#buffer.buffer, this.#buffer.byteOffset, size >> 2)
  }

  /** Letters gathered and not yet written. */
  get bufferedCount(): number {
    return this.#bufferedCount
  }

  /** Keeps a message bytes[start, end) of a frame. `reason`: index in REJECT_REASONS. */
  addMessage(reason: number, meta: FrameMeta, bytes: Uint8Array, start: number, end: number): void {
    const at = this.#begin(reason, 0, meta.format, 0, end - start)
    const word = at >> 2
    writeSplit(this.#words, word + (LETTER_OFFSET.tsRecv >> 2), false, meta.recvSec, meta.recvNsec)
    this.#buffer.writeUInt16LE(meta.source, at + LETTER_OFFSET.source)
    this.#finish(at, 0, bytes, start, end)
  }

  /**
   * Keeps record `index` of a batch and the message bytes[start, end) that it came from. `reason`:
   * index in QUARANTINE_REASONS.
   */
  addRecord(
    reason: number,
    format: number,
    batch: TickBatch,
    index: number,
    bytes: Uint8Array,
    start: number,
    end: number,
  ): void {
    const rawBytes = TICK_BYTES + end - start
    const at = this.#begin(reason, LETTER_FLAG.RECORD, format, batch.instrument(index), rawBytes)
    const word = (at + LETTER_OFFSET.tsRecv) >> 2
    const recv = index * TICK_WORDS + WORD.ts_recv
    this.#words[word] = batch.words[recv] as number
    this.#words[word + 1] = batch.words[recv + 1] as number
    this.#buffer.writeUInt16LE(batch.source(index), at + LETTER_OFFSET.source)
    const tick = index * TICK_BYTES
    this.#buffer.set(batch.bytes.subarray(tick, tick + TICK_BYTES), at + LETTER_HEADER_BYTES)
    this.#finish(at, TICK_BYTES, bytes, start, end)
  }

  /** Writes what was gathered. */
  flush(): void {
    if (this.#bufferedCount === 0) return
    const { counters, log, directory } = this.#options
    try {
      this.#write()
      counters.add('letters', this.#bufferedCount)
      counters.add('bytes', this.#bufferedBytes)
      this.#failing = false
    } catch (error) {
      counters.add('write_failures', this.#bufferedCount)
      if (!this.#failing) {
        const reason = errorText(error)
        log.error({ directory, reason }, 'dead letters cannot be written and are lost, but counted')
      }
      this.#failing = true
      this.#giveUp()
    }
    this.#bufferedBytes = 0
    this.#bufferedCount = 0
  }

  close(): void {
    this.flush()
    this.#closeFile()
  }

  /** Makes room for an entry and writes its header but for the time and source. */
  #begin(
    reason: number,
    flags: number,
    format: number,
    instrument: number,
    rawBytes: number,
  ): number {
    const length = Math.min(rawBytes, this.#rawBytesMax(flags))
    const size = letterSize(length)
    if (this.#bufferedBytes + size > this.#buffer.length) this.flush()
    const at = this.#bufferedBytes
    const buffer = this.#buffer.fill(0, at, at + size)
    buffer.writeUInt32LE(LETTER_MAGIC, at + LETTER_OFFSET.magic)
    buffer.writeUInt32LE(length, at + LETTER_OFFSET.length)
    buffer.writeUInt32LE(rawBytes, at + LETTER_OFFSET.fullLength)
    buffer.writeUInt32LE(instrument, at + LETTER_OFFSET.instrument)
    buffer[at + LETTER_OFFSET.reason] = reason
    buffer[at + LETTER_OFFSET.format] = format
    buffer[at + LETTER_OFFSET.flags] = flags | (length < rawBytes ? LETTER_FLAG.TRUNCATED : 0)
    return at
  }

  /** Raw bytes kept of one letter: it fits in a file, whatever the two options say. */
  #rawBytesMax(flags: number): number {
    const record = flags & LETTER_FLAG.RECORD ? TICK_BYTES : 0
    const fits = (this.#fileBytesMax & -LETTER_ALIGN_BYTES) - LETTER_HEADER_BYTES
    return Math.min(this.#options.config.letter_bytes_max + record, fits)
  }

  /** Adds as much of the message as the entry's length leaves, and the checksum. */
  #finish(at: number, before: number, bytes: Uint8Array, start: number, end: number): void {
    const length = this.#buffer.readUInt32LE(at + LETTER_OFFSET.length)
    const cut = Math.min(end, start + length - before)
    this.#buffer.set(bytes.subarray(start, cut), at + LETTER_HEADER_BYTES + before)
    this.#buffer.writeUInt32LE(letterCrc(this.#buffer, at, length), at + LETTER_OFFSET.crc)
    this.#bufferedBytes += letterSize(length)
    this.#bufferedCount++
  }

  #write(): void {
    const files = this.#open()
    let file = files.at(-1)
    if (file === undefined || file.size + this.#bufferedBytes > this.#fileBytesMax) {
      this.#closeFile()
      file = { number: (file?.number ?? 0) + 1, size: 0, letterCount: 0 }
      files.push(file)
    }
    this.#discardOldest(files)
    this.#fd ??= openSync(this.#path(file.number), 'a', 0o640)
    let written = 0
    while (written < this.#bufferedBytes) {
      written += writeSync(this.#fd, this.#buffer, written, this.#bufferedBytes - written)
    }
    file.size += written
    if (file.letterCount >= 0) file.letterCount += this.#bufferedCount
  }

  /** The files of the directory; a torn entry at the end of the last one is cut off. */
  #open(): LetterFile[] {
    if (this.#files !== undefined) return this.#files
    const { directory } = this.#options
    mkdirSync(directory, { recursive: true, mode: 0o750 })
    const files = readdirSync(directory)
      .map(letterFileNumber)
      .filter((number) => number > 0)
      .sort((a, b) => a - b)
      .map((number) => ({ number, size: statSync(this.#path(number)).size, letterCount: -1 }))
    const last = files.at(-1)
    if (last !== undefined) {
      const { size, letterCount } = scan(readFileSync(this.#path(last.number)))
      if (size < last.size) truncateSync(this.#path(last.number), size)
      last.size = size
      last.letterCount = letterCount
    }
    this.#files = files
    return files
  }

  /** Removes the oldest files until what is gathered fits in the budget. */
  #discardOldest(files: LetterFile[]): void {
    let total = this.#bufferedBytes
    for (const { size } of files) total += size
    while (total > this.#options.config.bytes_max && files.length > 1) {
      const oldest = files[0] as LetterFile
      const file = this.#path(oldest.number)
      const count =
        oldest.letterCount >= 0 ? oldest.letterCount : scan(readFileSync(file)).letterCount
      unlinkSync(file)
      files.shift()
      total -= oldest.size
      this.#options.counters.add('letters_discarded', count)
    }
  }

  /** After a failed write: no half entry stays, and the directory is looked at anew. */
  #giveUp(): void {
    const file = this.#files?.at(-1)
    if (this.#fd !== undefined && file !== undefined) {
      try {
        ftruncateSync(this.#fd, file.size)
      } catch {
        // Then the next #open() cuts it.
      }
    }
    this.#closeFile()
    this.#files = undefined
  }

  #closeFile(): void {
    const fd = this.#fd
    this.#fd = undefined
    if (fd === undefined) return
    try {
      closeSync(fd)
    } catch {
      // The descriptor is gone either way.
    }
  }

  #path(number: number): string {
    return path.join(this.#options.directory, letterFileName(number))
  }
}

/** Whole entries from the start of a file: their bytes and count. */
function scan(bytes: Uint8Array): { size: number; letterCount: number } {
  let size = 0
  let letterCount = 0
  for (let next = letterSizeAt(bytes, 0); next > 0; next = letterSizeAt(bytes, size)) {
    size += next
    letterCount++
  }
  return { size, letterCount }
}
