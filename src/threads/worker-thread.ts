// One thread of the plan: its worker, how it ended, and whether it may be made anew.
//
// It never has two workers at once: the next one is started when the last one's end is complete
// (its files and sockets are closed then), never before.

import { setTimeout as sleep } from 'node:timers/promises'
import type { Worker } from 'node:worker_threads'
import { errorText } from '../errors.ts'
import { THREAD_DEATHS_MAX, THREAD_DEATHS_MS } from '../limits.ts'
import { type Addon, systemAddon } from '../native/addon.ts'
import type { Log } from '../ops/log.ts'
import { type EarlyWorkers, makeWorker } from './early-workers.ts'
import type { ThreadPlan } from './plan.ts'
import type { Begin, FromWorker, ToWorker } from './runtime.ts'
import type { Hang } from './thread-watch.ts'

/** An idle event loop turns within a tenth of a second; one in native code may not turn at all. */
const LOOP_END_MS_MAX = 1000
const LOOP_LOOK_MS = 5

export interface WorkerThreadOptions {
  readonly plan: ThreadPlan
  readonly begin: () => Begin
  /** Has its first worker. */
  readonly early?: EarlyWorkers | undefined
  readonly heapBytes: number
  readonly log: Log
  readonly onMessage: (message: FromWorker, worker: Worker) => void
  /** Its end is complete. */
  readonly onEnd: (thread: WorkerThread) => void
}

export class WorkerThread {
  readonly plan: ThreadPlan
  readonly #options: WorkerThreadOptions
  #worker: Worker | undefined
  #ended: Promise<void> = Promise.resolve()
  /** Why it was told to end, and when. */
  #told: { readonly why: string; readonly atMs: number } | undefined
  #error: unknown
  /** Its event loop was seen to be guarded. */
  #hasBegun = false
  /** Monotonic times of its deaths; at most THREAD_DEATHS_MAX + 1. */
  #deaths: number[] = []

  constructor(options: WorkerThreadOptions) {
    this.plan = options.plan
    this.#options = options
  }

  get isAlive(): boolean {
    return this.#worker !== undefined
  }

  /** The worker that it has now. */
  owns(worker: Worker): boolean {
    return this.#worker === worker
  }

  /** False: it has no worker now. */
  tell(message: ToWorker): boolean {
    this.#worker?.postMessage(message)
    return this.isAlive
  }

  /** Resolves when its worker, if it has one, has ended. */
  get ended(): Promise<void> {
    return this.#ended
  }

  /** How long ago it was told to end; undefined = it was not. */
  toldMs(nowMs: number): number | undefined {
    return this.#told === undefined ? undefined : nowMs - this.#told.atMs
  }

  start(): void {
    const { plan, begin, early, heapBytes, onMessage, onEnd } = this.#options
    this.#told = undefined
    this.#error = undefined
    this.#hasBegun = false
    const worker = early?.take(plan) ?? makeWorker(plan, heapBytes)
    this.#worker = worker
    worker.on('message', (message: FromWorker) => onMessage(message, worker))
    worker.on('error', (error) => {
      this.#error = error
    })
    this.#ended = new Promise((resolve) => {
      worker.once('exit', () => {
        this.#worker = undefined
        resolve()
        onEnd(this)
      })
    })
    worker.postMessage(begin())
  }

  /**
   * Ends it wherever it is; `onEnd` follows, unless it is in a system call that does not return.
   */
  end(why: string): void {
    if (this.#worker === undefined || this.#told !== undefined) return
    this.#told = { why, atMs: performance.now() }
    const addon = this.plan.blocking ? undefined : systemAddon()
    if (addon === undefined) void this.#worker.terminate()
    else void this.#endLoop(this.#worker, addon)
  }

  /**
   * Its foreign sockets first; see native/event_loop.h. An idle thread hears of it when it turns.
   * It stands still from then on until its end is under way: no JavaScript may touch those sockets.
   */
  async #endLoop(worker: Worker, addon: Addon): Promise<void> {
    const { line } = this.plan
    addon.endLoop(line)
    const deadlineMs = performance.now() + LOOP_END_MS_MAX
    while (!addon.hasLoopEnded(line) && performance.now() < deadlineMs) await sleep(LOOP_LOOK_MS)
    const ended = worker.terminate()
    addon.letLoopGo(line)
    await ended
  }

  /** Looks whether its sockets were closed, as its heap was nearly full, and yet it lives. */
  looksCutOff(): boolean {
    const addon = this.plan.blocking ? undefined : systemAddon()
    if (addon === undefined || this.#worker === undefined || this.#told !== undefined) return false
    // Until it has begun, no loop of its key is guarded, and that looks like an end.
    const hasEnded = addon.hasLoopEnded(this.plan.line)
    this.#hasBegun ||= !hasEnded
    return this.#hasBegun && hasEnded
  }

  /** Why it ended, for people. */
  deathReason(): string {
    if (this.#told !== undefined) return this.#told.why
    const error = this.#error as NodeJS.ErrnoException | undefined
    if (error?.code === 'ERR_WORKER_OUT_OF_MEMORY') {
      return `its heap grew beyond supervise.heap_bytes (${this.#options.heapBytes})`
    }
    return error === undefined ? 'it ended by itself' : errorText(error)
  }

  get stack(): string | undefined {
    return this.#error instanceof Error ? this.#error.stack : undefined
  }

  /** Notes a death; false = it dies too often. */
  mayLiveAgain(nowMs: number): boolean {
    this.#deaths = this.#deaths.filter((atMs) => nowMs - atMs < THREAD_DEATHS_MS)
    this.#deaths.push(nowMs)
    return this.#deaths.length <= THREAD_DEATHS_MAX
  }
}

/** What a log line and an incident say of a thread that stands still. */
export function hangText({ roleName, stillMs }: Hang): string {
  const where = roleName === undefined ? 'in no agent' : `in ${roleName}`
  return `it stood still ${where} for ${stillMs} ms`
}
