// What a thread does with its time, once a second: busy or asleep, its collections, its heap.
//
// Not a profile: it is always on. A sample was measured at 5 µs, and 15 µs more a collection. An
// event loop knows its own idle time; a thread that blocks is told to the meter by whoever puts it
// to sleep. Collections come from V8's own record, which needs no event loop (a PerformanceObserver
// does, and would pile up what a blocking thread never delivers).

import { type EventLoopUtilization, performance } from 'node:perf_hooks'
import { GCProfiler, getHeapStatistics } from 'node:v8'
import type { CounterName } from '../counter-catalog.ts'
import type { CounterSet } from '../counters.ts'

export const METER_MS = 1000

export class ThreadMeter {
  readonly #counters: CounterSet<CounterName<'thread'>>
  readonly #blocking: boolean
  #collections = new GCProfiler()
  #loop: EventLoopUtilization
  #sampledMs: number
  /** Time asleep since the last sample, when blocking. */
  #sleptMs = 0

  constructor(
    counters: CounterSet<CounterName<'thread'>>,
    options: { readonly blocking: boolean; readonly nowMs: number },
  ) {
    this.#counters = counters
    this.#blocking = options.blocking
    this.#sampledMs = options.nowMs
    this.#loop = performance.eventLoopUtilization()
    this.#collections.start()
    counters.add('starts')
  }

  /** The thread has been put to sleep for so long (only where it blocks). */
  slept(ms: number): void {
    this.#sleptMs += ms
  }

  /** Call it often: it samples when a second has passed. */
  turn(nowMs: number): void {
    if (nowMs - this.#sampledMs >= METER_MS) this.#sample(nowMs)
  }

  #sample(nowMs: number): void {
    const counters = this.#counters
    const elapsedMs = nowMs - this.#sampledMs
    const idleMs = Math.min(elapsedMs, this.#blocking ? this.#sleptMs : this.#loopIdleMs())
    this.#sampledMs = nowMs
    this.#sleptMs = 0
    counters.add('idle_seconds', idleMs / 1000)
    counters.add('busy_seconds', (elapsedMs - idleMs) / 1000)
    counters.set('utilization', 1 - idleMs / elapsedMs)
    const heap = getHeapStatistics()
    counters.set('heap_used_bytes', heap.used_heap_size)
    counters.set('external_bytes', heap.external_memory)
    this.#countCollections()
  }

  #loopIdleMs(): number {
    const now = performance.eventLoopUtilization()
    const idleMs = now.idle - this.#loop.idle
    this.#loop = now
    return idleMs
  }

  /** The record grows until it is taken: a second of it at most. */
  #countCollections(): void {
    const { statistics } = this.#collections.stop()
    this.#collections = new GCProfiler()
    this.#collections.start()
    const counters = this.#counters
    for (const { cost: pauseUs } of statistics) {
      counters.add('gc_pauses')
      counters.add('gc_seconds', pauseUs / 1e6)
      counters.set('gc_seconds_max', Math.max(counters.get('gc_seconds_max'), pauseUs / 1e6))
    }
  }
}
