// Where the sending commands send: standard output, a TCP listener, or POST /v1/ticks.
//
//   -                   lines to stdout; quietly over when the reader has gone
//   tcp://host:port     lines to a push listener; TCP's back-pressure, no acknowledgement
//   http://host:port    lines in POST bodies; each body is acknowledged once it is durable
//
// HTTP sends one body at a time, so that records arrive in order; the next one is made meanwhile.
// A body of which the daemon took only a part ("busy") is sent on from there: every line is
// counted in its answer, so nothing is sent twice.

import { once } from 'node:events'
import { connect } from 'node:net'
import type { Writable } from 'node:stream'
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
const BUSY_WAIT_MS = 1000
const BUSY_TRIES_MAX = 120

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
  /** The body under way. Its failure is thrown by the next `write` or `end`. */
  #underWay: Promise<TickdError | undefined> = Promise.resolve(undefined)

  constructor(url: URL) {
    this.#url = new URL('/v1/ticks', url).href
  }

  async write(bytes: Buffer, lineCount: number): Promise<void> {
    await this.#settled()
    this.totals.lines += lineCount
    this.totals.bytes += bytes.length
    this.#underWay = this.#post(bytes, lineCount).then(
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

  async #post(bytes: Buffer, lineCount: number): Promise<void> {
    let rest = bytes
    let left = lineCount
    for (let attempt = 0; attempt < BUSY_TRIES_MAX; attempt++) {
      const { statusCode, body } = await request(this.#url, {
        dispatcher: this.#agent,
        method: 'POST',
        headers: { ...tokenHeaders(), 'content-type': 'application/x-ndjson' },
        body: rest,
      })
      const text = await body.text()
      const answer = parseAnswer(text)
      const taken = this.#add(answer)
      if (statusCode === 200) return
      if (statusCode !== 503) {
        const reason = answer.error?.message ?? text.slice(0, 200)
        throw new TickdError('IO', `${this.#url} answered ${statusCode}: ${reason}`)
      }
      rest = skipLines(rest, taken)
      left -= taken
      if (left <= 0) return
      await new Promise((resolve) => setTimeout(resolve, BUSY_WAIT_MS))
    }
    const waitedSec = (BUSY_TRIES_MAX * BUSY_WAIT_MS) / 1000
    throw new TickdError(
      'IO',
      `${this.#url} has been too busy for ${waitedSec} s; see its metrics and disk`,
      { canRetry: true },
    )
  }

  /** Adds the counts of an answer; returns how many lines it accounts for. */
  #add({ accepted = 0, duplicate = 0, rejected = 0 }: Answer): number {
    this.answers.accepted += accepted
    this.answers.duplicate += duplicate
    this.answers.rejected += rejected
    return accepted + duplicate + rejected
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

function skipLines(bytes: Buffer, count: number): Buffer {
  let at = 0
  for (let i = 0; i < count; i++) at = bytes.indexOf(0x0a, at) + 1
  return bytes.subarray(at)
}

function unreachable(url: string, error: unknown): TickdError {
  return new TickdError(
    'IO',
    `${url} cannot be reached (${errorText(error)}); is the daemon running there?`,
    { cause: error, canRetry: true },
  )
}
