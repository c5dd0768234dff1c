// The end of a group of frames, made one step: its records on the tick ring, its counts in the
// counters and its frames off the frame ring all happen, or none of them does, whenever the thread
// is cut down.
//
// Written ahead: where the tick ring will stand, where the frame ring may go on, and the counters
// as they will be. The step itself is the publication on the tick ring, which is one store (of a
// group without records: the mark below). Whoever comes after a thread that ended compares: if the
// tick ring stands where it was to stand, the rest is done once more, which changes nothing if it
// had been done; otherwise the whole group is done again.
//
// Not for several groups at once: one writer, and one group that is under way.
//
//   word 0     1               2       3                4         then
//        mark  tick position   input   frame position   source    counters, as doubles

import { assert } from '../errors.ts'
import { CACHE_ISOLATION_BYTES } from '../limits.ts'

const WORD = Object.freeze({ mark: 0, ticks: 1, input: 2, frames: 3, source: 4 })
const MARK = Object.freeze({ none: 0, ready: 1 })

/** What remains to be done of a group whose records are published. */
export interface GroupEnd {
  /** Index of the frame ring, and the position from which its frames are not taken yet. */
  readonly input: number
  readonly framePosition: number
  readonly source: number
}

export class GroupCommit {
  /** The counters of the group's source as they will be: filled in before `prepare`. */
  readonly after: Float64Array
  readonly #words: Int32Array

  constructor(memory: SharedArrayBuffer, counterCount: number) {
    assert(memory.byteLength === GroupCommit.bytes(counterCount), 'the memory was made for these')
    this.#words = new Int32Array(memory, 0, CACHE_ISOLATION_BYTES / 4)
    this.after = new Float64Array(memory, CACHE_ISOLATION_BYTES, counterCount)
  }

  static bytes(counterCount: number): number {
    return CACHE_ISOLATION_BYTES + counterCount * Float64Array.BYTES_PER_ELEMENT
  }

  /** Before the records are published: `tickPosition` is where the ring stands after that. */
  prepare(tickPosition: number, end: GroupEnd): void {
    const words = this.#words
    words[WORD.ticks] = tickPosition
    words[WORD.input] = end.input
    words[WORD.frames] = end.framePosition
    words[WORD.source] = end.source
    // Publishes all of the above to whoever comes after us: pairs with the load in pending().
    Atomics.store(words, WORD.mark, MARK.ready)
  }

  /** All of the group is done. */
  done(): void {
    // Before anything of the next group is written here; pairs as above.
    Atomics.store(this.#words, WORD.mark, MARK.none)
  }

  /** What a predecessor left undone, given where the tick ring stands; undefined = nothing. */
  pending(tickPosition: number): GroupEnd | undefined {
    const words = this.#words
    // Pairs with prepare(); the thread that wrote it has ended.
    if (Atomics.load(words, WORD.mark) !== MARK.ready) return undefined
    if (words[WORD.ticks] !== tickPosition) return undefined
    return {
      input: words[WORD.input] as number,
      framePosition: words[WORD.frames] as number,
      source: words[WORD.source] as number,
    }
  }
}
