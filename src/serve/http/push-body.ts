// The body of POST /v1/ticks, made ready to be cut into frames. No decoding, no I/O.
//
//   application/x-ndjson         lines, as they are
//   application/json             one record, or an array of them: rewritten in place as lines,
//                                byte for byte, so that no number is read and printed again
//   application/vnd.tickd.tick   64-byte ticks, a whole number of them

import { FRAME_BYTES_MAX, FRAME_CHUNK_BYTES } from '../../limits.ts'
import { FRAME_FORMAT } from '../../ring/frame-format.ts'
import { TICK_BYTES } from '../../tick/layout.ts'

const TYPES: Readonly<Record<string, 'lines' | 'json' | 'packed'>> = {
  'application/x-ndjson': 'lines',
  'application/ndjson': 'lines',
  'application/json': 'json',
  'application/vnd.tickd.tick': 'packed',
}
export const PUSH_CONTENT_TYPES = Object.keys(TYPES)

const NEWLINE = 0x0a
const CARRIAGE_RETURN = 0x0d
const SPACE = 0x20
const TAB = 0x09
const QUOTE = 0x22
const COMMA = 0x2c
const OPEN_BRACKET = 0x5b
const BACKSLASH = 0x5c
const CLOSE_BRACKET = 0x5d
const OPEN_BRACE = 0x7b
const CLOSE_BRACE = 0x7d

/** A body in the form of frames: whole lines, or whole ticks. */
export interface PushBody {
  readonly bytes: Uint8Array
  /** FRAME_FORMAT. */
  readonly format: number
}

export interface BodyFault {
  readonly status: 400 | 413
  readonly message: string
}

export function isFault(body: PushBody | BodyFault): body is BodyFault {
  return 'status' in body
}

/** Reads the body as what it says it is. JSON is rewritten in place. */
export function readPushBody(contentType: string, bytes: Uint8Array): PushBody | BodyFault {
  if (bytes.length === 0) return { status: 400, message: 'the body is empty' }
  const type = TYPES[contentType]
  if (type === 'packed') {
    if (bytes.length % TICK_BYTES === 0) return { bytes, format: FRAME_FORMAT.packed }
    const message = `the body is ${bytes.length} bytes: not a whole number of ${TICK_BYTES}`
    return { status: 400, message }
  }
  if (type === 'json' && !linesFromJson(bytes)) {
    return { status: 400, message: 'the body is not one JSON object or array of objects' }
  }
  if (longestLine(bytes) > FRAME_BYTES_MAX) {
    return { status: 413, message: `a line is longer than ${FRAME_BYTES_MAX} bytes` }
  }
  return { bytes, format: FRAME_FORMAT.ndjson }
}

/** End of the frame that begins at `start`: whole lines or ticks, near FRAME_CHUNK_BYTES. */
export function frameEnd({ bytes, format }: PushBody, start: number): number {
  const limit = start + FRAME_CHUNK_BYTES
  if (limit >= bytes.length) return bytes.length
  if (format === FRAME_FORMAT.packed) return limit - ((limit - start) % TICK_BYTES)
  const last = bytes.lastIndexOf(NEWLINE, limit - 1)
  if (last >= start) return last + 1
  // One line longer than a chunk goes alone.
  const next = bytes.indexOf(NEWLINE, limit)
  return next < 0 ? bytes.length : next + 1
}

/**
 * Turns the array's brackets and the commas between its elements into line ends, and line ends
 * inside elements into spaces. False when the brackets do not balance or text follows the end;
 * whether an element is JSON is for the decoder to say.
 */
function linesFromJson(bytes: Uint8Array): boolean {
  let at = skipSpace(bytes, 0)
  const isArray = bytes[at] === OPEN_BRACKET
  if (!isArray && bytes[at] !== OPEN_BRACE) return false
  const recordDepth = isArray ? 1 : 0
  let depth = 0
  for (; at < bytes.length; at++) {
    switch (bytes[at]) {
      case QUOTE:
        at = stringEnd(bytes, at)
        break
      case OPEN_BRACKET:
      case OPEN_BRACE:
        if (depth++ === 0 && isArray) bytes[at] = NEWLINE
        break
      case CLOSE_BRACKET:
      case CLOSE_BRACE:
        if (--depth > 0) break
        if (isArray) bytes[at] = NEWLINE
        return skipSpace(bytes, at + 1) === bytes.length
      case COMMA:
        if (depth === recordDepth) bytes[at] = NEWLINE
        break
      case NEWLINE:
      case CARRIAGE_RETURN:
        bytes[at] = SPACE
        break
    }
  }
  return false
}

/** Index of the closing quote; the last byte when there is none. */
function stringEnd(bytes: Uint8Array, start: number): number {
  for (let at = start + 1; at < bytes.length; at++) {
    if (bytes[at] === BACKSLASH) at++
    else if (bytes[at] === QUOTE) return at
  }
  return bytes.length - 1
}

function skipSpace(bytes: Uint8Array, from: number): number {
  let at = from
  for (; at < bytes.length; at++) {
    const byte = bytes[at]
    if (byte !== SPACE && byte !== NEWLINE && byte !== CARRIAGE_RETURN && byte !== TAB) break
  }
  return at
}

function longestLine(bytes: Uint8Array): number {
  let longest = 0
  for (let start = 0; start < bytes.length; ) {
    const next = bytes.indexOf(NEWLINE, start)
    const end = next < 0 ? bytes.length : next + 1
    longest = Math.max(longest, end - start)
    start = end
  }
  return longest
}
