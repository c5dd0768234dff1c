// How long the oldest bytes in a socket's queue have waited there.
//
// The web server tells how many bytes are queued, and not since when. So what was sent, and when,
// is noted in marks; those of bytes that have left the queue are forgotten. While the queue is
// empty that is one mark, overwritten. Bounded: MARKS_MAX marks, the newest of which takes in more.

const MARKS_MAX = 64
/** Sends within this time share a mark. */
const MARK_MS = 20

export class QueueAge {
  /** The first `#count`: bytes ever sent up to the end of a mark; when its first were sent. */
  readonly #ends: number[] = []
  readonly #sinceMs: number[] = []
  #count = 0
  #sentBytes = 0

  sent(bytes: number, nowMs: number): void {
    this.#sentBytes += bytes
    const last = this.#count - 1
    const isShared = last >= 0 && nowMs - (this.#sinceMs[last] as number) < MARK_MS
    if (isShared || this.#count === MARKS_MAX) {
      this.#ends[last] = this.#sentBytes
    } else {
      this.#ends[this.#count] = this.#sentBytes
      this.#sinceMs[this.#count] = nowMs
      this.#count++
    }
  }

  /** Milliseconds for which the oldest of the `queued` bytes have waited. */
  ageMs(queued: number, nowMs: number): number {
    if (queued === 0) {
      this.#count = 0
      return 0
    }
    const goneBytes = this.#sentBytes - queued
    let gone = 0
    while (gone < this.#count && (this.#ends[gone] as number) <= goneBytes) gone++
    if (gone > 0) {
      this.#ends.copyWithin(0, gone, this.#count)
      this.#sinceMs.copyWithin(0, gone, this.#count)
      this.#count -= gone
    }
    return this.#count === 0 ? 0 : nowMs - (this.#sinceMs[0] as number)
  }
}
