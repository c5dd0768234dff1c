// CRC-32 with zlib's polynomial, of much and often: by the native kernel, or by zlib.
//
// The same number either way. The kernel serves where the native kernels do and the CPU can. A
// block of the journal is checksummed when it is written, and by each store that reads it.

import { crc32 as zlibCrc32 } from 'node:zlib'
import { type Addon, activeAddon, type KernelChoice } from './addon.ts'

/** The CRC-32 of bytes[start, end) behind others of which it is `before`; 0 = of none. */
export type Checksum = (bytes: Uint8Array, start: number, end: number, before: number) => number

/** zlib says 0 of no bytes, whatever came before: that is not asked. */
export const zlibChecksum: Checksum = (bytes, start, end, before) =>
  start === end ? before : zlibCrc32(bytes.subarray(start, end), before)

/** The checksum of a choice of kernels. */
export function checksumOf({ addon }: KernelChoice): Checksum {
  return addon?.crc32 === undefined ? zlibChecksum : nativeChecksum(addon as Required<Addon>)
}

function nativeChecksum({ crc32 }: Required<Addon>): Checksum {
  // An empty array may have no memory.
  return (bytes, start, end, before) => (start === end ? before : crc32(bytes, start, end, before))
}

let active: Checksum | undefined

/** By what the environment chose, once a thread. */
export function crc32(bytes: Uint8Array, start = 0, end = bytes.length, before = 0): number {
  active ??= checksumOf(activeAddon())
  return active(bytes, start, end, before)
}
