// A link from the main thread to the inspector of any thread of this process.
//
// Through V8's inspector (node:inspector): the main thread's own, and its NodeWorker domain for the
// others. Messages to a worker interrupt it wherever it is, also in a wait on shared memory or an
// endless loop: the thread need not take part, has no hook in its loop, and cannot refuse. While no
// link is open no thread has an inspector session, so nothing is paid.
//
// The inspector does not tell of a thread that ends while it is being attached: the thread itself
// is watched too. Threads that were made before this module was loaded cannot be, and are not
// found.
//
// Not for several threads: a link is one profile's, opened for it and closed after it.

import { Session } from 'node:inspector'
import { setFlagsFromString } from 'node:v8'
import type { Worker } from 'node:worker_threads'
import { TickdError } from '../../errors.ts'
import { INSPECTOR_ANSWER_MS_MAX } from '../../limits.ts'
import { MAIN_THREAD } from './thread-target.ts'

/** What an inspector answers: the protocol is versioned with V8, so each caller knows its part. */
export type InspectorResult = Readonly<Record<string, unknown>>

/** `params` of the NodeWorker events. */
interface Attached {
  readonly sessionId: string
  /** 'title' is '[worker 3] hot'. */
  readonly workerInfo: { readonly title: string }
}
interface FromWorker {
  readonly sessionId: string
  readonly message: string
}
interface Answer {
  readonly id?: number
  readonly result?: InspectorResult
  readonly error?: { readonly message: string }
}

/** '[worker 3] hot': the thread's id and its name. */
const WORKER_TITLE = /^\[worker (\d+)\] (.*)$/
let openCount = 0

// What V8 compiles from now on keeps the positions of what it inlines. Without them a function that
// was inlined before a profile began is not in it, and those are the hot ones. Costs memory beside
// the compiled code, and no time when it runs.
setFlagsFromString('--detailed-line-info')

/** Threads that run, by id: a thread has none any more when it tells of its end. */
const running = new Map<number, Worker>()
process.on('worker', (worker: Worker) => {
  const id = worker.threadId
  running.set(id, worker)
  worker.once('exit', () => running.delete(id))
})

/** Links open now: 0 unless a profile is being taken. */
export function openLinkCount(): number {
  return openCount
}

export class InspectorLink {
  readonly session = new Session()
  readonly #thread: string
  /** Sessions of the workers, by name, in the order in which they were attached. */
  readonly #workers = new Map<string, string>()
  readonly #ended = Promise.withResolvers<never>()
  readonly #waiting = new Map<number, PromiseWithResolvers<InspectorResult>>()
  /** Ends the watch over each thread. */
  readonly #unwatch: (() => void)[] = []
  #lastId = 0

  private constructor(thread: string) {
    this.#thread = thread
    // It may end when nobody waits for that.
    this.#ended.promise.catch(() => {})
  }

  /** Throws when there is no such thread now. */
  static async open(thread: string): Promise<InspectorLink> {
    const link = new InspectorLink(thread)
    link.session.connect()
    openCount++
    try {
      if (thread !== MAIN_THREAD.name) await link.#attach()
    } catch (error) {
      link.close()
      throw error
    }
    return link
  }

  /** Rejects when the thread ends. */
  get ended(): Promise<never> {
    return this.#ended.promise
  }

  /** Calls a method of the thread's inspector. */
  ask(method: string, params: object = {}): Promise<InspectorResult> {
    return this.askThread(this.#thread, method, params)
  }

  /** As `ask`, of another thread: the trace marks them all. */
  askThread(thread: string, method: string, params: object): Promise<InspectorResult> {
    if (thread === MAIN_THREAD.name) return this.#post(method, params)
    const sessionId = this.#workers.get(thread)
    if (sessionId === undefined) return Promise.reject(gone(thread))
    return withinTime(this.#postToWorker(sessionId, method, params), thread)
  }

  /** The other threads of the process. */
  async attachAll(): Promise<readonly string[]> {
    if (this.#workers.size === 0) await this.#enable()
    return [...this.#workers.keys()]
  }

  /** Ends all that was begun through it: the inspectors of all threads are as before. */
  close(): void {
    this.session.disconnect()
    for (const unwatch of this.#unwatch) unwatch()
    openCount--
    this.#failAll()
  }

  async #attach(): Promise<void> {
    await this.#enable()
    if (!this.#workers.has(this.#thread)) throw gone(this.#thread)
  }

  async #enable(): Promise<void> {
    this.session.on('NodeWorker.attachedToWorker', ({ params }: { params: Attached }) => {
      this.#onAttached(params)
    })
    this.session.on('NodeWorker.detachedFromWorker', ({ params }) => {
      this.#onEnd((params as { sessionId: string }).sessionId)
    })
    this.session.on('NodeWorker.receivedMessageFromWorker', ({ params }: { params: FromWorker }) =>
      this.#onAnswer(JSON.parse(params.message)),
    )
    // All workers are announced before this resolves.
    await this.#post('NodeWorker.enable', { waitForDebuggerOnStart: false })
  }

  #onAttached({ sessionId, workerInfo }: Attached): void {
    const [, id = '', name = ''] = WORKER_TITLE.exec(workerInfo.title) ?? []
    const worker = running.get(Number(id))
    if (worker === undefined) return
    this.#workers.set(name, sessionId)
    const onExit = () => this.#onEnd(sessionId)
    worker.once('exit', onExit)
    this.#unwatch.push(() => worker.off('exit', onExit))
  }

  #post(method: string, params: object): Promise<InspectorResult> {
    return new Promise((resolve, reject) => {
      this.session.post(method, params, (error: Error | null, result: object | undefined) => {
        if (error === null) resolve((result ?? {}) as InspectorResult)
        else reject(refused(method, error.message))
      })
    })
  }

  async #postToWorker(sessionId: string, method: string, params: object): Promise<InspectorResult> {
    const id = ++this.#lastId
    const answer = Promise.withResolvers<InspectorResult>()
    this.#waiting.set(id, answer)
    const message = JSON.stringify({ id, method, params })
    await this.#post('NodeWorker.sendMessageToWorker', { sessionId, message })
    return await answer.promise
  }

  #onAnswer({ id = 0, result = {}, error }: Answer): void {
    const waiting = this.#waiting.get(id)
    this.#waiting.delete(id)
    if (error === undefined) waiting?.resolve(result)
    else waiting?.reject(refused('the inspector', error.message))
  }

  #onEnd(ended: string): void {
    for (const [name, sessionId] of this.#workers) {
      if (sessionId !== ended) continue
      this.#workers.delete(name)
      if (name === this.#thread) {
        this.#ended.reject(gone(name))
        this.#failAll()
      }
    }
  }

  #failAll(): void {
    for (const { reject } of this.#waiting.values()) reject(gone(this.#thread))
    this.#waiting.clear()
  }
}

async function withinTime(
  answer: Promise<InspectorResult>,
  thread: string,
): Promise<InspectorResult> {
  const late = Promise.withResolvers<never>()
  const timer = setTimeout(() => {
    const text = `thread ${thread} has not answered for ${INSPECTOR_ANSWER_MS_MAX / 1000} s`
    late.reject(new TickdError('PROFILE_FAILED', `${text}; is it in a system call?`))
  }, INSPECTOR_ANSWER_MS_MAX)
  try {
    return await Promise.race([answer, late.promise])
  } finally {
    clearTimeout(timer)
  }
}

function gone(thread: string): TickdError {
  return new TickdError('PROFILE_FAILED', `thread ${thread} has ended; ask again once it is back`, {
    canRetry: true,
  })
}

function refused(what: string, message: string): TickdError {
  return new TickdError('PROFILE_FAILED', `${what} refused: ${message}`)
}
