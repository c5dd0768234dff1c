// Main's side of the thread for dead letters: starts it when somebody asks, hands it one call at a
// time, ends it when nobody has asked for a while, or when a call takes too long.
//
// Ending it in the middle is safe: what was being driven is in doubt, in the log of settlements,
// and the next call asks the journal.

import { Worker } from 'node:worker_threads'
import { errorText, TickdError } from '../errors.ts'
import { LETTERS_CALL_MS_MAX, LETTERS_CALLS_MAX, LETTERS_IDLE_MS } from '../limits.ts'
import type { Log } from '../ops/log.ts'
import type { LettersAnswer, LettersCall } from './letters-call.ts'
import type { ThreadPlan } from './plan.ts'
import type { Runtime } from './runtime.ts'
import type { SharedMemory } from './shared-memory.ts'

/** What the thread starts with. */
export interface LettersWorkerData {
  readonly runtime: Runtime
  readonly threads: readonly ThreadPlan[]
  readonly memory: SharedMemory
}

/** The daemon's stop gives a call under way so long to end by itself. */
const CLOSE_MS_MAX = 1000

export class LettersDesk {
  readonly #data: LettersWorkerData
  readonly #log: Log
  #worker: Worker | undefined
  #idle: NodeJS.Timeout | undefined
  #queue: Promise<unknown> = Promise.resolve()
  #waiting = 0
  #idLast = 0
  #isClosed = false

  constructor(data: LettersWorkerData, log: Log) {
    this.#data = data
    this.#log = log
  }

  /** The answer's value; undefined = no such letter. Throws TickdError. */
  async call(call: LettersCall): Promise<object | undefined> {
    if (this.#waiting >= LETTERS_CALLS_MAX) {
      throw new TickdError('IO', 'too many calls about dead letters wait; try again', {
        canRetry: true,
      })
    }
    this.#waiting++
    const turn = this.#queue.then(() => this.#carryOut(call))
    this.#queue = turn.catch(() => {})
    try {
      return await turn
    } finally {
      this.#waiting--
    }
  }

  /** Ends the thread: after the call that it is at, if that ends soon. */
  async close(): Promise<void> {
    this.#isClosed = true
    const late = setTimeout(() => this.#end(), CLOSE_MS_MAX)
    await this.#queue
    clearTimeout(late)
    await this.#end()
  }

  async #carryOut(call: LettersCall): Promise<object | undefined> {
    if (this.#isClosed) throw new TickdError('IO', 'the daemon is stopping', { canRetry: true })
    clearTimeout(this.#idle)
    const answer = await this.#ask(call)
    this.#idle = setTimeout(() => this.#end(), LETTERS_IDLE_MS)
    this.#idle.unref()
    if ('value' in answer) return answer.value
    throw new TickdError(answer.code, answer.message)
  }

  async #ask(call: LettersCall): Promise<LettersAnswer> {
    const worker = this.#start()
    const id = ++this.#idLast
    const { promise, resolve } = Promise.withResolvers<LettersAnswer>()
    const timer = setTimeout(() => {
      this.#log.error({ op: call.op }, 'a call about dead letters takes too long: ended')
      void this.#end()
    }, LETTERS_CALL_MS_MAX)
    const onMessage = (message: { id: number; answer: LettersAnswer }) => {
      if (message.id === id) resolve(message.answer)
    }
    const onExit = () => {
      resolve({ code: 'IO', message: 'the thread for dead letters has ended; call again' })
    }
    worker.on('message', onMessage).once('exit', onExit)
    worker.postMessage({ id, call })
    const answer = await promise
    clearTimeout(timer)
    worker.off('message', onMessage).off('exit', onExit)
    return answer
  }

  #start(): Worker {
    if (this.#worker !== undefined) return this.#worker
    const url = new URL('./letters-worker.ts', import.meta.url)
    const worker = new Worker(url, { workerData: this.#data, name: 'letters' })
    worker.on('error', (error) => {
      this.#log.error({ error: errorText(error) }, 'the thread for dead letters died')
    })
    worker.on('exit', () => {
      if (this.#worker === worker) this.#worker = undefined
    })
    this.#worker = worker
    return worker
  }

  async #end(): Promise<void> {
    clearTimeout(this.#idle)
    await this.#worker?.terminate()
  }
}
