// The workers of a start: made as soon as the configuration is known, so that they load their
// programs (most of what a start has to do) while main loads its own, asks the databases and opens
// the journals.
//
// They know their place in the plan and wait for the rest: `begin` (runtime.ts). Nothing they do
// before reaches beyond their own memory, so a start that fails just ends them.

import { availableParallelism } from 'node:os'
import { Worker } from 'node:worker_threads'
import type { Config } from '../config/schema.ts'
import { MIB, THREAD_YOUNG_HEAP_BYTES } from '../limits.ts'
import { hasRedis } from '../storage/redis/binary.ts'
import { planThreads, type ThreadPlan } from './plan.ts'

/** A worker for this place in the plan; it waits for `begin`. */
export function makeWorker(plan: ThreadPlan, heapBytes: number): Worker {
  return new Worker(new URL('./worker.ts', import.meta.url), {
    workerData: plan,
    name: plan.name,
    resourceLimits: {
      maxOldGenerationSizeMb: heapBytes / MIB,
      maxYoungGenerationSizeMb: THREAD_YOUNG_HEAP_BYTES / MIB,
    },
  })
}

export class EarlyWorkers {
  readonly threads: readonly ThreadPlan[]
  readonly #workers = new Map<string, Worker>()

  constructor(config: Config) {
    const off = { postgres: config.postgres.mode === 'off', redis: !hasRedis(config.redis) }
    this.threads = planThreads(config, availableParallelism(), off)
    for (const plan of this.threads) {
      const worker = makeWorker(plan, config.supervise.heap_bytes)
      this.#workers.set(plan.name, worker)
      // Why it died, the one that is made in its place will say to somebody who listens.
      worker.on('error', () => {})
      // Until it is taken it is no reason for the process to go on.
      worker.unref()
      worker.once('exit', () => this.#workers.delete(plan.name))
    }
  }

  /** The worker of this thread, once; undefined: make one. */
  take({ name }: ThreadPlan): Worker | undefined {
    const worker = this.#workers.get(name)
    this.#workers.delete(name)
    worker?.ref()
    return worker
  }

  /** Ends those that were not taken. */
  async end(): Promise<void> {
    await Promise.all([...this.#workers.values()].map((worker) => worker.terminate()))
  }
}
