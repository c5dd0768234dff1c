// One line on stderr that says how far a long command is; nothing where stderr is no terminal.

import type { WriteStream } from 'node:tty'

const EVERY_MS = 200
const CLEAR_LINE = '\r\x1b[K'

export class Progress {
  readonly #stream: WriteStream | undefined
  #lastMs = Number.NEGATIVE_INFINITY
  #shown = false

  constructor(stream: WriteStream = process.stderr) {
    this.#stream = stream.isTTY ? stream : undefined
  }

  /** Shows the text, unless the last one is still fresh. Cheap to call often. */
  show(text: () => string): void {
    if (this.#stream === undefined) return
    const nowMs = performance.now()
    if (nowMs - this.#lastMs < EVERY_MS) return
    this.#lastMs = nowMs
    this.#shown = true
    this.#stream.write(`${CLEAR_LINE}${text()}`)
  }

  end(): void {
    if (this.#shown) this.#stream?.write(CLEAR_LINE)
    this.#shown = false
  }
}
