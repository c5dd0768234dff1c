// One session of the simulated PostgreSQL: a queue of queries, one transaction, one client.

import type { Connection as PgConnection, Submittable } from 'pg'
import type { Clock } from '../../src/clock.ts'
import { broken } from './simulated-postgres.ts'
import { Draft, type SqlHistory } from './sql-state.ts'
import { isCopy, runCopy, runStatement, SqlError } from './sql-statements.ts'

export type Request = string | Submittable

/** What pg calls on a query object, beside `submit`. */
interface Handlers {
  /** Its tag begins with the statement's first word. */
  handleCommandComplete(message: { text: string }): void
  handleReadyForQuery(): void
  handleError(error: Error): void
}

interface Query {
  readonly request: Request
  readonly parameters: readonly unknown[]
  readonly resolve: (result: { rows: Record<string, unknown>[] }) => void
  readonly reject: (error: Error) => void
  statements: string[]
  rows: Record<string, unknown>[]
  /** Bytes sent behind the text, and pieces of them not yet taken. */
  data: Buffer[]
  pieces: { bytes: Buffer; taken: (error?: Error) => void }[]
  isSubmitted: boolean
  waitsUntilMs: number
}

export interface SessionOptions {
  readonly history: SqlHistory
  readonly clock: Clock
  readonly onLost: ((error: Error) => void) | undefined
  readonly lock: (name: string, owner: Session) => boolean
}

const COPY_DATA = 0x64
const MESSAGE_HEADER_BYTES = 5
const ADVISORY_LOCK = /^SELECT pg_advisory_lock\(/
const LOCK_TIMEOUT = /^SET lock_timeout = (\d+)$/

export class Session {
  /** The client has said goodbye, and nothing is left to do. */
  isOver = false
  readonly #options: SessionOptions
  readonly #queue: Query[] = []
  #draft: Draft | undefined
  #isInBlock = false
  #isClosing = false
  #hasClient = true
  #lockTimeoutMs = 0

  constructor(options: SessionOptions) {
    this.#options = options
  }

  get isStoring(): boolean {
    const request = this.#queue[0]?.request
    return request !== undefined && typeof request !== 'string'
  }

  query(request: Request, parameters: readonly unknown[] = []): Promise<unknown> {
    if (this.isOver) {
      const error = broken('ECONNRESET')
      if (typeof request === 'string') return Promise.reject(error)
      // As pg does: not within the call.
      queueMicrotask(() => handlersOf(request).handleError(error))
      return new Promise(() => {})
    }
    return new Promise((resolve, reject) => {
      const query: Query = {
        request,
        parameters,
        resolve,
        reject,
        statements: typeof request === 'string' ? [request] : [],
        rows: [],
        data: [],
        pieces: [],
        isSubmitted: false,
        waitsUntilMs: Number.NaN,
      }
      this.#queue.push(query)
      if (this.#queue.length === 1) this.#submit(query)
    })
  }

  /** The client is done with it: what is under way is not answered any more. */
  close(): void {
    this.#isClosing = true
  }

  /** The client is no more: nothing is called. */
  abandon(): void {
    this.#hasClient = false
  }

  /** Runs up to `steps` statements. */
  turn(steps: number): number {
    if (this.#isClosing) {
      this.breakOff()
      return 1
    }
    let work = 0
    for (; work < steps; work++) {
      const query = this.#queue[0]
      if (query === undefined || !this.#step(query)) break
    }
    return work
  }

  /** Runs all that has arrived whole; the answers are lost. */
  finish(): void {
    const query = this.#queue[0]
    if (query === undefined || typeof query.request === 'string') return
    this.#hasClient = false
    while (this.#queue[0] === query && this.#step(query));
  }

  /** The connection is gone: the open transaction is undone, and the client told. */
  breakOff(): void {
    this.isOver = true
    this.#draft = undefined
    const error = broken('ECONNRESET')
    const queries = this.#queue.splice(0)
    if (!this.#hasClient) return
    for (const query of queries) {
      for (const piece of query.pieces.splice(0)) piece.taken(error)
      if (typeof query.request === 'string') query.reject(error)
      else handlersOf(query.request).handleError(error)
    }
    if (!this.#isClosing) this.#options.onLost?.(error)
  }

  #submit(query: Query): void {
    query.isSubmitted = true
    if (typeof query.request === 'string') return
    const connection = {
      query: (text: string) => {
        query.statements = text.split(/;\n/)
      },
      stream: {
        write: (bytes: Buffer, taken: (error?: Error) => void) => {
          query.pieces.push({ bytes, taken })
        },
      },
    }
    // What the store's transaction uses of pg's connection: see copy-transaction.ts.
    query.request.submit(connection as unknown as PgConnection)
  }

  /** One piece of data, or one statement. False: it waits for more. */
  #step(query: Query): boolean {
    if (!query.isSubmitted) this.#submit(query)
    const piece = query.pieces.shift()
    if (piece !== undefined) {
      query.data.push(Buffer.from(piece.bytes))
      piece.taken()
      return true
    }
    const text = query.statements[0]
    if (text === undefined) {
      this.#answer(query)
      return true
    }
    try {
      if (!this.#run(query, text)) return false
      query.statements.shift()
      if (typeof query.request !== 'string' && this.#hasClient) {
        handlersOf(query.request).handleCommandComplete({ text })
      }
    } catch (thrown) {
      if (!(thrown instanceof SqlError)) throw thrown
      this.#fail(query, thrown)
    }
    return true
  }

  /** False: it waits, for data or for a lock. */
  #run(query: Query, text: string): boolean {
    if (text === 'BEGIN') {
      this.#isInBlock = true
      this.#draft = new Draft(this.#options.history)
      return true
    }
    if (text === 'COMMIT' || text === 'ROLLBACK') {
      if (text === 'COMMIT') this.#draft?.commit()
      this.#isInBlock = false
      this.#draft = undefined
      return true
    }
    if (ADVISORY_LOCK.test(text)) return this.#lock(query)
    const timeout = LOCK_TIMEOUT.exec(text)
    if (timeout !== null) this.#lockTimeoutMs = Number(timeout[1])
    const draft = this.#draft ?? new Draft(this.#options.history)
    if (isCopy(text)) {
      const data = takeCopy(query)
      if (data === undefined) return false
      runCopy(draft, text, data)
    } else query.rows = runStatement(draft, text, query.parameters)
    if (!this.#isInBlock) draft.commit()
    return true
  }

  #lock(query: Query): boolean {
    if (this.#options.lock(String(query.parameters[0]), this)) return true
    const nowMs = this.#options.clock.monoMs()
    if (Number.isNaN(query.waitsUntilMs)) query.waitsUntilMs = nowMs + this.#lockTimeoutMs
    if (nowMs < query.waitsUntilMs) return false
    throw new SqlError('55P03', 'canceling statement due to lock timeout')
  }

  #answer(query: Query): void {
    this.#next()
    if (!this.#hasClient) return
    if (typeof query.request === 'string') query.resolve({ rows: query.rows })
    else handlersOf(query.request).handleReadyForQuery()
  }

  #fail(query: Query, error: SqlError): void {
    this.#next()
    if (typeof query.request !== 'string') {
      this.#isInBlock = false
      this.#draft = undefined
    }
    if (!this.#hasClient) return
    if (typeof query.request === 'string') query.reject(error)
    else handlersOf(query.request).handleError(error)
  }

  #next(): void {
    this.#queue.shift()
    const next = this.#queue[0]
    if (next !== undefined) this.#submit(next)
  }
}

function handlersOf(request: Submittable): Handlers {
  return request as unknown as Handlers
}

/** The data of the next COPY, up to its CopyDone; undefined while it is not all there. */
function takeCopy(query: Query): Buffer | undefined {
  const all = Buffer.concat(query.data)
  const parts: Buffer[] = []
  let at = 0
  while (at + MESSAGE_HEADER_BYTES <= all.length) {
    const end = at + 1 + all.readInt32BE(at + 1)
    if (end > all.length) return undefined
    if (all[at] !== COPY_DATA) {
      query.data = [all.subarray(end)]
      return Buffer.concat(parts)
    }
    parts.push(all.subarray(at + MESSAGE_HEADER_BYTES, end))
    at = end
  }
  return undefined
}
