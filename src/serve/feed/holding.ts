// Live frames of a stream, and what was told between them, kept for a subscriber whose replay comes
// up to them. Bounded: what would exceed it ends the holding, and the journal is read instead.

import type { Stream } from './stream.ts'

export interface HeldFrame {
  readonly bytes: Uint8Array
  readonly count: number
}

export class Holding {
  /** Sequence of the first record held; 0 = nothing is held. */
  seq = 0
  readonly #roomBytes: number
  #items: (HeldFrame | string)[] = []
  #bytes = 0

  constructor(roomBytes: number) {
    this.#roomBytes = roomBytes
  }

  /** Frames, and messages, in their order. */
  get items(): readonly (HeldFrame | string)[] {
    return this.#items
  }

  /** From the stream's next record on; its gathered frame has been flushed. */
  begin({ nextSeq, told }: Stream): void {
    this.seq = nextSeq
    // Behind the last record that is read from the journal.
    this.#items = [...told.at(nextSeq)]
  }

  /** `bytes` are valid during the call only. */
  frame(bytes: Uint8Array, count: number): void {
    if (this.#hasRoom(bytes.length)) this.#items.push({ bytes: bytes.slice(), count })
  }

  gap(message: string): void {
    if (this.#hasRoom(message.length)) this.#items.push(message)
  }

  /** Holds nothing any more. */
  letGo(): void {
    this.#items = []
    this.#bytes = 0
    this.seq = 0
  }

  #hasRoom(sizeBytes: number): boolean {
    if (this.seq === 0) return false
    this.#bytes += sizeBytes
    if (this.#bytes <= this.#roomBytes) return true
    this.letGo()
    return false
  }
}
