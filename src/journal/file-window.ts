// A window onto a segment file: one reusable buffer, filled by large reads where it is looked at.
//
// It caches blindly. Whether what it holds may be trusted (durable, still there) is the caller's
// business: `forget()` throws the content away.

import { assert } from '../errors.ts'
import type { Disk } from './disk.ts'
import { HeaderBuffer } from './headers.ts'
import { ioError } from './segment-files.ts'
import { BLOCK_BYTES_MAX } from './segment-layout.ts'

export class FileWindow {
  readonly buffer: HeaderBuffer
  readonly #disk: Disk
  #fd = -1
  #path = ''
  /** Offset in the file of buffer.bytes[0], and the count of valid bytes from there. */
  #offset = 0
  #size = 0

  constructor(sizeBytes: number, disk: Disk) {
    assert(sizeBytes >= BLOCK_BYTES_MAX, 'a window holds the largest block')
    this.buffer = new HeaderBuffer(sizeBytes)
    this.#disk = disk
  }

  /** Looks at another file from now on. `path` is for messages. */
  attach(fd: number, path: string): void {
    this.#fd = fd
    this.#path = path
    this.forget()
  }

  forget(): void {
    this.#size = 0
  }

  fileBytes(): number {
    return this.#disk.fileBytes(this.#fd)
  }

  /** True when the file's bytes [offset, offset + size) are in the buffer. */
  holds(offset: number, size: number): boolean {
    return offset >= this.#offset && offset + size <= this.#offset + this.#size
  }

  /** Where the file's byte `offset` is in the buffer; only for what the window holds. */
  index(offset: number): number {
    return offset - this.#offset
  }

  /** Reads from `offset` on, as much as the file has and the buffer takes. */
  fill(offset: number): void {
    const { bytes } = this.buffer
    this.#offset = offset
    this.#size = 0
    try {
      this.#size = this.#disk.read(this.#fd, bytes, offset)
    } catch (thrown) {
      throw ioError(`cannot read ${this.#path}`, thrown)
    }
  }

  /** As `holds`, after a read where necessary. False: the file ends before. */
  bring(offset: number, size: number): boolean {
    if (!this.holds(offset, size)) this.fill(offset)
    return this.holds(offset, size)
  }
}
