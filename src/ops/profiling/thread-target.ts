// The threads that can be profiled, and how a person names one: by a role or by the thread's name.

export interface ThreadTarget {
  /** The worker's name; 'main' for the main thread. */
  readonly name: string
  /** Roles of the agents on it: 'decode-0'. */
  readonly roles: readonly string[]
  readonly waits: 'event-loop' | 'blocking'
}

/** The thread that supervises; it runs no agent. */
export const MAIN_THREAD: ThreadTarget = Object.freeze({
  name: 'main',
  roles: [],
  waits: 'event-loop',
})

/** By role first: where a thread has the name of a role, they are the same thread. */
export function findTarget(
  targets: readonly ThreadTarget[],
  wanted: string,
): ThreadTarget | undefined {
  return (
    targets.find(({ roles }) => roles.includes(wanted)) ??
    targets.find(({ name }) => name === wanted)
  )
}
