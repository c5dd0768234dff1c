// hot path
// Walking over JSON text as bytes: strict where JSON.parse is strict, building nothing.
//
// Each function takes the offset where a token begins and returns the offset behind it, or BAD.
// Well-formedness is JSON.parse's of the bytes read as UTF-8 with replacement: any byte of 0x80
// and above may stand in a string and nowhere else. Numbers and strings are checked to the last
// byte even where their value is not wanted: a message is JSON as a whole or it is rejected.
//
// Invariants: no function reads at or beyond `end`; nesting is bounded by the text's own length
// and costs a bit a level, not a stack frame.

/** Not JSON. Offsets are 1 or more behind any token, so 0 is free to say it. */
export const BAD = 0

const QUOTE = 0x22
const COMMA = 0x2c
const MINUS = 0x2d
const POINT = 0x2e
const ZERO = 0x30
const COLON = 0x3a
const BACKSLASH = 0x5c
const SPACE = 0x20
const OPEN_ARRAY = 0x5b
const CLOSE_ARRAY = 0x5d
const OPEN_OBJECT = 0x7b
const CLOSE_OBJECT = 0x7d

/** First offset at or after `at` that is no JSON white space. */
export function skipSpace(bytes: Uint8Array, at: number, end: number): number {
  let next = at
  while (next < end) {
    const byte = bytes[next] as number
    if (byte > SPACE) break
    if (byte !== SPACE && byte !== 0x0a && byte !== 0x0d && byte !== 0x09) break
    next++
  }
  return next
}

/**
 * Behind the string whose opening quote is at `at`. The offset is negated when the string has an
 * escape: the bytes between the quotes then are not its text (see json-unescape.ts).
 */
export function skipString(bytes: Uint8Array, at: number, end: number): number {
  for (let next = at + 1; next < end; next++) {
    const byte = bytes[next] as number
    if (byte === QUOTE) return next + 1
    if (byte === BACKSLASH) return skipEscapedString(bytes, next, end)
    if (byte < SPACE) return BAD
  }
  return BAD
}

/** The rest of a string from its first backslash; the offset behind it negated, or BAD. */
function skipEscapedString(bytes: Uint8Array, at: number, end: number): number {
  for (let next = at; next < end; next++) {
    const byte = bytes[next] as number
    if (byte === QUOTE) return -(next + 1)
    if (byte < SPACE) return BAD
    if (byte !== BACKSLASH) continue
    if (++next === end) return BAD
    const letter = bytes[next] as number
    if (letter === 0x75) {
      for (let digit = 0; digit < 4; digit++) {
        if (++next === end || !isHexDigit(bytes[next] as number)) return BAD
      }
    } else if (!isEscape(letter)) return BAD
  }
  return BAD
}

/** Behind the number that begins at `at`, or BAD. */
export function skipNumber(bytes: Uint8Array, at: number, end: number): number {
  let next = at
  if (bytes[next] === MINUS) next++
  if (next === end) return BAD
  const first = (bytes[next] as number) - ZERO
  if (first < 0 || first > 9) return BAD
  next++
  if (first !== 0) next = skipDigits(bytes, next, end)
  if (next < end && bytes[next] === POINT) {
    const digits = next + 1
    next = skipDigits(bytes, digits, end)
    if (next === digits) return BAD
  }
  if (next < end && ((bytes[next] as number) | 0x20) === 0x65) {
    next++
    if (next < end && (bytes[next] === 0x2b || bytes[next] === MINUS)) next++
    const digits = next
    next = skipDigits(bytes, digits, end)
    if (next === digits) return BAD
  }
  return next
}

/** Behind `true`, `false` or `null` at `at`, or BAD. */
export function skipLiteral(bytes: Uint8Array, at: number, end: number): number {
  const first = bytes[at]
  if (first === 0x74) {
    if (end - at < 4 || bytes[at + 1] !== 0x72 || bytes[at + 2] !== 0x75) return BAD
    return bytes[at + 3] === 0x65 ? at + 4 : BAD
  }
  if (first === 0x66) {
    if (end - at < 5 || bytes[at + 1] !== 0x61 || bytes[at + 2] !== 0x6c) return BAD
    return bytes[at + 3] === 0x73 && bytes[at + 4] === 0x65 ? at + 5 : BAD
  }
  if (first !== 0x6e || end - at < 4) return BAD
  return bytes[at + 1] === 0x75 && bytes[at + 2] === 0x6c && bytes[at + 3] === 0x6c ? at + 4 : BAD
}

/** Behind a string, number or literal at `at` (strings as in skipString), or BAD. */
export function skipScalar(bytes: Uint8Array, at: number, end: number): number {
  if (at >= end) return BAD
  const byte = bytes[at] as number
  if (byte === QUOTE) return skipString(bytes, at, end)
  if (byte === MINUS || (byte >= ZERO && byte <= 0x39)) return skipNumber(bytes, at, end)
  return skipLiteral(bytes, at, end)
}

/** Which of the open brackets are objects, a bit a level. One walker a decoder. */
export class NestedWalker {
  #objects = new Uint8Array(64)
  /** True when a string within the last value had an escape. */
  escaped = false

  /** Behind the array or object whose bracket is at `at`, or BAD. */
  skip(bytes: Uint8Array, at: number, end: number): number {
    this.escaped = false
    let depth = 0
    let next = at
    let inObject = false
    // Each turn is one value; what may follow it is decided at its end.
    for (;;) {
      next = skipSpace(bytes, next, end)
      if (next >= end) return BAD
      const byte = bytes[next] as number
      if (byte === OPEN_ARRAY || byte === OPEN_OBJECT) {
        inObject = byte === OPEN_OBJECT
        this.#push(depth++, inObject)
        next = skipSpace(bytes, next + 1, end)
        if (next >= end) return BAD
        if (bytes[next] !== (inObject ? CLOSE_OBJECT : CLOSE_ARRAY)) {
          if (inObject) next = this.#skipKey(bytes, next, end)
          if (next === BAD) return BAD
          continue
        }
      } else {
        next = skipScalar(bytes, next, end)
        if (next <= 0) {
          if (next === BAD) return BAD
          this.escaped = true
          next = -next
        }
        next = skipSpace(bytes, next, end)
      }
      // Behind a value, or at the bracket that closes an empty one: close as many as close here.
      for (;;) {
        if (next >= end) return BAD
        const after = bytes[next] as number
        if (after === COMMA) break
        if (after !== (inObject ? CLOSE_OBJECT : CLOSE_ARRAY)) return BAD
        if (--depth === 0) return next + 1
        inObject = this.#isObject(depth - 1)
        next = skipSpace(bytes, next + 1, end)
      }
      next++
      if (inObject) {
        next = this.#skipKey(bytes, skipSpace(bytes, next, end), end)
        if (next === BAD) return BAD
      }
    }
  }

  /** Behind the key at `at` and its colon, or BAD. */
  #skipKey(bytes: Uint8Array, at: number, end: number): number {
    if (at >= end || bytes[at] !== QUOTE) return BAD
    let next = skipString(bytes, at, end)
    if (next <= 0) {
      if (next === BAD) return BAD
      this.escaped = true
      next = -next
    }
    next = skipSpace(bytes, next, end)
    return next < end && bytes[next] === COLON ? next + 1 : BAD
  }

  #push(level: number, isObject: boolean): void {
    const index = level >> 3
    if (index >= this.#objects.length) {
      // Rare and bounded: a text of n bytes nests n deep at most, which is n/8 bytes here.
      const grown = new Uint8Array(this.#objects.length * 2)
      grown.set(this.#objects)
      this.#objects = grown
    }
    const bit = 1 << (level & 7)
    const old = this.#objects[index] as number
    this.#objects[index] = isObject ? old | bit : old & ~bit
  }

  #isObject(level: number): boolean {
    return ((this.#objects[level >> 3] as number) & (1 << (level & 7))) !== 0
  }
}

function skipDigits(bytes: Uint8Array, at: number, end: number): number {
  let next = at
  while (next < end) {
    const digit = (bytes[next] as number) - ZERO
    if (digit < 0 || digit > 9) break
    next++
  }
  return next
}

function isHexDigit(byte: number): boolean {
  if (byte >= ZERO && byte <= 0x39) return true
  const lower = byte | 0x20
  return lower >= 0x61 && lower <= 0x66
}

/** One of the letters of `\" \\ \/ \b \f \n \r \t`. */
function isEscape(byte: number): boolean {
  switch (byte) {
    case QUOTE:
    case BACKSLASH:
    case 0x2f:
    case 0x62:
    case 0x66:
    case 0x6e:
    case 0x72:
    case 0x74:
      return true
    default:
      return false
  }
}
