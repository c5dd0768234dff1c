// The console at `/`, and the client library, as a browser loads them: their TypeScript with its
// types blanked out by Node, the first time that somebody asks. There is no build step.
//
// Addresses mirror the tree from `client/` and `console/` down, so that the relative imports of
// the files hold in the browser as they do here: a path of a URL does not climb above its root.
// `/client.js` is the library under a short name, also for pages of other origins; and
// `/schema/tick.fbs` is what clients in other languages generate their readers from.

import { readdirSync, readFileSync } from 'node:fs'
import { stripTypeScriptTypes } from 'node:module'
import type { HttpReply } from '../server.ts'
import type { Route } from './router.ts'

const SCHEMA = new URL('../../../schema/tick.fbs', import.meta.url)
const CLIENT = new URL('../../../client/', import.meta.url)
const CONSOLE = new URL('../console/', import.meta.url)
const SCRIPT_TYPE = 'text/javascript; charset=utf-8'
const STYLE_TYPE = 'text/css; charset=utf-8'
const TEXT_TYPE = 'text/plain; charset=utf-8'
/** Asked for again at each load: what a page shows is of this daemon's version. */
const HEADERS = { 'cache-control': 'no-cache' }
const OPEN_HEADERS = { ...HEADERS, 'access-control-allow-origin': '*' }

/** The console's page. It loads nothing but what this daemon serves. */
export function consolePage(reply: HttpReply): void {
  reply.send({
    status: 200,
    contentType: 'text/html; charset=utf-8',
    body: text(new URL('index.html', CONSOLE)),
    headers: {
      ...HEADERS,
      'content-security-policy':
        "default-src 'none'; connect-src 'self'; style-src 'self'; script-src 'self'; " +
        'img-src data:',
    },
  })
}

/** Every file that the console's page loads, and those for who writes a client. */
export function pageRoutes(): Route[] {
  return [
    file('/client.js', SCRIPT_TYPE, () => "export * from './client/index.ts'\n", OPEN_HEADERS),
    ...scripts('/client/', CLIENT, OPEN_HEADERS),
    ...scripts('/console/', CONSOLE, HEADERS),
    file('/console/console.css', STYLE_TYPE, () => text(new URL('console.css', CONSOLE)), HEADERS),
    file('/schema/tick.fbs', TEXT_TYPE, () => text(SCHEMA), OPEN_HEADERS),
  ]
}

function scripts(path: string, folder: URL, headers: typeof HEADERS): Route[] {
  const names = readdirSync(folder).filter((name) => name.endsWith('.ts'))
  return names.map((name) =>
    file(`${path}${name}`, SCRIPT_TYPE, () => script(new URL(name, folder)), headers),
  )
}

function file(
  path: string,
  contentType: string,
  body: () => string,
  headers: typeof HEADERS,
): Route {
  return {
    method: 'GET',
    path,
    handle: (_, reply) => reply.send({ status: 200, contentType, body: body(), headers }),
  }
}

const made = new Map<string, string>()

function text(url: URL): string {
  return once(url.href, () => readFileSync(url, 'utf8'))
}

function script(url: URL): string {
  return once(url.href, () => stripTypeScriptTypes(readFileSync(url, 'utf8'), { mode: 'strip' }))
}

function once(key: string, make: () => string): string {
  let value = made.get(key)
  if (value === undefined) {
    value = make()
    made.set(key, value)
  }
  return value
}
