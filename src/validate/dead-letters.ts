// The dead letters of one writer: raw bytes of what was refused, with the reason, on disk.
//
// They are gathered in memory, written when there are many, and fsynced by `flush`, which the agent
// calls every half second and at close: a crash of the process or a power cut loses at most what
// came since. Who must not lose any calls `flush` and looks at its answer. Never throws: a disk
// that refuses them is counted (write_failures) and said once an outage.
//
// Bounded: files of an eighth of `bytes_max`, the oldest of which goes. One store writes a
// directory: shard-<n> is decode's, store-<n> the database writer's.

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
import { LetterFiles } from './dead-letter-files.ts'
import {
  LETTER_ALIGN_BYTES,
  LETTER_FLAG,
  LETTER_HEADER_BYTES,
  LETTER_MAGIC,
  LETTER_OFFSET,
  LETTER_STAGES,
  type LetterStage,
  letterCrc,
  letterSize,
} from './dead-letter-format.ts'

const FILES_PER_BUDGET = 8
/** A detail is a sentence, not a page. */
const DETAIL_BYTES_MAX = 1024
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
  readonly #files: LetterFiles
  readonly #buffer: Buffer
  readonly #words: Int32Array
  #bufferedBytes = 0
  #bufferedCount = 0
  #failing = false

  constructor(options: DeadLetterStoreOptions) {
    this.#options = options
    this.#names = options.sources.map((name) => encoder.encode(name))
    this.#fileBytesMax = Math.min(
      Math.floor(options.config.bytes_max / FILES_PER_BUDGET),
      DEAD_LETTER_FILE_BYTES_MAX,
    )
    this.#files = new LetterFiles({
      directory: options.directory,
      fileBytesMax: this.#fileBytesMax,
      bytesMax: options.config.bytes_max,
      onDiscard: (letterCount) => options.counters.add('letters_discarded', letterCount),
    })
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
    this.#files.close()
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
      this.#files.write(this.#buffer.subarray(0, this.#bufferedBytes), this.#bufferedCount)
      counters.add('letters', this.#bufferedCount)
      counters.add('bytes', this.#bufferedBytes)
      this.#failing = false
    } catch (error) {
      isWritten = false
      counters.add('write_failures', this.#bufferedCount)
      this.#complain(error, 'dead letters cannot be written and are lost, but counted')
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

  #sync(): boolean {
    try {
      this.#files.sync()
      return true
    } catch (error) {
      this.#options.counters.add('sync_failures')
      this.#complain(error, 'fsync of dead letters failed: the last of them may be lost')
      return false
    }
  }
}
