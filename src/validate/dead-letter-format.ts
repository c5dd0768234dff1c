// The bytes of a dead-letter file: entries, one after the other, from offset 0.
//
//   byte 0      4       8    12           16       24          28      30      31      32     33
//      magic  length  crc  full length  ts_recv  instrument  source  reason  format  flags  zero
//      u32    u32     u32  u32          i64 ns   u32         u16     u8      u8      u8     7 bytes
// byte 40
//      raw bytes (length of them), zero bytes up to a multiple of 8
//
// Little-endian. crc = CRC-32 of everything after it up to the end of the raw bytes. An entry with
// the RECORD flag has the 64-byte tick first and then the message that it came from; its reason is
// a number in QUARANTINE_REASONS, that of other entries in REJECT_REASONS. full length = raw bytes
// before they were cut to fit (length = after).
//
// Time is when the bytes were received, as it will have to be when they are driven again.

import { crc32 } from 'node:zlib'

const FIELDS = [
  ['magic', 4],
  ['length', 4],
  ['crc', 4],
  ['fullLength', 4],
  ['tsRecv', 8],
  ['instrument', 4],
  ['source', 2],
  ['reason', 1],
  ['format', 1],
  ['flags', 1],
  ['zero', 7],
] as const

type LetterField = (typeof FIELDS)[number][0]

export const LETTER_OFFSET: Readonly<Record<LetterField, number>> = (() => {
  const offsets = {} as Record<LetterField, number>
  let offset = 0
  for (const [name, width] of FIELDS) {
    offsets[name] = offset
    offset += width
  }
  return Object.freeze(offsets)
})()

export const LETTER_HEADER_BYTES = FIELDS.reduce((sum, [, width]) => sum + width, 0)
export const LETTER_ALIGN_BYTES = 8
/** 'TKDL' */
export const LETTER_MAGIC = 0x4c444b54

export const LETTER_FLAG = Object.freeze({
  /** The raw bytes were cut. */
  TRUNCATED: 1,
  /** A quarantined record: the 64-byte tick comes first. */
  RECORD: 2,
})

/** Bytes that an entry with so many raw bytes takes. */
export function letterSize(rawBytes: number): number {
  return (LETTER_HEADER_BYTES + rawBytes + LETTER_ALIGN_BYTES - 1) & -LETTER_ALIGN_BYTES
}

/** The checksum of the entry at `offset`, whose raw bytes are `length`. */
export function letterCrc(bytes: Uint8Array, offset: number, length: number): number {
  const from = offset + LETTER_OFFSET.crc + 4
  return crc32(bytes.subarray(from, offset + LETTER_HEADER_BYTES + length))
}

/** Bytes of the whole, undamaged entry at `offset`; 0 when there is none. */
export function letterSizeAt(bytes: Uint8Array, offset: number): number {
  if (bytes.length - offset < LETTER_HEADER_BYTES) return 0
  const view = new DataView(bytes.buffer, bytes.byteOffset + offset)
  if (view.getUint32(LETTER_OFFSET.magic, true) !== LETTER_MAGIC) return 0
  const length = view.getUint32(LETTER_OFFSET.length, true)
  const size = letterSize(length)
  if (length > bytes.length || bytes.length - offset < size) return 0
  const whole = view.getUint32(LETTER_OFFSET.crc, true) === letterCrc(bytes, offset, length)
  return whole ? size : 0
}

/** Files of a directory are numbered from 1; the greatest number is the one being written. */
export function letterFileName(number: number): string {
  return `${String(number).padStart(10, '0')}.letters`
}

/** The number of a file of that name; 0 when it is none of ours. */
export function letterFileNumber(name: string): number {
  const match = /^(\d{10})\.letters$/.exec(name)
  return match === null ? 0 : Number(match[1])
}
