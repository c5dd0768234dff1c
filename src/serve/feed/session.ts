// The name of a subscriber's connection, unique within the epoch: over all threads that serve, and
// over their lives.

/** Which of how many serve threads. */
export interface ServeThread {
  readonly index: number
  readonly count: number
}

/** `nth`: of the thread's connections, from 1, on and on when it is made anew. */
export function sessionName(epoch: number, nth: number, { index, count }: ServeThread): string {
  return `${epoch}-${(nth - 1) * count + index + 1}`
}
