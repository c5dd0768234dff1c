// How long the oldest bytes in a socket's queue have waited there.
//
// The web server tells how many bytes are queued, and not since when. So what was sent, and when,
// is noted in marks; those of bytes that have left the queue are forgotten. While the queue is
// empty that is one mark, overwritten. Bounded: MARKS_MAX marks, the newest of which takes in more.

const MARKS_MAX = 64
/** Sends within this time share a mark. */
const MARK_MS = 20

export class QueueAge {
  /** Bytes ever sent up to the end of a mark; when its first bytes were sent. */
  readonly #ends: number[] = []
  readonly #sinceMs: number[] = []
  #sentBytes = 0

  sent(bytes: number, nowMs: number): void {
    this.#sentBytes += bytes
    const last = this.#ends.length - 1
    const isShared = last >= 0 && nowMs - (this.#sinceMs[last] as number) < MARK_MS
    if (isShared || last + 1 >= MARKS_MAX) {
      this.#ends[last] = this.#sentBytes
    } else {
      this.#ends.push(this.#sentBytes)
      this.#sinceMs.push(nowMs)
    }
  }

  /** Milliseconds for which the oldest of the `queued` bytes have waited. */
  ageMs(queued: number, nowMs: number): number {
    if (queued === 0) {
      this.#ends.length = 0
      this.#sinceMs.length = 0
      return 0
    }
    const goneBytes = this.#sentBytes - queued
    let gone = 0
    while (gone < this.#ends.length && (this.#ends[gone] as number) <= goneBytes) gone++
    if (gone > 0) {
      this.#ends.splice(0, gone)
      this.#sinceMs.splice(0, gone)
    }
    return this.#ends.length === 0 ? 0 : nowMs - (this.#sinceMs[0] as number)
  }
}
