// Does the daemon hold too much memory, and who? Looked at once a second by main. Pure.
//
// A JavaScript heap that grows without end is V8's own to stop (supervise.heap_bytes). This is for
// what no heap limit counts: buffers outside of it. Memory that no thread's buffers explain is
// said, and nobody is ended for it.

import type { ThreadPlan } from './plan.ts'
import type { Shared } from './shared-memory.ts'

/** After one was ended, or it was said, memory is given this long to come down. */
const QUIET_MS = 60_000
/** Of the limit: what a thread must hold to be the one that is ended. */
const BLAME_SHARE = 0.25

export interface Holder {
  /** undefined = no thread holds enough of it. */
  readonly thread: ThreadPlan | undefined
  readonly why: string
}

export class MemoryWatch {
  readonly #threads: readonly ThreadPlan[]
  readonly #shared: Shared
  readonly #bytesMax: number
  #quietUntilMs = 0

  constructor(
    threads: readonly ThreadPlan[],
    shared: Shared,
    settings: { readonly rss_bytes_max: number },
  ) {
    this.#threads = threads
    this.#shared = shared
    this.#bytesMax = settings.rss_bytes_max
  }

  look(nowMs: number, rssBytes: number): Holder | undefined {
    if (this.#bytesMax === 0 || rssBytes <= this.#bytesMax || nowMs < this.#quietUntilMs) {
      return undefined
    }
    this.#quietUntilMs = nowMs + QUIET_MS
    const held = this.#threads.map((thread) => ({ thread, bytes: this.#heldBytes(thread) }))
    held.sort((a, b) => b.bytes - a.bytes)
    const [most] = held
    const beyond = `the daemon holds ${rssBytes} bytes, more than supervise.rss_bytes_max`
    if (most === undefined || most.bytes < this.#bytesMax * BLAME_SHARE) {
      return { thread: undefined, why: `${beyond}, and no thread's heap explains it` }
    }
    return { thread: most.thread, why: `${beyond}, and it ${most.bytes} of them` }
  }

  /** As of the thread's last sample, a second ago at most. */
  #heldBytes({ name }: ThreadPlan): number {
    const counters = this.#shared.counters('thread', name)
    return counters.get('heap_used_bytes') + counters.get('external_bytes')
  }
}
