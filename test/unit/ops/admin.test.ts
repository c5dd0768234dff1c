// The admin listener over real HTTP, on this process's main thread.

import { request as httpRequest } from 'node:http'
import t from 'tap'
import { AdminListener } from '../../../src/ops/admin.ts'
import { silentLog } from '../../../src/ops/log.ts'
import { openLinkCount } from '../../../src/ops/profiling/inspector-link.ts'
import { Profiler } from '../../../src/ops/profiling/profiler.ts'
import type { LettersCall } from '../../../src/threads/letters-call.ts'
import { lettersRoute } from '../../../src/threads/letters-http.ts'

const threads = [{ name: 'hot', roles: ['decode-0'], waits: 'blocking' as const }]
/** What was asked of the dead letters last. */
let asked: LettersCall | undefined
const letters = async (call: LettersCall): Promise<object | undefined> => {
  asked = call
  return call.op === 'show' ? undefined : { op: call.op }
}
const routes = [lettersRoute(letters)]
const admin = new AdminListener({
  listen: { host: '127.0.0.1', port: 0 },
  profiler: new Profiler(threads),
  routes,
  log: silentLog,
})
const base = `http://${await admin.start()}`
t.teardown(() => admin.stop())

async function post(query: string, headers: Record<string, string> = {}) {
  const response = await fetch(`${base}/debug/profile/${query}`, { method: 'POST', headers })
  const text = await response.text()
  const isJson = response.headers.get('content-type') === 'application/json'
  return { response, status: response.status, text, json: isJson ? JSON.parse(text) : undefined }
}

t.test('the threads, and that nothing is being taken', async (t) => {
  const response = await fetch(`${base}/debug/threads`)
  t.equal(response.status, 200)
  t.same(await response.json(), {
    threads: [
      { name: 'main', roles: [], waits: 'event-loop', busy: false },
      { ...threads[0], busy: false },
    ],
    tracing: false,
    inspector_sessions: 0,
  })
})

t.test('what is wrong with a request is said in JSON', async (t) => {
  const cases: [query: string, status: number, code: string, message: RegExp][] = [
    ['cpu', 400, 'unknown_thread', /missing/],
    ['cpu?thread=decode-9', 404, 'unknown_thread', /no thread decode-9/],
    ['cpu?thread=main&seconds=0', 400, 'bad_parameter', /1 to 120/],
    ['cpu?thread=main&seconds=121', 400, 'bad_parameter', /1 to 120/],
    ['cpu?thread=main&seconds=1.5', 400, 'bad_parameter', /1 to 120/],
    ['cpu?thread=main&seconds=-1', 400, 'bad_parameter', /1 to 120/],
    ['cpu?thread=main&format=gif', 400, 'bad_parameter', /cpuprofile, svg, html/],
    ['trace?format=svg', 400, 'bad_parameter', /json/],
    ['cpu?thread=main&second=1', 400, 'bad_parameter', /second: there is thread, seconds/],
    ['gpu?thread=main', 404, 'not_found', /cpu\|heap\|trace/],
    ['', 404, 'not_found', /cpu\|heap\|trace/],
  ]
  for (const [query, status, code, message] of cases) {
    const answer = await post(query)
    t.equal(answer.status, status, query)
    t.match(answer.json.error, { code, message }, query)
  }
  const unknown = await post('heap?thread=x')
  t.same(
    unknown.json.threads.map(({ name }: { name: string }) => name),
    ['main', 'hot'],
  )
})

t.test('a profile is asked for with POST, the list with GET', async (t) => {
  const get = await fetch(`${base}/debug/profile/cpu?thread=main`)
  t.equal(get.status, 405)
  t.equal(get.headers.get('allow'), 'POST')
  const list = await fetch(`${base}/debug/threads`, { method: 'DELETE' })
  t.equal(list.status, 405)
  t.equal((await fetch(base)).status, 404)
})

t.test('a web page may not ask', async (t) => {
  const answer = await post('cpu?thread=main&seconds=1', { origin: 'https://example.org' })
  t.equal(answer.status, 403)
  t.match(answer.json.error, { code: 'web_page' })
})

t.test('a second profile of a thread is refused while the first is taken', async (t) => {
  const first = post('cpu?thread=main&seconds=1')
  const statuses = [(await post('heap?thread=main&seconds=1')).status, (await first).status]
  t.same(statuses.sort(), [200, 409])
  t.equal((await post('cpu?thread=main&seconds=1&format=svg')).status, 200, 'and then not')
})

t.test('each format has its type, and the thread it is of', async (t) => {
  const cpu = await post('cpu?thread=main&seconds=1')
  t.ok(Array.isArray(cpu.json.samples))
  t.equal(cpu.response.headers.get('x-tickd-thread'), 'main')
  const page = await post('cpu?thread=main&seconds=1&format=html')
  t.match(page.response.headers.get('content-type'), /^text\/html/)
  t.match(page.response.headers.get('content-security-policy'), /default-src 'none'/)
  t.match(page.text, /^<!doctype html>/)
  const heap = await post('heap?thread=main&seconds=1')
  t.type(heap.json.head.selfSize, 'number')
})

t.test('a client that goes away ends its profile', async (t) => {
  const request = httpRequest(`${base}/debug/profile/cpu?thread=main&seconds=60`, {
    method: 'POST',
  })
  request.on('error', () => {})
  request.end()
  await until(() => openLinkCount() === 1)
  request.destroy()
  await until(() => openLinkCount() === 0)
  t.equal((await post('cpu?thread=main&seconds=1')).status, 200, 'the thread is free again')
})

t.test('a listener that stops gives its profiles up', async (t) => {
  const other = new AdminListener({
    listen: { host: '127.0.0.1', port: 0 },
    profiler: new Profiler([]),
    routes,
    log: silentLog,
  })
  const address = await other.start()
  const taking = fetch(`http://${address}/debug/profile/cpu?thread=main&seconds=60`, {
    method: 'POST',
  })
  await until(() => openLinkCount() === 1)
  await other.stop()
  const response = await taking.catch(() => undefined)
  t.match(response?.status ?? 503, 503)
  t.equal(openLinkCount(), 0)
})

t.test('an address that cannot be bound is named with its option', async (t) => {
  const other = new AdminListener({
    listen: { host: '127.0.0.1', port: Number(new URL(base).port) },
    profiler: new Profiler([]),
    routes,
    log: silentLog,
  })
  await t.rejects(other.start(), { code: 'ADDRESS_IN_USE', message: /^admin\.listen: 127/ })
})

async function until(test: () => boolean): Promise<void> {
  const deadlineMs = performance.now() + 10_000
  while (!test()) {
    if (performance.now() > deadlineMs) throw new Error('not in time')
    await new Promise((resolve) => setImmediate(resolve))
  }
}

t.test('dead letters: what is asked, in the words of the thread that answers', async (t) => {
  const ask = async (method: string, path: string) => {
    asked = undefined
    const response = await fetch(`${base}/v1/dlq${path}`, { method })
    return { status: response.status, json: await response.json(), asked }
  }
  const list = await ask('GET', '?source=a&source=b&reason=bad_json&since=1970-01-01T00:00:01Z')
  t.same(list.json, { op: 'list' })
  const filter = { sources: ['a', 'b'], reasons: ['bad_json'], fromNs: 1_000_000_000n }
  t.same(list.asked, { op: 'list', filter, limit: 100 })
  const summary = await ask('GET', '?summary=true&stage=store&state=settled&after=shard-0.1.0')
  const rest = { stages: ['store'], states: ['settled'], after: 'shard-0.1.0' }
  t.same(summary.asked, { op: 'summary', filter: rest })
  const show = await ask('GET', '/shard-0.1.64')
  t.same(show.asked, { op: 'show', id: 'shard-0.1.64' })
  t.equal(show.status, 404, 'it is not there')
  const replay = await ask('POST', '/replay?limit=7&dry_run=true')
  const request = { filter: {}, limit: 7, dryRun: true, evenDoubtful: false }
  t.same(replay.asked, { op: 'replay', request })
  t.same((await ask('DELETE', '?confirm=yes')).asked, { op: 'purge', filter: {} })
})

t.test('dead letters: what is wrong is said, and nothing is asked', async (t) => {
  const cases: [method: string, path: string, status: number, code: string, message: RegExp][] = [
    ['DELETE', '', 400, 'not_confirmed', /confirm=yes/],
    ['DELETE', '?confirm=true', 400, 'not_confirmed', /confirm=yes/],
    ['POST', '', 405, 'method_not_allowed', /GET or DELETE/],
    ['GET', '/replay', 405, 'method_not_allowed', /POST/],
    ['GET', '?sauce=a', 400, 'bad_parameter', /sauce: there is source/],
    ['GET', '?reason=bad', 400, 'bad_parameter', /bad_json/],
    ['GET', '?state=dead', 400, 'bad_parameter', /open, doubt, settled/],
    ['GET', '?since=yesterday', 400, 'bad_parameter', /2h/],
    ['GET', '?limit=0', 400, 'bad_parameter', /1 to 10000/],
    ['GET', '?limit=10001', 400, 'bad_parameter', /1 to 10000/],
    ['POST', '/replay?dry_run=yes', 400, 'bad_parameter', /true or false/],
  ]
  for (const [method, path, status, code, message] of cases) {
    asked = undefined
    const response = await fetch(`${base}/v1/dlq${path}`, { method })
    t.equal(response.status, status, `${method} ${path}`)
    const { error } = (await response.json()) as { error: object }
    t.match(error, { code, message }, `${method} ${path}`)
    t.equal(asked, undefined)
  }
  const fromPage = await fetch(`${base}/v1/dlq`, { headers: { origin: 'http://evil.example' } })
  t.equal(fromPage.status, 403, 'web pages may not ask here')
})
