// Unpacking Zstandard files of any number of frames, and telling a whole file from a cut one.
//
// Node's decompressor ends with the first frame, drops what follows, and takes a truncated frame
// for a whole one. So the frames are told apart here, by their headers alone (RFC 8878): each goes
// through a decompressor of its own, and a file that ends within a frame is an error.
//
//   frame: magic, descriptor, window?, dictionary id?, content size?, blocks, checksum?
//   block: 3 bytes (last: 1 bit, type: 2, size: 21), then its bytes (one for a run)
//   skippable frame: magic 0x184D2A5?, size, bytes

import { pipeline, Readable } from 'node:stream'
import { createZstdDecompress } from 'node:zlib'

const MAGIC = 0xfd2fb528
const SKIPPABLE_MAGIC = 0x184d2a50
const SKIPPABLE_MASK = 0xfffffff0
const BLOCK_HEADER_BYTES = 3
const CHECKSUM_BYTES = 4
const BLOCK_RUN = 1
const BLOCK_RESERVED = 3

/** A piece of a frame; `ends` = the frame's last one. */
interface Piece {
  bytes: Buffer
  ends: boolean
}

/** The unpacked bytes of a .zst file. Throws at damage, and where the file ends too soon. */
export async function* unzstd(packed: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  const walker = new FrameWalker()
  const pieces = split(packed, walker)
  for (;;) {
    const first = await pieces.next()
    if (first.done) break
    const inflated = createZstdDecompress()
    // Errors of either side destroy the decompressor, and so come out of the loop.
    pipeline(Readable.from(frame(first.value, pieces)), inflated, () => {})
    for await (const chunk of inflated) yield chunk as Buffer
  }
  // Only now: what came before the cut is whole, and has been given out.
  if (!walker.atStart) throw new Error('it ends within a frame')
}

async function* frame(first: Piece, pieces: AsyncGenerator<Piece>): AsyncGenerator<Buffer> {
  let piece = first
  for (;;) {
    yield piece.bytes
    if (piece.ends) return
    const next = await pieces.next()
    if (next.done) return
    piece = next.value
  }
}

/** Cuts the file into pieces that do not cross frames; skippable frames are left out. */
async function* split(packed: AsyncIterable<Buffer>, walker: FrameWalker): AsyncGenerator<Piece> {
  for await (const chunk of packed) {
    let rest = chunk
    while (rest.length > 0) {
      const size = walker.walk(rest)
      const bytes = rest.subarray(0, size)
      rest = rest.subarray(size)
      if (!walker.skippable) yield { bytes, ends: walker.atStart }
    }
  }
}

/** Follows the structure of frames over chunks of any size. */
class FrameWalker {
  /** At the beginning of a frame, or of nothing. */
  atStart = true
  /** The frame at hand, or the one that just ended, is a skippable one. */
  skippable = false
  /** Bytes of the part at hand that still have to come before it can be read. */
  #header = Buffer.alloc(0)
  #needed = 4
  #parse: (header: Buffer) => void = this.#magic
  /** Bytes to pass over before the next part. */
  #passBytes = 0
  #hasChecksum = false

  /** Takes bytes up to the end of the frame at most; returns how many. */
  walk(chunk: Buffer): number {
    let at = 0
    if (this.atStart) {
      this.atStart = false
      this.skippable = false
    }
    while (at < chunk.length) {
      if (this.#passBytes > 0) {
        const passed = Math.min(this.#passBytes, chunk.length - at)
        this.#passBytes -= passed
        at += passed
      } else {
        const taken = chunk.subarray(at, at + this.#needed - this.#header.length)
        this.#header = Buffer.concat([this.#header, taken])
        at += taken.length
        if (this.#header.length === this.#needed) {
          const header = this.#header
          this.#header = Buffer.alloc(0)
          this.#parse(header)
        }
      }
      if (this.#passBytes === 0 && this.#needed === 0) {
        this.#expect(4, this.#magic)
        this.atStart = true
        return at
      }
    }
    return at
  }

  #expect(needed: number, parse: (header: Buffer) => void): void {
    this.#needed = needed
    this.#parse = parse
  }

  #magic(header: Buffer): void {
    const magic = header.readUInt32LE()
    if (magic === MAGIC) this.#expect(1, this.#descriptor)
    else if ((magic & SKIPPABLE_MASK) >>> 0 === SKIPPABLE_MAGIC) this.#expect(4, this.#skip)
    else throw new Error('it is not Zstandard where a frame should begin')
  }

  #skip(header: Buffer): void {
    this.skippable = true
    this.#passBytes = header.readUInt32LE()
    this.#needed = 0
  }

  #descriptor(header: Buffer): void {
    const descriptor = header.readUInt8()
    const isSingle = (descriptor & 0x20) !== 0
    this.#hasChecksum = (descriptor & 0x04) !== 0
    const dictionaryBytes = [0, 1, 2, 4][descriptor & 3] ?? 0
    const contentBytes = [isSingle ? 1 : 0, 2, 4, 8][descriptor >> 6] ?? 0
    this.#passBytes = (isSingle ? 0 : 1) + dictionaryBytes + contentBytes
    this.#expect(BLOCK_HEADER_BYTES, this.#block)
  }

  #block(header: Buffer): void {
    const word = header.readUIntLE(0, BLOCK_HEADER_BYTES)
    const type = (word >> 1) & 3
    if (type === BLOCK_RESERVED) throw new Error('a block has a type that does not exist')
    this.#passBytes = type === BLOCK_RUN ? 1 : word >> 3
    if ((word & 1) === 0) return
    this.#needed = 0
    if (this.#hasChecksum) this.#passBytes += CHECKSUM_BYTES
  }
}
