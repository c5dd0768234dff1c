// Lines to standard output (or any stream): gathered into pieces, no faster than they are taken,
// and quietly over when the reader has gone (`tickd decode … | head`).

import { once } from 'node:events'
import type { Writable } from 'node:stream'

/** Lines are written in pieces of about this size (UTF-16 units). */
const PIECE_LENGTH = 64 * 1024

export class LineOutput {
  readonly #stream: Writable
  #piece = ''
  #failure: NodeJS.ErrnoException | undefined

  constructor(stream: Writable = process.stdout) {
    this.#stream = stream
    stream.on('error', (error: NodeJS.ErrnoException) => {
      this.#failure ??= error
    })
  }

  /** The reader has gone: what is written from now on is not read. */
  get isClosed(): boolean {
    return this.#failure?.code === 'EPIPE'
  }

  /** Adds a line; true = a piece is full, `await flush()` before going on. */
  add(line: string): boolean {
    this.#piece += `${line}\n`
    return this.#piece.length >= PIECE_LENGTH
  }

  /** Writes what was added and waits until the stream takes more. Throws if it cannot. */
  async flush(): Promise<void> {
    const piece = this.#piece
    this.#piece = ''
    if (piece !== '' && this.#failure === undefined && !this.#stream.write(piece)) {
      try {
        await once(this.#stream, 'drain')
      } catch (error) {
        this.#failure ??= error as NodeJS.ErrnoException
      }
    }
    if (this.#failure !== undefined && !this.isClosed) throw this.#failure
  }
}
