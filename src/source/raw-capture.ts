// Raw capture: what sources receive and send, verbatim, as JSON Lines that replay to the same
// records. A file per source, `<source>-<start time>.jsonl`, rolled at a size; one object a line:
//
//   {"t":"open"|"send"|"recv"|"http"|"close","conn":n,"ts_ns":n,"url":…,"data":…|"b64":…}
//
// data is the text when the bytes are UTF-8, else they are in b64. It serves diagnosis, not
// durability: no fsync, and it never holds a source back. When it cannot go on (budget spent, disk
// full or too slow) it stops for good, and says so; a capture with a silent hole would be worse
// than none. Memory is bounded by BACKLOG_BYTES_MAX a source.

import { isUtf8 } from 'node:buffer'
import { mkdirSync, readdirSync, statSync } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import { join } from 'node:path'
import type { Clock } from '../clock.ts'
import { errorText, TickdError } from '../errors.ts'
import { KIB, MIB } from '../limits.ts'
import type { Log } from '../ops/log.ts'

export interface RawCaptureOptions {
  directory: string
  /** A file is closed at this size. */
  fileBytes: number
  /** Capture stops when all files of the directory reach this size. */
  bytesMax: number
  clock: Clock
  log: Log
}

/** Written in pieces of about this size, or when the oldest line is FLUSH_MS old. */
const PIECE_BYTES = 256 * KIB
const FLUSH_MS = 1000
/** Lines that may wait for the disk, per source. */
const BACKLOG_BYTES_MAX = 16 * MIB
const NAME_ATTEMPTS_MAX = 1000
const EXTENSION = '.jsonl'

export class RawCapture {
  readonly options: RawCaptureOptions
  readonly #sources: SourceCapture[] = []
  #bytes = 0
  #stopped = false

  /** Makes the directory, and counts what is in it. Throws TickdError IO when it cannot be used. */
  constructor(options: RawCaptureOptions) {
    this.options = options
    try {
      mkdirSync(options.directory, { recursive: true, mode: 0o750 })
      for (const name of readdirSync(options.directory)) {
        if (name.endsWith(EXTENSION)) this.#bytes += statSync(join(options.directory, name)).size
      }
    } catch (error) {
      throw new TickdError(
        'IO',
        `capture.directory ${options.directory} cannot be used (${errorText(error)}); make it ` +
          'writable, or set capture.enabled to false',
        { cause: error },
      )
    }
  }

  get stopped(): boolean {
    return this.#stopped
  }

  /** The capture of one source. */
  source(name: string): SourceCapture {
    const capture = new SourceCapture(this, name)
    this.#sources.push(capture)
    return capture
  }

  /** Once a duty cycle: writes what has waited long enough. */
  tick(): void {
    const nowMs = this.options.clock.monoMs()
    for (const source of this.#sources) source.tick(nowMs)
  }

  /** Writes everything, and closes the files. */
  async close(): Promise<void> {
    for (const source of this.#sources) await source.close()
    this.#sources.length = 0
  }

  /** Takes `size` bytes of the budget; false when it is spent. */
  spend(size: number): boolean {
    if (this.#stopped) return false
    if (this.#bytes + size > this.options.bytesMax) {
      this.stop('capture.bytes_max is reached; remove old files or raise it, and restart')
      return false
    }
    this.#bytes += size
    return true
  }

  stop(reason: string): void {
    if (this.#stopped) return
    this.#stopped = true
    const { directory, log } = this.options
    log.error({ directory, bytes: this.#bytes, reason }, 'raw capture stopped')
  }
}

export class SourceCapture {
  readonly #capture: RawCapture
  readonly #name: string
  #lines: string[] = []
  #waitingBytes = 0
  #oldestMs = 0
  #file: FileHandle | undefined
  #fileBytes = 0
  #writing: Promise<void> | undefined

  constructor(capture: RawCapture, name: string) {
    this.#capture = capture
    this.#name = name
  }

  /** A connection was opened. `conn` is unique within the source. */
  open(conn: number, url: string): void {
    this.#now('open', conn, `,"url":${JSON.stringify(url)}`)
  }

  sent(conn: number, text: string): void {
    this.#now('send', conn, `,"data":${JSON.stringify(text)}`)
  }

  /** Bytes as they came, with their receive time. */
  received(conn: number, at: { recvSec: number; recvNsec: number }, bytes: Buffer): void {
    this.#add('recv', conn, at.recvSec, at.recvNsec, content(bytes))
  }

  /** The body of an answer to a request of `url`. */
  http(conn: number, at: { recvSec: number; recvNsec: number }, url: string, body: Buffer): void {
    const rest = `,"url":${JSON.stringify(url)}${content(body)}`
    this.#add('http', conn, at.recvSec, at.recvNsec, rest)
  }

  closed(conn: number): void {
    this.#now('close', conn, '')
  }

  tick(nowMs: number): void {
    if (this.#waitingBytes > 0 && nowMs - this.#oldestMs >= FLUSH_MS) this.#flush()
  }

  async close(): Promise<void> {
    while (this.#writing !== undefined || this.#waitingBytes > 0) {
      this.#flush()
      await this.#writing
    }
    await this.#file?.close()
    this.#file = undefined
  }

  #now(type: string, conn: number, rest: string): void {
    const { clock } = this.#capture.options
    clock.read()
    this.#add(type, conn, clock.sec, clock.nsec, rest)
  }

  #add(type: string, conn: number, sec: number, nsec: number, rest: string): void {
    if (this.#capture.stopped) return
    // By text: as a number it would be rounded. No time of ours is in 1970.
    const ns = sec > 0 ? `${sec}${String(nsec).padStart(9, '0')}` : '0'
    const line = `{"t":"${type}","conn":${conn},"ts_ns":${ns}${rest}}\n`
    const size = Buffer.byteLength(line)
    if (this.#waitingBytes + size > BACKLOG_BYTES_MAX) {
      this.#capture.stop('the disk is too slow for what is received')
      return
    }
    if (!this.#capture.spend(size)) return
    if (this.#waitingBytes === 0) this.#oldestMs = this.#capture.options.clock.monoMs()
    this.#lines.push(line)
    this.#waitingBytes += size
    if (this.#waitingBytes >= PIECE_BYTES) this.#flush()
  }

  /** Begins to write what waits, unless a write is under way. */
  #flush(): void {
    if (this.#writing !== undefined || this.#waitingBytes === 0) return
    const piece = this.#lines.join('')
    const size = this.#waitingBytes
    this.#lines = []
    this.#waitingBytes = 0
    this.#writing = this.#write(piece, size)
      .catch((error) => this.#capture.stop(errorText(error)))
      .finally(() => {
        this.#writing = undefined
      })
  }

  async #write(piece: string, size: number): Promise<void> {
    const { directory, fileBytes } = this.#capture.options
    if (this.#file !== undefined && this.#fileBytes + size > fileBytes) {
      await this.#file.close()
      this.#file = undefined
    }
    if (this.#file === undefined) {
      this.#file = await this.#openNext(directory)
      this.#fileBytes = 0
    }
    await this.#file.writeFile(piece)
    this.#fileBytes += size
  }

  /** A new file, named by the time; by the next free nanosecond, where one is there already. */
  async #openNext(directory: string): Promise<FileHandle> {
    const { clock } = this.#capture.options
    clock.read()
    for (let later = 0; ; later++) {
      const time = startTime(clock.sec, clock.nsec + later)
      try {
        // wx: a file that is there is another run's, or ours of a coarse clock, and stays.
        return await open(join(directory, `${this.#name}-${time}${EXTENSION}`), 'wx', 0o640)
      } catch (error) {
        const isTaken = (error as NodeJS.ErrnoException).code === 'EEXIST'
        if (!isTaken || later === NAME_ATTEMPTS_MAX) throw error
      }
    }
  }
}

/** '20240808T235415.208000000Z': sorts by time. */
function startTime(sec: number, nsec: number): string {
  const seconds = new Date(sec * 1000).toISOString().slice(0, 19).replaceAll(/[-:]/g, '')
  return `${seconds}.${String(nsec).padStart(9, '0')}Z`
}

function content(bytes: Buffer): string {
  if (isUtf8(bytes)) return `,"data":${JSON.stringify(bytes.toString('utf8'))}`
  return `,"b64":"${bytes.toString('base64')}"`
}
