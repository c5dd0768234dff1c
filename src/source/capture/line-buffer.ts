// hot path
// Bytes in pieces of any size -> whole lines, in bounded memory.
//
// Lines end at a newline (and a carriage return before it); the last one may go without. A line
// longer than `lineBytesMax` is passed over to its end and reported as oversize. The buffer grows
// to the longest line and piece seen, never beyond their bounds.

const NEWLINE = 0x0a
const CARRIAGE_RETURN = 0x0d
const INITIAL_BYTES = 64 * 1024

/** What `next` found. */
export const LINE = Object.freeze({ none: 0, line: 1, oversize: 2 })

export class LineBuffer {
  readonly #lineBytesMax: number
  /** The line that `next` found is bytes[start, end). */
  bytes = new Uint8Array(INITIAL_BYTES)
  start = 0
  end = 0
  /** Bytes [#from, #to) are not yet given out; no newline lies before #searched. */
  #from = 0
  #to = 0
  #searched = 0
  #ended = false
  /** The line at hand was too long: bytes are dropped up to its end. */
  #skipping = false

  constructor(lineBytesMax: number) {
    this.#lineBytesMax = lineBytesMax
  }

  /** Adds a piece. What `next` gave before is no longer valid. */
  push(piece: Uint8Array): void {
    const rest = this.#to - this.#from
    if (rest + piece.length > this.bytes.length) {
      const grown = new Uint8Array(Math.max(rest + piece.length, 2 * this.bytes.length))
      grown.set(this.bytes.subarray(this.#from, this.#to))
      this.bytes = grown
    } else {
      this.bytes.copyWithin(0, this.#from, this.#to)
    }
    this.#searched -= this.#from
    this.#from = 0
    this.bytes.set(piece, rest)
    this.#to = rest + piece.length
  }

  /** No more pieces: what is left is the last line. */
  finish(): void {
    this.#ended = true
  }

  /** Finds the next line: LINE. */
  next(): number {
    for (;;) {
      const found = this.bytes.indexOf(NEWLINE, Math.max(this.#searched, this.#from))
      if (found >= 0 && found < this.#to) {
        const start = this.#from
        this.#from = found + 1
        this.#searched = this.#from
        if (this.#skipping) {
          this.#skipping = false
          continue
        }
        return this.#line(start, found)
      }
      const start = this.#from
      const size = this.#to - start
      this.#searched = this.#to
      if (this.#skipping || size > this.#lineBytesMax) {
        const isNew = !this.#skipping
        this.#skipping = true
        this.#from = this.#to
        return isNew ? LINE.oversize : LINE.none
      }
      if (!this.#ended || size === 0) return LINE.none
      this.#from = this.#to
      return this.#line(start, this.#to)
    }
  }

  #line(start: number, end: number): number {
    if (end - start > this.#lineBytesMax) return LINE.oversize
    this.start = start
    this.end = end > start && this.bytes[end - 1] === CARRIAGE_RETURN ? end - 1 : end
    return LINE.line
  }
}
