// A feed socket whose holder has a rate of bytes: what is sent beyond it counts as if it were still
// queued. So whoever is sent more than it may have is a slow reader, and its policy (a declared
// gap, conflation, a close) does the rest; nothing is withheld in silence.

import type { Clock } from '../../clock.ts'
import type { FeedSocket } from '../server.ts'
import type { Holder } from './holder.ts'

export class MeteredSocket implements FeedSocket {
  readonly #socket: FeedSocket
  readonly #clock: Clock
  /** More than this is never owed, or control messages would not get through. */
  readonly #debtBytesMax: number
  #holder: Holder | undefined

  constructor(socket: FeedSocket, clock: Clock, debtBytesMax: number) {
    this.#socket = socket
    this.#clock = clock
    this.#debtBytesMax = debtBytesMax
  }

  meter(holder: Holder | undefined): void {
    this.#holder = holder
  }

  send(data: string | Uint8Array, isBinary: boolean): boolean {
    this.#holder?.bytes.charge(data.length, this.#clock.monoMs())
    return this.#socket.send(data, isBinary)
  }

  cork(work: () => void): void {
    this.#socket.cork(work)
  }

  bufferedBytes(): number {
    const bytes = this.#socket.bufferedBytes()
    if (this.#holder === undefined) return bytes
    const debt = this.#holder.bytes.debt(this.#clock.monoMs())
    return bytes + Math.min(debt, this.#debtBytesMax)
  }

  end(code: number, reason: string): void {
    this.#socket.end(code, reason)
  }
}
