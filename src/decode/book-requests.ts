// Books of which serve wants a fresh image: crossed, or never seen whole since serve was made anew.
//
// The decoder that has the book takes it as unsynced from here on, so that the venue's snapshot
// counts, and the source is asked to fetch it: as after a gap, but nothing is missing. An
// instrument of which no decoder has a book is passed over: pushed ones have no venue to ask.

import type { FeedbackHandler, FeedbackReceiver, FeedbackSender } from '../ring/feedback.ts'
import type { Decoder } from './decoder.ts'

export interface BookRequestsOptions {
  /** From serve, a ring each of its threads. */
  readonly wanted: readonly FeedbackReceiver[]
  /** To the source stage. */
  readonly source: FeedbackSender
}

export class BookRequests {
  readonly #options: BookRequestsOptions

  constructor(options: BookRequestsOptions) {
    this.#options = options
  }

  /** `decoders`: by source x `stride` + format. */
  drain(decoders: ReadonlyMap<number, Decoder>, stride: number): void {
    const { wanted, source } = this.#options
    const handler: FeedbackHandler = {
      onReceipt() {},
      onResync: (_, instrument) => {
        for (const [key, decoder] of decoders) {
          // A request that finds no room is lost: serve repeats it.
          if (decoder.resync?.(instrument)) source.resync(Math.floor(key / stride), instrument)
        }
      },
    }
    for (const ring of wanted) ring.drain(handler)
  }
}
