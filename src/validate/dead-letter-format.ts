// The bytes of a dead-letter file: entries, one after the other, from offset 0.
//
//   byte 0      4       8    12           16       24          28      30      31      32
//      magic  length  crc  full length  ts_recv  instrument  source  reason  format  flags
//      u32    u32     u32  u32          i64 ns   u32         u16     u8      u8      u8
// byte 33     34          35    36            38    40      48       52    56
//      stage  name bytes  zero  detail bytes  zero  origin  ordinal  zero  payload …
//      u8     u8          u8    u16           u16   u64     u32      u32   zeroes to 8 bytes
//
//   payload: source name | detail | the 64-byte tick, with RECORD | the message
//
// Little-endian. crc = CRC-32 of everything after it up to the end of the payload, of which length
// is the size (full length = before the message was cut to fit). reason is a number in the list of
// the stage. source is an index in the configuration of the time, which may have changed since:
// what counts is the name.
//
// origin and ordinal say which of several equal messages this one is: for decode and validate the
// place of the message in its frame ring, for store the sequence of the record; ordinal counts the
// records of one message. Work that a crash made be done again gives them again, so that a letter
// written twice is known as one.
//
// Version 1 (magic TKDL) had a header of 40 bytes, which ended after flags, and a payload of tick
// and message only. It is read, and no longer written.
//
// Time is when the bytes were received, as it will have to be when they are driven again.

import { crc32 } from 'node:zlib'
import { QUARANTINE_REASONS, REJECT_REASONS, STORE_REASONS } from '../ledger/reasons.ts'

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
  ['stage', 1],
  ['nameBytes', 1],
  ['zero0', 1],
  ['detailBytes', 2],
  ['zero1', 2],
  ['origin', 8],
  ['ordinal', 4],
  ['zero2', 4],
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
/** 'TKL2' */
export const LETTER_MAGIC = 0x324c4b54

/** Version 1: 'TKDL', and its header. */
export const LETTER_MAGIC_V1 = 0x4c444b54
export const LETTER_HEADER_BYTES_V1 = 40

export const LETTER_FLAG = Object.freeze({
  /** The message was cut. */
  TRUNCATED: 1,
  /** A record: the 64-byte tick comes before the message. */
  RECORD: 2,
})

/** Where a letter was refused; the number in the list is the one on disk. */
export const LETTER_STAGES = ['decode', 'validate', 'store'] as const
export type LetterStage = (typeof LETTER_STAGES)[number]

/** The reasons of each stage, by which the reason's number is read. */
export const STAGE_REASONS = [REJECT_REASONS, QUARANTINE_REASONS, STORE_REASONS] as const

/** Bytes that an entry with so much payload takes. */
export function letterSize(payloadBytes: number): number {
  return aligned(LETTER_HEADER_BYTES + payloadBytes)
}

/** Bytes before the payload of the entry at `offset`; 0 when its magic is none of ours. */
export function letterHeaderBytes(bytes: Uint8Array, offset: number): number {
  const magic = new DataView(bytes.buffer, bytes.byteOffset + offset).getUint32(0, true)
  if (magic === LETTER_MAGIC) return LETTER_HEADER_BYTES
  return magic === LETTER_MAGIC_V1 ? LETTER_HEADER_BYTES_V1 : 0
}

/** The checksum of the entry that begins at `offset` and whose payload ends at `end`. */
export function letterCrc(bytes: Uint8Array, offset: number, end: number): number {
  return crc32(bytes.subarray(offset + LETTER_OFFSET.crc + 4, end))
}

/** Bytes of the whole, undamaged entry at `offset`; 0 when there is none. */
export function letterSizeAt(bytes: Uint8Array, offset: number): number {
  if (bytes.length - offset < LETTER_HEADER_BYTES_V1) return 0
  const header = letterHeaderBytes(bytes, offset)
  if (header === 0) return 0
  const view = new DataView(bytes.buffer, bytes.byteOffset + offset)
  const length = view.getUint32(LETTER_OFFSET.length, true)
  const size = aligned(header + length)
  if (length > bytes.length || bytes.length - offset < size) return 0
  const crc = letterCrc(bytes, offset, offset + header + length)
  return view.getUint32(LETTER_OFFSET.crc, true) === crc ? size : 0
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

function aligned(size: number): number {
  return (size + LETTER_ALIGN_BYTES - 1) & -LETTER_ALIGN_BYTES
}
