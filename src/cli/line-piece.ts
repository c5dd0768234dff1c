// Gathers lines into pieces worth sending.

import type { PushTarget } from './push-target.ts'

/** Length of a piece, in UTF-16 units: large enough to make the cost of a request small. */
const PIECE_LENGTH = 512 * 1024

export class LinePiece {
  readonly #target: PushTarget
  #text = ''
  #lineCount = 0

  constructor(target: PushTarget) {
    this.#target = target
  }

  /** Adds a line; true = it is time to `await send()`. */
  add(line: string): boolean {
    this.#text += `${line}\n`
    this.#lineCount++
    return this.#text.length >= PIECE_LENGTH
  }

  async send(): Promise<void> {
    if (this.#lineCount === 0) return
    const bytes = Buffer.from(this.#text)
    const lineCount = this.#lineCount
    this.#text = ''
    this.#lineCount = 0
    await this.#target.write(bytes, lineCount)
  }
}
