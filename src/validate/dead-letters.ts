// The dead letters of one writer: raw bytes of what was refused, with the reason, on disk.
//
// They are gathered in memory, written when there are many, and fsynced by `flush`, which the agent
// calls every half second and at close: a crash of the process or a power cut loses at most what
// came since. Who must not lose any calls `flush` and looks at its answer. Never throws: a disk
// that refuses them is counted (write_failures) and said once an outage.
//
// Bounded: files of an eighth of `bytes_max`; the oldest is removed, and its letters are counted as
// discarded (here, and in the file `discarded`, which outlives the daemon), before the whole would
// exceed it. One store writes a directory: shard-<n> is decode's, store-<n> the database writer's.
//
// Invariants: the files hold whole entries only, but for a torn one at the end of the last file
// after a crash, which is cut off before more is written; a file is never changed otherwise. Others
// may remove any file but the last.

import {
  closeSync,
  existsSync,
  fdatasyncSync,
  fsyncSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import path from 'node:path'
import type { Config } from '../config/schema.ts'
import { errorText } from '../errors.ts'
import { DEAD_LETTER_BUFFER_BYTES, DEAD_LETTER_FILE_BYTES_MAX } from '../limits.ts'
import type { CounterName } from '../ops/counter-catalog.ts'
import type { CounterSet } from '../ops/counters.ts'
import type { Log } from '../ops/log.ts'
import { FRAME_FORMAT } from '../ring/frame-format.ts'
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
  LETTER_STAGES,
  type LetterStage,
  letterCrc,
  letterFileName,
  letterFileNumber,
  letterSize,
  letterSizeAt,
} from './dead-letter-format.ts'

const FILES_PER_BUDGET = 8
/** A detail is a sentence, not a page. */
const DETAIL_BYTES_MAX = 1024
const DISCARDED_FILE = 'discarded'
/** 48 bits: as many as a sequence has. */
const ORIGIN_BYTES = 6
const NOTHING = new Uint8Array(0)
const encoder = new TextEncoder()

export interface DeadLetterStoreOptions {
  /** Directory of this writer's files: `<state>/dead-letters/shard-<number>`. */
  readonly directory: string
  readonly config: Config['dead_letters']
  /** Names of the sources, by their index in the configuration. */
  readonly sources: readonly string[]
  readonly counters: CounterSet<CounterName<'dead_letters'>>
  readonly log: Log
}

interface LetterFile {
  readonly number: number
  size: number
  /** Unknown (-1) of a file that an earlier process wrote. */
  letterCount: number
}

/** What an entry says beside its bytes. */
interface Head {
  readonly stage: LetterStage
  readonly reason: number
  readonly format: number
  readonly source: number
  /** See dead-letter-format.ts. */
  readonly origin: number
  readonly ordinal: number
  readonly detail: string
}

export class DeadLetterStore {
  readonly #options: DeadLetterStoreOptions
  readonly #names: readonly Uint8Array[]
  readonly #fileBytesMax: number
  readonly #buffer: Buffer
  readonly #words: Int32Array
  #bufferedBytes = 0
  #bufferedCount = 0
  /** Oldest first; the last one is written. Undefined until the first write. */
  #files: LetterFile[] | undefined
  #fd: number | undefined
  /** Written since the last fsync. */
  #isDirty = false
  /** A file was made since the directory was synced. */
  #hasNewFile = false
  #failing = false

  constructor(options: DeadLetterStoreOptions) {
    this.#options = options
    this.#names = options.sources.map((name) => encoder.encode(name))
    this.#fileBytesMax = Math.min(
      Math.floor(options.config.bytes_max / FILES_PER_BUDGET),
      DEAD_LETTER_FILE_BYTES_MAX,
    )
    const wanted = letterSize(options.config.letter_bytes_max + TICK_BYTES + DETAIL_BYTES_MAX + 256)
    const largest = Math.min(wanted, this.#fileBytesMax)
    const size = Math.max(Math.min(DEAD_LETTER_BUFFER_BYTES, this.#fileBytesMax), largest) & -8
    this.#buffer = Buffer.alloc(size)
    this.#words = new Int32Array(this.#buffer.buffer, this.#buffer.byteOffset, size >> 2)
  }

  /** Letters gathered and not yet written. */
  get bufferedCount(): number {
    return this.#bufferedCount
  }

  /** Keeps a message bytes[start, end) of a frame ring. `reason`: index in REJECT_REASONS. */
  addMessage(reason: number, meta: FrameMeta, bytes: Uint8Array, start: number, end: number): void {
    const { source, format, recvSec, recvNsec } = meta
    const head = { reason, format, source, origin: start, ordinal: 0, detail: '' }
    const at = this.#add({ stage: 'decode', ...head }, NOTHING, bytes, start, end)
    const word = (at + LETTER_OFFSET.tsRecv) >> 2
    writeSplit(this.#words, word, false, recvSec, recvNsec)
    this.#seal(at)
  }

  /**
   * Keeps record `index` of a batch, the `ordinal`-th of the message bytes[start, end) of a frame
   * ring. `reason`: index in QUARANTINE_REASONS.
   */
  addRecord(
    reason: number,
    format: number,
    batch: TickBatch,
    index: number,
    bytes: Uint8Array,
    start: number,
    end: number,
    ordinal = 0,
  ): void {
    const head = { reason, format, source: batch.source(index), origin: start, ordinal, detail: '' }
    this.#addTick({ stage: 'validate', ...head }, batch, index, bytes, start, end)
  }

  /**
   * Keeps record `index` of a batch, which was accepted as `seq` and which a store refuses. Written
   * twice (the transaction was tried again), it is still one letter: `seq` names it. `reason`:
   * index in STORE_REASONS; `detail`: what the store said, of which the first KiB is kept.
   */
  addRefused(reason: number, batch: TickBatch, index: number, seq: number, detail: string): void {
    const source = batch.source(index)
    const { packed: format } = FRAME_FORMAT
    const head = { reason, format, source, origin: seq, ordinal: 0, detail }
    this.#addTick({ stage: 'store', ...head }, batch, index, NOTHING, 0, 0)
  }

  /** Writes what was gathered, and fsyncs. False when letters were lost (and counted). */
  flush(): boolean {
    const isWritten = this.#spill()
    return this.#sync() && isWritten
  }

  close(): void {
    this.flush()
    this.#closeFile()
  }

  #addTick(
    head: Head,
    batch: TickBatch,
    index: number,
    bytes: Uint8Array,
    start: number,
    end: number,
  ): void {
    const tick = batch.bytes.subarray(index * TICK_BYTES, (index + 1) * TICK_BYTES)
    const at = this.#add(head, tick, bytes, start, end)
    const word = (at + LETTER_OFFSET.tsRecv) >> 2
    const recv = index * TICK_WORDS + WORD.ts_recv
    this.#words[word] = batch.words[recv] as number
    this.#words[word + 1] = batch.words[recv + 1] as number
    this.#buffer.writeUInt32LE(batch.instrument(index), at + LETTER_OFFSET.instrument)
    this.#seal(at)
  }

  /** Gathers an entry but for its time, instrument and checksum; returns where it is. */
  #add(head: Head, tick: Uint8Array, bytes: Uint8Array, start: number, end: number): number {
    const { stage, reason, format, source, origin, ordinal } = head
    const name = this.#names[source] ?? NOTHING
    const detail = encoder.encode(head.detail).subarray(0, DETAIL_BYTES_MAX)
    const before = name.length + detail.length + tick.length
    const kept = Math.min(end - start, this.#messageBytesMax(before))
    const size = letterSize(before + kept)
    if (this.#bufferedBytes + size > this.#buffer.length) this.#spill()
    const at = this.#bufferedBytes
    const buffer = this.#buffer.fill(0, at, at + size)
    buffer.writeUInt32LE(LETTER_MAGIC, at + LETTER_OFFSET.magic)
    buffer.writeUInt32LE(before + kept, at + LETTER_OFFSET.length)
    buffer.writeUInt32LE(before + end - start, at + LETTER_OFFSET.fullLength)
    buffer.writeUInt16LE(source, at + LETTER_OFFSET.source)
    buffer[at + LETTER_OFFSET.reason] = reason
    buffer[at + LETTER_OFFSET.format] = format
    buffer[at + LETTER_OFFSET.flags] =
      (tick.length > 0 ? LETTER_FLAG.RECORD : 0) | (kept < end - start ? LETTER_FLAG.TRUNCATED : 0)
    buffer[at + LETTER_OFFSET.stage] = LETTER_STAGES.indexOf(stage)
    buffer[at + LETTER_OFFSET.nameBytes] = name.length
    buffer.writeUInt16LE(detail.length, at + LETTER_OFFSET.detailBytes)
    buffer.writeUIntLE(origin, at + LETTER_OFFSET.origin, ORIGIN_BYTES)
    buffer.writeUInt32LE(ordinal, at + LETTER_OFFSET.ordinal)
    const payload = at + LETTER_HEADER_BYTES
    buffer.set(name, payload)
    buffer.set(detail, payload + name.length)
    buffer.set(tick, payload + name.length + detail.length)
    buffer.set(bytes.subarray(start, start + kept), payload + before)
    return at
  }

  /** Closes the entry at `at` with its checksum. */
  #seal(at: number): void {
    const length = this.#buffer.readUInt32LE(at + LETTER_OFFSET.length)
    const crc = letterCrc(this.#buffer, at, at + LETTER_HEADER_BYTES + length)
    this.#buffer.writeUInt32LE(crc, at + LETTER_OFFSET.crc)
    this.#bufferedBytes += letterSize(length)
    this.#bufferedCount++
  }

  /** Bytes kept of a message: the entry fits in a file, whatever the two options say. */
  #messageBytesMax(before: number): number {
    const fits = (this.#fileBytesMax & -LETTER_ALIGN_BYTES) - LETTER_HEADER_BYTES - before
    return Math.min(this.#options.config.letter_bytes_max, fits)
  }

  /** Writes what was gathered. False when it is lost, and counted. */
  #spill(): boolean {
    if (this.#bufferedCount === 0) return true
    const { counters } = this.#options
    let isWritten = true
    try {
      this.#write()
      counters.add('letters', this.#bufferedCount)
      counters.add('bytes', this.#bufferedBytes)
      this.#failing = false
    } catch (error) {
      isWritten = false
      counters.add('write_failures', this.#bufferedCount)
      this.#complain(error, 'dead letters cannot be written and are lost, but counted')
      this.#giveUp()
    }
    this.#bufferedBytes = 0
    this.#bufferedCount = 0
    return isWritten
  }

  /** Once an outage. */
  #complain(error: unknown, message: string): void {
    const { log, directory } = this.#options
    if (!this.#failing) log.error({ directory, reason: errorText(error) }, message)
    this.#failing = true
  }

  /** False when the disk does not say that it holds what was written: a power cut may lose it. */
  #sync(): boolean {
    if (!this.#isDirty || this.#fd === undefined) return true
    this.#isDirty = false
    try {
      fdatasyncSync(this.#fd)
      if (this.#hasNewFile) syncDirectory(this.#options.directory)
      this.#hasNewFile = false
      return true
    } catch (error) {
      this.#options.counters.add('sync_failures')
      this.#complain(error, 'fsync of dead letters failed: the last of them may be lost')
      return false
    }
  }

  #write(): void {
    const files = this.#open()
    let file = files.at(-1)
    if (file === undefined || file.size + this.#bufferedBytes > this.#fileBytesMax) {
      this.#sync()
      this.#closeFile()
      file = { number: (file?.number ?? 0) + 1, size: 0, letterCount: 0 }
      files.push(file)
    }
    this.#discardOldest(files)
    this.#fd ??= this.#openFile(file)
    this.#isDirty = true
    let written = 0
    while (written < this.#bufferedBytes) {
      written += writeSync(this.#fd, this.#buffer, written, this.#bufferedBytes - written)
    }
    file.size += written
    if (file.letterCount >= 0) file.letterCount += this.#bufferedCount
  }

  #openFile(file: LetterFile): number {
    this.#hasNewFile ||= file.size === 0
    return openSync(this.#path(file.number), 'a', 0o640)
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
      const oldest = files.shift() as LetterFile
      total -= oldest.size
      this.#discard(oldest)
    }
  }

  #discard({ number, letterCount }: LetterFile): void {
    const { counters, directory } = this.#options
    const file = this.#path(number)
    // Purged by hand meanwhile: not ours to count.
    if (!existsSync(file)) return
    const count = letterCount >= 0 ? letterCount : scan(readFileSync(file)).letterCount
    rmSync(file, { force: true })
    counters.add('letters_discarded', count)
    writeFileSync(path.join(directory, DISCARDED_FILE), `${discardedCount(directory) + count}\n`)
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

/** Letters of a directory that were discarded to stay within the budget, ever. */
export function discardedCount(directory: string): number {
  const file = path.join(directory, DISCARDED_FILE)
  if (!existsSync(file)) return 0
  return Number.parseInt(readFileSync(file, 'utf8'), 10) || 0
}

/** A new file is there after a power cut once its directory is on the disk. */
function syncDirectory(directory: string): void {
  const fd = openSync(directory, 'r')
  try {
    fsyncSync(fd)
  } finally {
    closeSync(fd)
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
