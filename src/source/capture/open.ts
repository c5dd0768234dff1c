// Opening a capture: file -> unpacked bytes -> lines -> frames. See capture.ts for the contract.
//
// Streaming throughout: at most a piece of the file, one line and the held snapshots are in memory.
// .zst and .gz are unpacked on the way; damage and truncation are errors that name the line.

import { createReadStream } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import { pipeline } from 'node:stream'
import { createGunzip } from 'node:zlib'
import { errorText, TickdError } from '../../errors.ts'
import { FRAME_BYTES_MAX, KIB } from '../../limits.ts'
import type { CaptureCounts, CaptureFrame, CaptureOptions, CaptureReader } from './capture.ts'
import { type CaptureLine, readJsonLine } from './json-lines.ts'
import { LINE, LineBuffer } from './line-buffer.ts'
import { depthSymbol, SnapshotHold, wrapSnapshot } from './snapshots.ts'
import { unzstd } from './zstd-frames.ts'

/** A frame in JSON: every byte may be an escape of two, and HTTP answers may be larger still. */
const LINE_BYTES_MAX = 4 * FRAME_BYTES_MAX
const READ_BYTES = 256 * KIB
const SPACE = 0x20
const NS_DIGITS_MAX = 19

/** Opens a capture file. Throws TickdError IO when there is none that can be read. */
export async function openCapture(path: string, options: CaptureOptions): Promise<CaptureReader> {
  let handle: FileHandle | undefined
  try {
    handle = await open(path, 'r')
    const stat = await handle.stat()
    if (stat.isDirectory()) throw new Error('it is a directory')
    return new CaptureFile(path, options, handle, stat.size)
  } catch (error) {
    await handle?.close()
    throw new TickdError('IO', `${path} cannot be read (${errorText(error)}); check the path`, {
      cause: error,
    })
  }
}

class CaptureFile implements CaptureReader {
  readonly path: string
  readonly size: number
  bytesRead = 0
  readonly counts: CaptureCounts = {
    lines: 0,
    frames: 0,
    attached: 0,
    unused: 0,
    markers: 0,
    oversize: 0,
  }
  readonly #options: CaptureOptions
  readonly #handle: FileHandle
  readonly #pieces: AsyncIterator<Uint8Array>
  readonly #lines = new LineBuffer(LINE_BYTES_MAX)
  readonly #snapshots = new SnapshotHold()
  readonly #line: CaptureLine = {
    kind: 'marker',
    bytes: Buffer.alloc(0),
    conn: '',
    url: '',
    tsSec: 0,
    tsNsec: 0,
  }
  readonly #frame: CaptureFrame = {
    bytes: new Uint8Array(0),
    start: 0,
    end: 0,
    tsSec: 0,
    tsNsec: 0,
    timed: true,
    conn: '',
    attached: false,
  }
  /** The frame in #line waits behind the snapshot that was given out. */
  #isFrameWaiting = false
  #ended = false

  constructor(path: string, options: CaptureOptions, handle: FileHandle, size: number) {
    this.path = path
    this.size = size
    this.#options = options
    this.#handle = handle
    this.#frame.timed = options.format !== 'raw'
    this.#pieces = this.#unpack()
  }

  async fill(): Promise<boolean> {
    if (this.#ended) return false
    let next: IteratorResult<Uint8Array>
    try {
      next = await this.#pieces.next()
    } catch (error) {
      throw this.#damaged(error)
    }
    if (next.done !== true) {
      this.#lines.push(next.value)
      return true
    }
    this.#ended = true
    this.#lines.finish()
    this.counts.unused = this.#snapshots.count
    // The last line may have no end: there is one more look to take.
    return true
  }

  next(): CaptureFrame | undefined {
    if (this.#isFrameWaiting) {
      this.#isFrameWaiting = false
      return this.#give(this.#line.bytes, false)
    }
    for (;;) {
      const found = this.#lines.next()
      if (found === LINE.none) break
      this.counts.lines++
      const frame = found === LINE.oversize ? this.#oversize() : this.#read()
      if (frame !== undefined) return frame
    }
    if (this.#ended) this.counts.unused = this.#snapshots.count
    return undefined
  }

  async close(): Promise<void> {
    await this.#pieces.return?.()
    await this.#handle.close()
  }

  /** The frame in the line at hand, if it is one. */
  #read(): CaptureFrame | undefined {
    const { start, end } = this.#lines
    if (start === end) return this.#marker()
    switch (this.#options.format) {
      case 'raw':
        this.#line.tsSec = 0
        this.#line.tsNsec = 0
        return this.#giveRange(start, end)
      case 'ns-line':
        return this.#readNsLine(start, end)
      default:
        return this.#readJson(this.#options.format)
    }
  }

  #readNsLine(start: number, end: number): CaptureFrame | undefined {
    const { bytes } = this.#lines
    let sec = 0
    let nsec = 0
    let at = start
    for (; at < end && bytes[at] !== SPACE; at++) {
      const digit = (bytes[at] as number) - 0x30
      if (digit < 0 || digit > 9 || at - start === NS_DIGITS_MAX) throw this.#invalid(NOT_NS_LINE)
      // Digits move from the nanoseconds into the seconds as the number grows.
      sec = sec * 10 + Math.floor(nsec / 1e8)
      nsec = (nsec % 1e8) * 10 + digit
    }
    if (at === start || at === end) throw this.#invalid(NOT_NS_LINE)
    this.#line.tsSec = sec
    this.#line.tsNsec = nsec
    return this.#giveRange(at + 1, end)
  }

  #readJson(format: 'tickd' | 'cryptofeed'): CaptureFrame | undefined {
    const { bytes, start, end } = this.#lines
    const text = Buffer.from(bytes.buffer, bytes.byteOffset + start, end - start).toString('utf8')
    const line = this.#line
    const wrong = readJsonLine(text, format, line)
    if (wrong !== undefined) throw this.#invalid(wrong)
    if (line.kind === 'marker') return this.#marker()
    if (line.kind === 'http' && this.#options.http === 'binance-depth') {
      const symbol = depthSymbol(line.url)
      if (symbol === undefined) return this.#marker()
      line.bytes = wrapSnapshot(symbol, line.bytes)
      // Only cryptofeed's are out of order; tickd's stand where they came.
      if (format === 'cryptofeed' && this.#snapshots.hold(symbol, { ...line })) return undefined
      return this.#give(line.bytes, false)
    }
    const snapshot = this.#snapshots.take(line.bytes, line.tsSec, line.tsNsec)
    if (snapshot === undefined) return this.#give(line.bytes, false)
    this.#isFrameWaiting = true
    const frame = this.#give(snapshot.bytes, true)
    if (frame === undefined) return this.next()
    frame.tsSec = snapshot.tsSec
    frame.tsNsec = snapshot.tsNsec
    frame.conn = snapshot.conn
    return frame
  }

  #give(bytes: Buffer, attached: boolean): CaptureFrame | undefined {
    if (bytes.length > FRAME_BYTES_MAX) return this.#oversize()
    this.#frame.bytes = bytes
    return this.#deliver(0, bytes.length, attached)
  }

  #giveRange(start: number, end: number): CaptureFrame | undefined {
    if (end - start > FRAME_BYTES_MAX) return this.#oversize()
    this.#frame.bytes = this.#lines.bytes
    return this.#deliver(start, end, false)
  }

  #deliver(start: number, end: number, attached: boolean): CaptureFrame {
    const frame = this.#frame
    frame.start = start
    frame.end = end
    frame.tsSec = this.#line.tsSec
    frame.tsNsec = this.#line.tsNsec
    frame.conn = this.#line.conn
    frame.attached = attached
    if (attached) this.counts.attached++
    else this.counts.frames++
    return frame
  }

  #marker(): undefined {
    this.counts.markers++
  }

  #oversize(): undefined {
    this.counts.oversize++
  }

  /** The unpacked bytes of the file. */
  #unpack(): AsyncGenerator<Uint8Array> {
    const packed = this.#packed()
    if (this.path.endsWith('.zst')) return unzstd(packed)
    return this.path.endsWith('.gz') ? gunzip(packed) : packed
  }

  async *#packed(): AsyncGenerator<Buffer> {
    const stream = createReadStream(this.path, {
      fd: this.#handle,
      autoClose: false,
      highWaterMark: READ_BYTES,
    })
    for await (const chunk of stream) {
      this.bytesRead += (chunk as Buffer).length
      yield chunk as Buffer
    }
  }

  #damaged(error: unknown): TickdError {
    const text = `the file is damaged or cut short (${errorText(error)}); fetch it again`
    return this.#error(this.counts.lines + 1, text, error)
  }

  #invalid(wrong: string): TickdError {
    const { format } = this.#options
    return this.#error(
      this.counts.lines,
      `it ${wrong}; is the file a '${format}' capture, and whole?`,
    )
  }

  #error(line: number, text: string, cause?: unknown): TickdError {
    return new TickdError('CAPTURE_INVALID', `${this.path}, line ${line}: ${text}`, { cause })
  }
}

const NOT_NS_LINE = 'does not begin with nanoseconds and a space'

async function* gunzip(packed: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  const unpacked = createGunzip()
  // Errors of either side destroy the unpacker, and so come out of the loop.
  pipeline(packed, unpacked, () => {})
  for await (const chunk of unpacked) yield chunk as Buffer
}
