// CRC-32 as of zlib, continued over several buffers: the digest of a replay.

const TABLE = new Uint32Array(256).map((_, byte) => {
  let crc = byte
  for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0xedb88320 : crc >>> 1
  return crc
})

/** The checksum of all bytes so far: `crc` is that of those before, 0 at first. */
export function crc32(bytes: Uint8Array, crc: number): number {
  let rest = ~crc
  for (let i = 0; i < bytes.length; i++) {
    rest = (rest >>> 8) ^ (TABLE[(rest ^ (bytes[i] as number)) & 0xff] as number)
  }
  return ~rest >>> 0
}

/** Eight hexadecimal digits. */
export function crcText(crc: number): string {
  return crc.toString(16).padStart(8, '0')
}
