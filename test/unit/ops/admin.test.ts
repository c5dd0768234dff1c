// The admin listener over real HTTP, on this process's main thread.

import { request as httpRequest } from 'node:http'
import t from 'tap'
import { AdminListener } from '../../../src/ops/admin.ts'
import { silentLog } from '../../../src/ops/log.ts'
import { openLinkCount } from '../../../src/ops/profiling/inspector-link.ts'
import { Profiler } from '../../../src/ops/profiling/profiler.ts'

const threads = [{ name: 'hot', roles: ['decode-0'], waits: 'blocking' as const }]
const admin = new AdminListener({
  listen: { host: '127.0.0.1', port: 0 },
  profiler: new Profiler(threads),
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
