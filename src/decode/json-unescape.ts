// Rewrites JSON text so that strings stand there as their own bytes: the slow path of decoders.
//
// Venues do not escape what we read, so decoders compare raw bytes; a message in which any string
// has an escape is rewritten by this first. Escapes that name a plain character become that
// character in UTF-8; those that name a quote, a backslash, a control character or half a
// surrogate pair stay as they are: no symbol, number or keyword contains such a character, and a
// backslash that is left over says so. The text must be well-formed; the result never is longer.

const BACKSLASH = 0x5c
const QUOTE = 0x22
const SPACE = 0x20
const SLASH = 0x2f
const LETTER_U = 0x75

export class Unescaper {
  /** The rewritten text is bytes[0, size). Grows to the largest message and stays. */
  bytes = new Uint8Array(4096)

  /** Rewrites text[start, end); returns the size. */
  rewrite(text: Uint8Array, start: number, end: number): number {
    if (this.bytes.length < end - start) {
      this.bytes = new Uint8Array(Math.max(end - start, 2 * this.bytes.length))
    }
    let size = 0
    for (let at = start; at < end; at++) {
      const byte = text[at] as number
      if (byte !== BACKSLASH) {
        this.bytes[size++] = byte
        continue
      }
      const letter = text[at + 1] as number
      if (letter === SLASH) {
        this.bytes[size++] = SLASH
        at++
      } else if (letter !== LETTER_U) {
        this.bytes[size++] = BACKSLASH
        this.bytes[size++] = letter
        at++
      } else {
        const length = this.#codePoint(text, at, size)
        size += this.#added
        at += length - 1
      }
    }
    return size
  }

  /** Bytes that the last #codePoint() wrote. */
  #added = 0

  /** Writes what the `\uXXXX` at `at` names at `size`; returns the length of what was read. */
  #codePoint(text: Uint8Array, at: number, size: number): number {
    const unit = hexUnit(text, at + 2)
    let code = unit
    let length = 6
    if (
      unit >= 0xd800 &&
      unit < 0xdc00 &&
      text[at + 6] === BACKSLASH &&
      text[at + 7] === LETTER_U
    ) {
      const low = hexUnit(text, at + 8)
      if (low >= 0xdc00 && low < 0xe000) {
        code = 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00)
        length = 12
      }
    }
    const kept = code < SPACE || code === QUOTE || code === BACKSLASH
    if (kept || (code >= 0xd800 && code < 0xe000)) {
      this.bytes.set(text.subarray(at, at + length), size)
      this.#added = length
    } else {
      this.#added = writeUtf8(this.bytes, size, code)
    }
    return length
  }
}

/** The 16-bit unit of four hexadecimal digits, which the scanner has checked. */
function hexUnit(text: Uint8Array, at: number): number {
  let unit = 0
  for (let i = at; i < at + 4; i++) {
    const byte = text[i] as number
    unit = unit * 16 + (byte <= 0x39 ? byte - 0x30 : (byte | 0x20) - 0x57)
  }
  return unit
}

function writeUtf8(bytes: Uint8Array, at: number, code: number): number {
  if (code < 0x80) {
    bytes[at] = code
    return 1
  }
  if (code < 0x800) {
    bytes[at] = 0xc0 | (code >> 6)
    bytes[at + 1] = 0x80 | (code & 0x3f)
    return 2
  }
  if (code < 0x10000) {
    bytes[at] = 0xe0 | (code >> 12)
    bytes[at + 1] = 0x80 | ((code >> 6) & 0x3f)
    bytes[at + 2] = 0x80 | (code & 0x3f)
    return 3
  }
  bytes[at] = 0xf0 | (code >> 18)
  bytes[at + 1] = 0x80 | ((code >> 12) & 0x3f)
  bytes[at + 2] = 0x80 | ((code >> 6) & 0x3f)
  bytes[at + 3] = 0x80 | (code & 0x3f)
  return 4
}
