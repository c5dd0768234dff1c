// The sequence of one stream: what must come next, and what that says of what came.
//
// Invariant: everything below `expected` was received, or was told of as missing.

export interface Verdict {
  /** Records at the front of the frame that came before. */
  readonly skip: number
  /** Sequences that never came, up to the frame. */
  readonly hole: { readonly from: number; readonly to: number } | undefined
}

export class Sequence {
  expected: number

  constructor(expected: number) {
    this.expected = expected
  }

  /** A frame of live records. */
  frame(firstSeq: number, count: number): Verdict {
    const skip = Math.min(count, Math.max(0, this.expected - firstSeq))
    const hole = this.reach(firstSeq)
    this.expected = Math.max(this.expected, firstSeq + count)
    return { skip, hole }
  }

  /** The server says what comes next. What lies between never came. */
  reach(nextSeq: number): Verdict['hole'] {
    if (nextSeq <= this.expected) return undefined
    const hole = { from: this.expected, to: nextSeq - 1 }
    this.expected = nextSeq
    return hole
  }
}
