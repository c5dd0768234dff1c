// Cuts a byte stream into frames for the ring: pure, without a socket. Two wire forms:
//
//   ndjson   chunks of whole lines of at most chunkBytes; a longer line is a chunk of its own
//   packed   u32 LE length in bytes, then that many bytes of 64-byte ticks
//
// The cutter keeps the bytes of an unfinished line or message, at most FRAME_BYTES_MAX of them.
// A frame is given as two parts, kept bytes and bytes of the new data, so that data is copied once:
// into the ring. Invariant: between calls, kept bytes hold no line end and no whole message.

import { assert } from '../errors.ts'
import { FRAME_BYTES_MAX, KIB } from '../limits.ts'
import { TICK_BYTES } from '../tick/layout.ts'

/** Takes a frame, a[0, aEnd) then b[bStart, bEnd). False: no room now, nothing was taken. */
export type TakeFrame = (
  a: Uint8Array,
  aEnd: number,
  b: Uint8Array,
  bStart: number,
  bEnd: number,
) => boolean

export interface Cutter {
  /**
   * Cuts data[start, end) and hands on what is whole. Returns the offset up to which it got: `end`,
   * or less when `take` had no room (call again from there) or the stream is refused.
   */
  push(data: Uint8Array, start: number, end: number, take: TakeFrame): number
  /** Why the stream cannot be read on; empty while it can. */
  readonly refusal: string
  /** Bytes kept of an unfinished line or message. */
  readonly keptBytes: number
  /** At the end of the stream: hands on an unterminated last line. False: no room now. */
  flush(take: TakeFrame): boolean
}

const LINE_END = 0x0a
const LENGTH_BYTES = 4
const TICKS_MAX = FRAME_BYTES_MAX / TICK_BYTES
const EMPTY = new Uint8Array(0)

/** Bytes kept across calls, in a buffer that grows to the largest frame. */
class Kept {
  bytes = new Uint8Array(4 * KIB)
  count = 0

  append(data: Uint8Array, start: number, end: number): void {
    const count = this.count + end - start
    assert(count <= FRAME_BYTES_MAX + LENGTH_BYTES, 'kept bytes are at most a frame')
    if (count > this.bytes.length) {
      const grown = new Uint8Array(Math.max(count, this.bytes.length * 2))
      grown.set(this.bytes.subarray(0, this.count))
      this.bytes = grown
    }
    this.bytes.set(data.subarray(start, end), this.count)
    this.count = count
  }
}

export class LineCutter implements Cutter {
  refusal = ''
  readonly #kept = new Kept()
  readonly #chunkBytes: number

  constructor(chunkBytes: number) {
    this.#chunkBytes = chunkBytes
  }

  get keptBytes(): number {
    return this.#kept.count
  }

  push(data: Uint8Array, start: number, end: number, take: TakeFrame): number {
    const kept = this.#kept
    let at = start
    while (at < end) {
      const cut = this.#cut(data, at, end)
      if (cut === at) {
        if (kept.count + end - at > FRAME_BYTES_MAX) {
          this.refusal = `a line is longer than ${FRAME_BYTES_MAX} bytes`
          return at
        }
        kept.append(data, at, end)
        return end
      }
      if (!take(kept.bytes, kept.count, data, at, cut)) return at
      kept.count = 0
      at = cut
    }
    return end
  }

  flush(take: TakeFrame): boolean {
    const kept = this.#kept
    if (kept.count > 0 && !take(kept.bytes, kept.count, EMPTY, 0, 0)) return false
    kept.count = 0
    return true
  }

  /** End of the chunk that begins at `at`: after a line end; `at` itself when there is none. */
  #cut(data: Uint8Array, at: number, end: number): number {
    const limit = Math.min(end, at + Math.max(0, this.#chunkBytes - this.#kept.count))
    const last = limit > at ? data.lastIndexOf(LINE_END, limit - 1) : -1
    if (last >= at) return last + 1
    // The first line alone is longer than a chunk: it goes whole, if it still fits in a frame.
    const first = data.indexOf(LINE_END, limit)
    if (first === -1 || first >= end) return at
    return this.#kept.count + first + 1 - at <= FRAME_BYTES_MAX ? first + 1 : at
  }
}

export class PackedCutter implements Cutter {
  refusal = ''
  readonly #kept = new Kept()

  get keptBytes(): number {
    return this.#kept.count
  }

  push(data: Uint8Array, start: number, end: number, take: TakeFrame): number {
    const kept = this.#kept
    let at = start
    while (at < end) {
      // The length first: it may itself be cut in two.
      while (kept.count < LENGTH_BYTES && at < end) {
        kept.append(data, at, at + 1)
        at++
      }
      if (kept.count < LENGTH_BYTES) return end
      const length = lengthOf(kept.bytes)
      if (length === 0 || length % TICK_BYTES !== 0 || length > FRAME_BYTES_MAX) {
        this.refusal = `a length of ${length} bytes is not 1 … ${TICKS_MAX} ticks`
        return at
      }
      const missing = length - (kept.count - LENGTH_BYTES)
      if (missing > end - at) {
        kept.append(data, at, end)
        return end
      }
      const head = kept.bytes.subarray(LENGTH_BYTES, kept.count)
      if (!take(head, head.length, data, at, at + missing)) return at
      kept.count = 0
      at += missing
    }
    return end
  }

  /** An unfinished message is no tick: nothing of it can go on. `keptBytes` says what is lost. */
  flush(): boolean {
    return true
  }
}

function lengthOf(bytes: Uint8Array): number {
  const [a = 0, b = 0, c = 0, d = 0] = bytes
  return (a | (b << 8) | (c << 16) | (d << 24)) >>> 0
}
