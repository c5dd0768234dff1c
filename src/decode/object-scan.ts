// hot path
// One JSON object taken apart into the spans of the members that a decoder knows.
//
// `scan` checks the whole object as JSON.parse would, in one pass, and notes for each known key
// where its value lies and of which type it is. Nothing is built or copied. A key that comes twice
// keeps its last value; unknown members are checked and forgotten.
//
// A value's span is its text: without quotes for strings, with brackets for arrays and objects.

import { BAD, NestedWalker, skipLiteral, skipNumber, skipSpace, skipString } from './json-scan.ts'
import type { KeyTable } from './key-table.ts'

/** Types of values. ABSENT = the object has no such member. */
export const VALUE = Object.freeze({
  absent: 0,
  string: 1,
  number: 2,
  true: 3,
  false: 4,
  null: 5,
  array: 6,
  object: 7,
})

const QUOTE = 0x22
const COMMA = 0x2c
const COLON = 0x3a
const OPEN_ARRAY = 0x5b
const OPEN_OBJECT = 0x7b
const CLOSE_OBJECT = 0x7d

export class ObjectScan {
  /** By slot of the key table. */
  readonly types: Uint8Array
  readonly starts: Int32Array
  readonly ends: Int32Array
  /** A string (key or value, at any depth) has an escape: spans may not be the strings' text. */
  escaped = false
  readonly #keys: KeyTable
  readonly #walker = new NestedWalker()
  readonly #nestedSlot: number
  readonly #nested: ObjectScan | undefined

  /** An object that is the value of key `nestedSlot` is scanned by `nested` in the same pass. */
  constructor(keys: KeyTable, nestedSlot = -1, nested?: ObjectScan) {
    this.#keys = keys
    this.#nestedSlot = nestedSlot
    this.#nested = nested
    this.types = new Uint8Array(keys.count)
    this.starts = new Int32Array(keys.count)
    this.ends = new Int32Array(keys.count)
  }

  /** Scans the object whose brace is at `at`. Returns the offset behind it, or BAD. */
  scan(bytes: Uint8Array, at: number, end: number): number {
    const types = this.types
    for (let slot = 0; slot < types.length; slot++) types[slot] = VALUE.absent
    this.escaped = false
    let next = skipSpace(bytes, at + 1, end)
    if (next < end && bytes[next] === CLOSE_OBJECT) return next + 1
    for (;;) {
      if (next >= end || bytes[next] !== QUOTE) return BAD
      const keyStart = next + 1
      next = skipString(bytes, next, end)
      if (next <= 0) {
        if (next === BAD) return BAD
        this.escaped = true
        next = -next
      }
      const slot = this.#keys.find(bytes, keyStart, next - 1)
      if (next < end && bytes[next] !== COLON) next = skipSpace(bytes, next, end)
      if (next >= end || bytes[next] !== COLON) return BAD
      next = this.#value(bytes, next + 1, end, slot)
      if (next === BAD) return BAD
      if (next < end && bytes[next] !== COMMA) next = skipSpace(bytes, next, end)
      if (next >= end) return BAD
      const after = bytes[next] as number
      if (after === CLOSE_OBJECT) return next + 1
      if (after !== COMMA) return BAD
      next++
      if (next < end && bytes[next] !== QUOTE) next = skipSpace(bytes, next, end)
    }
  }

  /** Scans the value at `at`, notes it under `slot` (-1: unknown key), returns what is behind. */
  #value(bytes: Uint8Array, at: number, end: number, slot: number): number {
    let start = at
    if (start < end && (bytes[start] as number) <= 0x20) start = skipSpace(bytes, start, end)
    if (start >= end) return BAD
    const byte = bytes[start] as number
    let type: number
    let next: number
    let spanStart = start
    let spanEnd: number
    if (byte === QUOTE) {
      type = VALUE.string
      next = skipString(bytes, start, end)
      if (next < 0) {
        this.escaped = true
        next = -next
      }
      spanStart = start + 1
      spanEnd = next - 1
    } else if (byte === OPEN_OBJECT || byte === OPEN_ARRAY) {
      type = byte === OPEN_OBJECT ? VALUE.object : VALUE.array
      next = this.#skipNested(bytes, start, end, slot, type)
      spanEnd = next
    } else if (byte === 0x2d || (byte >= 0x30 && byte <= 0x39)) {
      type = VALUE.number
      next = skipNumber(bytes, start, end)
      spanEnd = next
    } else {
      type = byte === 0x74 ? VALUE.true : byte === 0x66 ? VALUE.false : VALUE.null
      next = skipLiteral(bytes, start, end)
      spanEnd = next
    }
    if (slot >= 0) {
      this.types[slot] = type
      this.starts[slot] = spanStart
      this.ends[slot] = spanEnd
    }
    return next
  }

  #skipNested(bytes: Uint8Array, at: number, end: number, slot: number, type: number): number {
    const nested = this.#nested
    if (nested !== undefined && slot === this.#nestedSlot && type === VALUE.object) {
      const next = nested.scan(bytes, at, end)
      if (nested.escaped) this.escaped = true
      return next
    }
    const next = this.#walker.skip(bytes, at, end)
    if (this.#walker.escaped) this.escaped = true
    return next
  }
}
