// Path and method to handler. Paths are exact: no patterns, so that the table is the whole truth
// (a test compares it with the OpenAPI document). HEAD is GET without its body.

import type { HttpHandler, HttpReply, HttpRequest } from '../server.ts'
import { sendError } from './answers.ts'

export interface Route {
  readonly method: 'GET' | 'POST'
  readonly path: string
  readonly handle: HttpHandler
}

export class HttpRouter {
  readonly routes: readonly Route[]
  readonly #byPath = new Map<string, Route[]>()

  constructor(routes: readonly Route[]) {
    this.routes = routes
    for (const route of routes) {
      const same = this.#byPath.get(route.path)
      if (same === undefined) this.#byPath.set(route.path, [route])
      else same.push(route)
    }
  }

  handle(request: HttpRequest, reply: HttpReply): void {
    const routes = this.#byPath.get(request.path)
    if (routes === undefined) {
      sendError(reply, 404, 'not_found', 'no such path; GET /openapi.json lists them all')
      return
    }
    const method = request.method === 'HEAD' ? 'GET' : request.method
    const route = routes.find((candidate) => candidate.method === method)
    if (route !== undefined) {
      route.handle(request, reply)
      return
    }
    const allow = routes.map((candidate) => candidate.method).join(', ')
    sendError(reply, 405, 'method_not_allowed', `this path takes ${allow}`, { allow })
  }
}
