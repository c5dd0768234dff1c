// The source stage of the simulation: a venue that sends whether or not there is room.
//
// Its frames go through the product's own FrameSink; one that finds no room is dropped and counted,
// as a venue's is. Nothing of it is acknowledged: what is promised is that it is accounted for.

import type { FeedbackReceiver } from '../../src/ring/feedback.ts'
import { FRAME_FORMAT } from '../../src/ring/frame-format.ts'
import type { FrameSink } from '../../src/source/source.ts'
import type { Agent } from '../../src/threads/agent.ts'

/** Frames received and not yet passed on; more are dropped at the socket. */
const WAITING_MAX = 8

export class VenueFeed implements Agent {
  readonly roleName = 'source'
  readonly #sink: FrameSink
  readonly #feedback: FeedbackReceiver
  readonly #waiting: Uint8Array[] = []

  constructor(sink: FrameSink, feedback: FeedbackReceiver) {
    this.#sink = sink
    this.#feedback = feedback
  }

  receive(frame: Uint8Array): void {
    if (this.#waiting.length < WAITING_MAX) this.#waiting.push(frame)
  }

  doWork(): number {
    const frames = this.#waiting.splice(0)
    this.#sink.stamp()
    for (const frame of frames) {
      const isTaken = this.#sink.offer(FRAME_FORMAT.ndjson, 0, 0, frame, 0, frame.length)
      if (!isTaken) this.#sink.drop(frame.length)
    }
    this.#feedback.drain({ onReceipt() {}, onResync() {} })
    return frames.length
  }

  drain(): boolean {
    return this.#waiting.length === 0
  }
}
