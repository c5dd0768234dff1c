// Where the sending commands send: standard output, a TCP listener, or POST /v1/ticks.
//
//   -                   lines to stdout; quietly over when the reader has gone
//   tcp://host:port     lines to a push listener; TCP's back-pressure, no acknowledgement
//   http://host:port    lines in POST bodies; each body is acknowledged once it is durable
//
// HTTP sends one body at a time, so that records arrive in order; the next one is made meanwhile.
// Each body has an id (Idempotency-Key). One that a daemon did not take wholly, did not confirm, or
// whose answer was lost, a restart of the daemon included, is sent again as it was: what was stored
// is not stored again.

import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { connect } from 'node:net'
import type { Writable } from 'node:stream'
import { setTimeout as delay } from 'node:timers/promises'
import { Agent, request } from 'undici'
import { errorText, TickdError } from '../errors.ts'
import { tokenHeaders } from './token.ts'

export interface PushTotals {
  lines: number
  bytes: number
  /** What the daemon made of the lines; undefined where it does not say. */
  answers: { accepted: number; duplicate: number; rejected: number } | undefined
}

export interface PushTarget {
  readonly totals: Readonly<PushTotals>
  /** True when nobody reads any more; what is written from now on is lost, and that is fine. */
  readonly isClosed: boolean
  /** Sends whole lines; resolves when more may be sent. Throws TickdError when it cannot. */
  write(bytes: Buffer, lineCount: number): Promise<void>
  /** Resolves when everything was taken (http: is durable). */
  end(): Promise<void>
}

const TARGET_FORMS = 'http://host:port, tcp://host:port, or - for standard output'
const DEFAULT_TCP_PORT = '8101'
/** Longer than the daemon waits for its journal before it answers. */
const ANSWER_TIMEOUT_MS = 60_000
/** Between two tries of the same body, and for how long in all. */
const RETRY_WAIT_MS = 1000
const RETRIES_MAX = 120
/** Try again: too much is under way; it was not confirmed in time. */
const PASSING_STATUSES = [503, 504]

export async function openTarget(to: string): Promise<PushTarget> {
  if (to === '-') return new StreamTarget(process.stdout)
  const url = URL.canParse(to) ? new URL(to) : undefined
  if (url?.protocol === 'http:' || url?.protocol === 'https:') return new HttpTarget(url)
  if (url?.protocol === 'tcp:' && url.hostname !== '') return await openTcp(url)
  throw new TickdError('USAGE', `--to ${to}: must be ${TARGET_FORMS}`)
}

async function openTcp(url: URL): Promise<PushTarget> {
  const host = url.hostname.replace(/^\[|\]$/g, '')
  const socket = connect({ host, port: Number(url.port || DEFAULT_TCP_PORT), noDelay: true })
  try {
    await once(socket, 'connect')
  } catch (error) {
    throw unreachable(url.href, error)
  }
  // A listener sends nothing; reading is how its end of the stream is noticed.
  socket.resume()
  return new StreamTarget(socket, async () => {
    socket.end()
    if (!socket.closed) await once(socket, 'close')
  })
}

class StreamTarget implements PushTarget {
  readonly totals: PushTotals = { lines: 0, bytes: 0, answers: undefined }
  readonly #stream: Writable
  readonly #finish: () => Promise<void>
  #failure: NodeJS.ErrnoException | undefined

  constructor(stream: Writable, finish: () => Promise<void> = async () => {}) {
    this.#stream = stream
    this.#finish = finish
    stream.on('error', (error: NodeJS.ErrnoException) => {
      this.#failure ??= error
    })
  }

  get isClosed(): boolean {
    return this.#failure?.code === 'EPIPE' && this.#stream === process.stdout
  }

  async write(bytes: Buffer, lineCount: number): Promise<void> {
    this.#check()
    this.totals.lines += lineCount
    this.totals.bytes += bytes.length
    if (this.#stream.write(bytes)) return
    try {
      await once(this.#stream, 'drain')
    } catch (error) {
      this.#failure ??= error as NodeJS.ErrnoException
    }
    this.#check()
  }

  async end(): Promise<void> {
    try {
      await this.#finish()
    } catch (error) {
      this.#failure ??= error as NodeJS.ErrnoException
    }
    this.#check()
  }

  #check(): void {
    if (this.#failure === undefined || this.isClosed) return
    const { lines } = this.totals
    throw new TickdError(
      'IO',
      `the receiver went away after about ${lines} lines (${errorText(this.#failure)}); its log ` +
        'says why',
      { cause: this.#failure },
    )
  }
}

interface Answer {
  accepted?: number
  duplicate?: number
  rejected?: number
  /** Of the duplicates: what an earlier try of this very body has stored. */
  repeated?: number
  error?: { code?: string; message?: string }
}

class HttpTarget implements PushTarget {
  readonly isClosed = false
  readonly answers = { accepted: 0, duplicate: 0, rejected: 0 }
  readonly totals: PushTotals = { lines: 0, bytes: 0, answers: this.answers }
  readonly #url: string
  readonly #agent = new Agent({
    connections: 1,
    pipelining: 1,
    headersTimeout: ANSWER_TIMEOUT_MS,
    bodyTimeout: ANSWER_TIMEOUT_MS,
  })
  /** Of this run: what tells its bodies from those of any other. */
  readonly #run = randomUUID()
  #bodies = 0
  /** Somebody has answered: when nobody does any more, he may come back. */
  #hasAnswered = false
  /** The body under way. Its failure is thrown by the next `write` or `end`. */
  #underWay: Promise<TickdError | undefined> = Promise.resolve(undefined)

  constructor(url: URL) {
    this.#url = new URL('/v1/ticks', url).href
  }

  async write(bytes: Buffer, lineCount: number): Promise<void> {
    await this.#settled()
    this.totals.lines += lineCount
    this.totals.bytes += bytes.length
    this.#underWay = this.#post(bytes, `${this.#run}-${this.#bodies++}`).then(
      () => undefined,
      (error) => (error instanceof TickdError ? error : unreachable(this.#url, error)),
    )
  }

  async end(): Promise<void> {
    try {
      await this.#settled()
    } finally {
      await this.#agent.destroy()
    }
  }

  async #settled(): Promise<void> {
    const failure = await this.#underWay
    if (failure !== undefined) throw failure
  }

  async #post(bytes: Buffer, id: string): Promise<void> {
    let trouble = ''
    for (let attempt = 0; attempt < RETRIES_MAX; attempt++) {
      if (attempt > 0) await delay(RETRY_WAIT_MS)
      try {
        trouble = await this.#try(bytes, id)
      } catch (error) {
        if (error instanceof TickdError || !this.#hasAnswered) throw error
        trouble = errorText(error)
      }
      if (trouble === '') return
    }
    const waitedSec = (RETRIES_MAX * RETRY_WAIT_MS) / 1000
    throw new TickdError(
      'IO',
      `${this.#url} has not taken a body in ${waitedSec} s (${trouble}); see its log and metrics`,
      { canRetry: true },
    )
  }

  /** Returns '' when the body is durable, or what stands against it for now. Throws what stays. */
  async #try(bytes: Buffer, id: string): Promise<string> {
    const { statusCode, body } = await request(this.#url, {
      dispatcher: this.#agent,
      method: 'POST',
      headers: {
        ...tokenHeaders(),
        'content-type': 'application/x-ndjson',
        'idempotency-key': id,
      },
      body: bytes,
    })
    const text = await body.text()
    this.#hasAnswered = true
    const answer = parseAnswer(text)
    const reason = answer.error?.message ?? text.slice(0, 200)
    if (statusCode === 200) {
      this.#add(answer)
      return ''
    }
    if (PASSING_STATUSES.includes(statusCode)) return `${statusCode} ${reason}`
    throw new TickdError('IO', `${this.#url} answered ${statusCode}: ${reason}`)
  }

  #add({ accepted = 0, duplicate = 0, rejected = 0, repeated = 0 }: Answer): void {
    this.answers.accepted += accepted + repeated
    this.answers.duplicate += duplicate - repeated
    this.answers.rejected += rejected
  }
}

function parseAnswer(text: string): Answer {
  try {
    const answer: unknown = JSON.parse(text)
    return typeof answer === 'object' && answer !== null ? (answer as Answer) : {}
  } catch {
    // Not from tickd: the status says enough.
    return {}
  }
}

function unreachable(url: string, error: unknown): TickdError {
  return new TickdError(
    'IO',
    `${url} cannot be reached (${errorText(error)}); is the daemon running there?`,
    { cause: error, canRetry: true },
  )
}
