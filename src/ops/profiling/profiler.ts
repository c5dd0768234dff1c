// Takes profiles of this process's threads: one at a time a thread, and one trace at a time.
//
// It holds at most one profile a thread in memory, hands it to the caller and forgets it.

import { setTimeout as sleep } from 'node:timers/promises'
import { TickdError } from '../../errors.ts'
import { PROFILE_SECONDS_MAX } from '../../limits.ts'
import { InspectorLink } from './inspector-link.ts'
import {
  type CpuProfile,
  type HeapProfile,
  type ProfileKind,
  type Trace,
  takeCpuProfile,
  takeHeapProfile,
  takeTrace,
} from './profiles.ts'
import { findTarget, MAIN_THREAD, type ThreadTarget } from './thread-target.ts'

export type Profile =
  | { readonly kind: 'cpu'; readonly value: CpuProfile }
  | { readonly kind: 'heap'; readonly value: HeapProfile }
  | { readonly kind: 'trace'; readonly value: Trace }

export interface ProfileRequest {
  readonly kind: ProfileKind
  /** Of the targets; a trace may be of 'all'. */
  readonly thread: string
  /** 1 … PROFILE_SECONDS_MAX, whole. */
  readonly seconds: number
}

/** In place of a thread: all of them (trace only). */
export const ALL_THREADS = 'all'

export class Profiler {
  readonly targets: readonly ThreadTarget[]
  /** Names of the threads (and 'trace') of which a profile is being taken. */
  readonly #busy = new Set<string>()

  constructor(threads: readonly ThreadTarget[]) {
    this.targets = [MAIN_THREAD, ...threads]
  }

  isBusy(thread: string): boolean {
    return this.#busy.has(thread)
  }

  /** The thread that a request means; undefined when there is none of that name. */
  resolve({ kind, thread }: Pick<ProfileRequest, 'kind' | 'thread'>): string | undefined {
    if (kind === 'trace' && thread === ALL_THREADS) return ALL_THREADS
    return findTarget(this.targets, thread)?.name
  }

  /** Throws TickdError: PROFILE_BUSY, or PROFILE_FAILED; the signal's reason when aborted. */
  async take(request: ProfileRequest, signal: AbortSignal): Promise<Profile> {
    const { kind, thread, seconds } = request
    const name = this.resolve(request)
    if (name === undefined) throw new TickdError('USAGE', `there is no thread ${thread}`)
    if (!(seconds >= 1 && seconds <= PROFILE_SECONDS_MAX)) {
      throw new TickdError('USAGE', `seconds must be 1 to ${PROFILE_SECONDS_MAX}`)
    }
    // Node has one trace a process.
    const lock = kind === 'trace' ? 'trace' : name
    if (this.#busy.has(lock)) {
      throw new TickdError('PROFILE_BUSY', `a profile of ${lock} is being taken`, {
        canRetry: true,
      })
    }
    this.#busy.add(lock)
    // Ends the wait where the thread ends first.
    const over = new AbortController()
    const waiting = { signal: AbortSignal.any([signal, over.signal]) }
    try {
      const link = await InspectorLink.open(name === ALL_THREADS ? MAIN_THREAD.name : name)
      try {
        const elapsed = () => Promise.race([sleep(seconds * 1000, undefined, waiting), link.ended])
        return await takeOf(kind, name, link, elapsed)
      } finally {
        link.close()
      }
    } finally {
      over.abort()
      this.#busy.delete(lock)
    }
  }
}

async function takeOf(
  kind: ProfileKind,
  thread: string,
  link: InspectorLink,
  elapsed: () => Promise<void>,
): Promise<Profile> {
  if (kind === 'cpu') return { kind, value: await takeCpuProfile(link, elapsed) }
  if (kind === 'heap') return { kind, value: await takeHeapProfile(link, elapsed) }
  const whose = thread === ALL_THREADS ? undefined : thread
  return { kind, value: await takeTrace(whose)(link, elapsed) }
}
