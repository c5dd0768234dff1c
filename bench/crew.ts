// The processes and threads that a bench runs beside itself: each says 'ready', then answers.
//
// A member that fails ends the bench: whoever waits for its answer gets the error.

import { type ChildProcess, fork } from 'node:child_process'
import { EventEmitter, once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { Worker } from 'node:worker_threads'

/** A process or a thread, as far as they are alike. */
interface Member extends EventEmitter {
  post(message: unknown): void
  end(): Promise<unknown>
}

export class Crew {
  readonly #member: Member
  readonly pid: number
  #failure: Error | undefined
  #isEnding = false

  private constructor(member: Member, pid: number) {
    this.#member = member
    this.pid = pid
    member.on('failed', (error: Error) => {
      if (!this.#isEnding) this.#failure ??= error
    })
  }

  /** A process of its own running `module` (beside this file); it is ready when this returns. */
  static async process(module: string, args: readonly (string | number)[]): Promise<Crew> {
    const child = fork(fileURLToPath(new URL(module, import.meta.url)), args.map(String), {
      execArgv: ['--disable-warning=ExperimentalWarning', '--expose-gc'],
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
      serialization: 'advanced',
    })
    return await Crew.#ready(processMember(child, module), child.pid as number)
  }

  /** A thread of this process running `module`; it is ready when this returns. */
  static async thread(module: string, workerData: unknown): Promise<Crew> {
    const worker = new Worker(new URL(module, import.meta.url), { workerData })
    return await Crew.#ready(threadMember(worker, module), process.pid)
  }

  static async #ready(member: Member, pid: number): Promise<Crew> {
    const crew = new Crew(member, pid)
    await crew.answer('ready')
    return crew
  }

  post(message: unknown): void {
    this.#member.post(message)
  }

  /** The next message of the member, or its failure. */
  async answer(event: 'ready' | 'message' = 'message'): Promise<unknown> {
    if (this.#failure !== undefined) throw this.#failure
    const stop = new AbortController()
    const failed = once(this.#member, 'failed', { signal: stop.signal })
    try {
      return await Promise.race([
        once(this.#member, event, { signal: stop.signal }).then(([message]) => message),
        failed.then(([error]) => Promise.reject(error)),
      ])
    } finally {
      stop.abort()
      failed.catch(() => {})
    }
  }

  async ask<Answer>(message: unknown): Promise<Answer> {
    const answer = this.answer()
    this.post(message)
    return (await answer) as Answer
  }

  async end(): Promise<void> {
    this.#isEnding = true
    await this.#member.end()
  }
}

function processMember(child: ChildProcess, module: string): Member {
  const member = new EventEmitter() as Member
  child.on('message', (message) => emitMessage(member, message))
  child.on('exit', (code, signal) => {
    member.emit('failed', new Error(`${module} ended with ${code ?? signal}`))
  })
  member.post = (message) => void child.send(message as object)
  member.end = async () => {
    if (child.exitCode !== null || child.signalCode !== null) return
    const exited = once(child, 'exit')
    if (child.connected) child.disconnect()
    await exited
  }
  return member
}

function threadMember(worker: Worker, module: string): Member {
  const member = new EventEmitter() as Member
  worker.on('message', (message) => emitMessage(member, message))
  worker.on('error', (error) => member.emit('failed', error))
  worker.on('exit', (code) => member.emit('failed', new Error(`${module} ended with ${code}`)))
  member.post = (message) => worker.postMessage(message)
  member.end = () => worker.terminate()
  return member
}

function emitMessage(member: Member, message: unknown): void {
  member.emit(message === 'ready' ? 'ready' : 'message', message)
}
