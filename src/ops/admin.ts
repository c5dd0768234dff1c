// The admin listener: profiles of this process's threads, and its dead letters, over HTTP, on the
// main thread.
//
//   GET  /debug/threads                                      which threads there are
//   POST /debug/profile/{cpu,heap,trace}?thread=&seconds=&format=
//   and the paths of its routes: /v1/dlq… (threads/letters-http.ts)
//
// Not the listener of users: it is bound to loopback unless configured otherwise, has no accounts,
// and refuses what a web page sends. Of profiles it writes nothing to disk.

import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { errorText, TickdError } from '../errors.ts'
import { ADMIN_CONNECTIONS_MAX, PROFILE_SECONDS_MAX } from '../limits.ts'
import type { Log } from './log.ts'
import { openLinkCount } from './profiling/inspector-link.ts'
import { FORMAT_TYPES, formatOf, profileText } from './profiling/profile-text.ts'
import type { ProfileRequest, Profiler } from './profiling/profiler.ts'
import { PROFILE_KINDS, type ProfileKind } from './profiling/profiles.ts'
import { demandKnown, demandMethod, Refusal } from './refusal.ts'

/** Not imported: that would load all that it exports, a WebSocket and undici among it (50 ms). */
const { createServer } = process.getBuiltinModule('node:http')

const SECONDS = 10
const PROFILE_PATH = '/debug/profile/'
/** Pages that we send draw and run their own inline script, and load nothing. */
const CONTENT_POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'"

/** What others answer here: a path and all below it. */
export interface AdminRoute {
  readonly path: string
  /** Resolves to what is sent as JSON. Throws a Refusal or a TickdError. */
  readonly answer: (request: IncomingMessage, response: ServerResponse, url: URL) => Promise<object>
}

export interface AdminOptions {
  readonly listen: { readonly host: string; readonly port: number }
  readonly profiler: Profiler
  readonly routes: readonly AdminRoute[]
  readonly log: Log
}

export class AdminListener {
  readonly #options: AdminOptions
  readonly #server: Server
  readonly #stopping = new AbortController()
  readonly #underWay = new Set<Promise<void>>()

  constructor(options: AdminOptions) {
    this.#options = options
    this.#server = createServer((request, response) => {
      const answered = this.#answer(request, response).finally(() => {
        this.#underWay.delete(answered)
      })
      this.#underWay.add(answered)
    })
    this.#server.maxConnections = ADMIN_CONNECTIONS_MAX
  }

  /** Resolves to the address that was bound. */
  async start(): Promise<string> {
    const { host, port } = this.#options.listen
    const bound = Promise.withResolvers<void>()
    this.#server.once('error', bound.reject)
    this.#server.listen({ host, port }, bound.resolve)
    try {
      await bound.promise
    } catch (error) {
      const text = `admin.listen: ${host}:${port} cannot be bound (${errorText(error)})`
      throw new TickdError('ADDRESS_IN_USE', text, { cause: error })
    }
    const { address, family, port: boundPort } = this.#server.address() as AddressInfo
    return `${family === 'IPv6' ? `[${address}]` : address}:${boundPort}`
  }

  /** Gives up the profiles that are being taken, and closes. */
  async stop(): Promise<void> {
    this.#stopping.abort(new Refusal(503, 'stopping', 'the daemon is stopping'))
    await Promise.allSettled([...this.#underWay])
    const closed = Promise.withResolvers<unknown>()
    this.#server.close(closed.resolve)
    this.#server.closeAllConnections()
    await closed.promise
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    try {
      await this.#route(request, response)
    } catch (error) {
      sendRefusal(response, refusalOf(error))
    }
  }

  async #route(request: IncomingMessage, response: ServerResponse): Promise<void> {
    // A body is no part of any request; what comes is read and dropped.
    request.resume()
    if (request.headers.origin !== undefined) {
      throw new Refusal(403, 'web_page', 'web pages may not ask here')
    }
    const url = new URL(request.url ?? '/', 'http://admin')
    if (url.pathname === '/debug/threads') {
      demandMethod(request, response, 'GET')
      return sendJson(response, 200, this.#threads())
    }
    const route = this.#options.routes.find(({ path }) => isWithin(url.pathname, path))
    if (route !== undefined) {
      return sendJson(response, 200, await route.answer(request, response, url))
    }
    const kind = kindOf(url.pathname)
    if (kind === undefined) {
      const kinds = `${PROFILE_PATH}${PROFILE_KINDS.join('|')}`
      const paths = [kinds, ...this.#options.routes.map(({ path }) => path)].join(' and ')
      const text = `${url.pathname}: there is /debug/threads, ${paths}`
      throw new Refusal(404, 'not_found', text)
    }
    demandMethod(request, response, 'POST')
    await this.#profile(kind, url.searchParams, response)
  }

  #threads(): object {
    const { profiler } = this.#options
    const threads = profiler.targets.map(({ name, roles, waits }) => {
      return { name, roles, waits, busy: profiler.isBusy(name) }
    })
    return { threads, tracing: profiler.isBusy('trace'), inspector_sessions: openLinkCount() }
  }

  async #profile(
    kind: ProfileKind,
    parameters: URLSearchParams,
    response: ServerResponse,
  ): Promise<void> {
    const { profiler, log } = this.#options
    const { request, format } = this.#parse(kind, parameters)
    const thread = profiler.resolve(request) ?? ''
    const gone = new AbortController()
    response.once('close', () => gone.abort(new Refusal(499, 'gone', 'the client has gone')))
    const signal = AbortSignal.any([gone.signal, this.#stopping.signal])
    log.info({ kind, thread, seconds: request.seconds }, 'profile begins')
    const profile = await profiler.take(request, signal)
    log.info({ kind, thread }, 'profile taken')
    const roles = profiler.targets.find(({ name }) => name === thread)?.roles ?? []
    response.writeHead(200, {
      'content-type': FORMAT_TYPES[format],
      'content-disposition': `inline; filename="tickd-${kind}-${request.thread}.${format}"`,
      'content-security-policy': CONTENT_POLICY,
      'x-tickd-thread': thread,
      'x-tickd-roles': roles.join(','),
      ...(profile.kind === 'trace'
        ? { 'x-tickd-dropped-events': String(profile.value.droppedEvents) }
        : {}),
    })
    const title = `${kind} of ${titleOf(thread, roles)}, ${request.seconds} s`
    await pipeline(Readable.from(profileText(profile, format, title)), response)
  }

  #parse(kind: ProfileKind, parameters: URLSearchParams) {
    demandKnown(parameters, ['thread', 'seconds', 'format'])
    const thread = parameters.get('thread') ?? (kind === 'trace' ? 'all' : '')
    const secondsText = parameters.get('seconds') ?? String(SECONDS)
    const seconds = /^\d{1,4}$/.test(secondsText) ? Number(secondsText) : 0
    if (seconds < 1 || seconds > PROFILE_SECONDS_MAX) {
      const text = `seconds must be a whole number from 1 to ${PROFILE_SECONDS_MAX}`
      throw new Refusal(400, 'bad_parameter', text)
    }
    const format = formatOf(kind, parameters.get('format') ?? '')
    const request: ProfileRequest = { kind, thread, seconds }
    if (this.#options.profiler.resolve(request) === undefined) {
      const text = thread === '' ? 'thread is missing' : `there is no thread ${thread}`
      throw new Refusal(thread === '' ? 400 : 404, 'unknown_thread', text, this.#threads())
    }
    return { request, format }
  }
}

function isWithin(path: string, route: string): boolean {
  return path === route || path.startsWith(`${route}/`)
}

function kindOf(path: string): ProfileKind | undefined {
  if (!path.startsWith(PROFILE_PATH)) return undefined
  return PROFILE_KINDS.find((kind) => kind === path.slice(PROFILE_PATH.length))
}

function titleOf(thread: string, roles: readonly string[]): string {
  const others = roles.filter((role) => role !== thread)
  return others.length === 0 ? thread : `${thread} (${others.join(', ')})`
}

function refusalOf(error: unknown): Refusal {
  // An aborted wait wraps the reason of its abortion.
  const thrown = error instanceof Error && error.name === 'AbortError' ? error.cause : error
  if (thrown instanceof Refusal) return thrown
  if (!(thrown instanceof TickdError)) return new Refusal(500, 'internal', errorText(thrown))
  const statuses: Record<string, number> = {
    USAGE: 400,
    PROFILE_BUSY: 409,
    PROFILE_FAILED: 504,
    IO: 503,
  }
  const code = thrown.code === 'USAGE' ? 'bad_parameter' : thrown.code.toLowerCase()
  return new Refusal(statuses[thrown.code] ?? 500, code, thrown.message)
}

function sendRefusal(response: ServerResponse, { status, code, message, fields }: Refusal): void {
  // Halfway through a result only a broken connection says that it is not whole.
  if (response.headersSent) response.destroy()
  else sendJson(response, status, { error: { code, message }, ...fields })
}

function sendJson(response: ServerResponse, status: number, value: object): void {
  response.writeHead(status, { 'content-type': 'application/json' })
  response.end(`${JSON.stringify(value)}\n`)
}
