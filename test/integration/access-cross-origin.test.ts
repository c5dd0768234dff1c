// Pages of other origins over HTTP (CORS): what they may read, and that they may do no more; by the
// headers, and in a real browser.

import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import t, { type Test } from 'tap'
import { request } from 'undici'
import type { AccessPlan } from '../../src/serve/access/doors.ts'
import { READ_ALL } from '../../src/serve/access/grant.ts'
import { changeKeyFile, generateKey, hashKey } from '../../src/serve/access/key-file.ts'
import { launchChromium, withoutChromium } from '../support/chromium.ts'
import { accessPlan, ServeRig } from '../support/serve-rig.ts'

const CHARTS = 'https://charts.example'
const ALLOWED = 'access-control-allow-origin'

function rigFor(t: Test, settings: Partial<AccessPlan['settings']>): ServeRig {
  const plan = accessPlan(t.testdir(), settings)
  if (plan.settings.keys) changeKeyFile(plan.keysFile, () => [KEY.entry])
  const rig = new ServeRig({ overrides: { access: plan } })
  rig.start()
  t.teardown(() => rig.close())
  return rig
}

const KEY = (() => {
  const { id, key } = generateKey()
  const hash = hashKey(key).toString('hex')
  const created = new Date().toISOString()
  const entry = { id, name: 'page', hash, created, expires: null, revoked: null, grant: READ_ALL }
  return { key, entry }
})()

async function ask(
  { http }: ServeRig,
  path: string,
  headers: Record<string, string> = {},
  method: 'GET' | 'HEAD' | 'OPTIONS' | 'POST' = 'GET',
) {
  const body = method === 'POST' ? '{}' : null
  const answer = await request(`${http}${path}`, { method, headers, body })
  await answer.body.dump()
  return { status: answer.statusCode, headers: answer.headers }
}

t.test('by default no answer is for pages of others', async (t) => {
  const rig = rigFor(t, {})
  for (const origin of [CHARTS, 'null', rig.http]) {
    const { headers } = await ask(rig, '/v1/latest', { origin })
    t.equal(headers[ALLOWED], undefined, origin)
  }
  const question = { origin: CHARTS, 'access-control-request-method': 'GET' }
  const { status, headers } = await ask(rig, '/v1/latest', question, 'OPTIONS')
  t.equal(status, 403)
  t.equal(headers[ALLOWED], undefined)
})

t.test('a page that is named may read, and no other', async (t) => {
  const rig = rigFor(t, { origins: ['https://else.example', CHARTS] })
  for (const path of ['/v1/latest', '/v1/instruments', '/healthz', '/openapi.json', '/nowhere']) {
    const { headers } = await ask(rig, path, { origin: CHARTS })
    t.match(headers, { [ALLOWED]: CHARTS, vary: 'origin' }, path)
    t.match((await ask(rig, path, { origin: CHARTS }, 'HEAD')).headers, { [ALLOWED]: CHARTS })
    for (const origin of ['https://evil.example', `${CHARTS}.evil.example`, 'null']) {
      t.equal((await ask(rig, path, { origin })).headers[ALLOWED], undefined, origin)
    }
    t.equal((await ask(rig, path)).headers[ALLOWED], undefined, 'no page')
  }
})

t.test('the browser’s question is answered without a token: reads, with a token', async (t) => {
  const rig = rigFor(t, { keys: true, origins: [CHARTS] })
  const question = {
    origin: CHARTS,
    'access-control-request-method': 'GET',
    'access-control-request-headers': 'authorization',
  }
  const { status, headers } = await ask(rig, '/v1/latest', question, 'OPTIONS')
  t.equal(status, 204)
  t.match(headers, {
    [ALLOWED]: CHARTS,
    vary: 'origin',
    'access-control-allow-methods': 'GET, HEAD',
    'access-control-allow-headers': 'authorization',
    'access-control-max-age': '600',
  })
  t.equal(headers['access-control-allow-credentials'], undefined, 'no cookies')
  t.equal((await ask(rig, '/v1/latest', { origin: CHARTS })).status, 401)
  const refused = await ask(rig, '/v1/latest', { origin: CHARTS })
  t.match(refused.headers, { [ALLOWED]: CHARTS }, 'it may read why')
  const authorization = `Bearer ${KEY.key}`
  const { status: ok } = await ask(rig, '/v1/latest', { origin: CHARTS, authorization })
  t.equal(ok, 200)
  t.equal((await ask(rig, '/v1/latest', { authorization }, 'OPTIONS')).status, 405, 'no page asks')
})

t.test('what changes something has no such answer', async (t) => {
  const rig = rigFor(t, { origins: [CHARTS] })
  const headers = { origin: CHARTS, 'content-type': 'application/x-unknown' }
  const answer = await ask(rig, '/v1/ticks', headers, 'POST')
  t.equal(answer.status, 415)
  t.equal(answer.headers[ALLOWED], undefined)
})

t.test('* is any origin', async (t) => {
  const rig = rigFor(t, { origins: ['*'] })
  const { headers } = await ask(rig, '/v1/latest', { origin: 'https://any.example' })
  t.match(headers, { [ALLOWED]: '*' })
})

t.test('a real browser keeps to it', { skip: withoutChromium }, async (t) => {
  const site = createServer((_, response) => {
    response.setHeader('content-type', 'text/html').end('<!doctype html><title>elsewhere</title>')
  })
  site.listen(0, '127.0.0.1')
  await once(site, 'listening')
  t.teardown(() => site.close())
  const origin = `http://127.0.0.1:${(site.address() as AddressInfo).port}`
  const named = rigFor(t, { keys: true, origins: [origin] })
  const unnamed = rigFor(t, { keys: true })
  const chromium = await launchChromium()
  t.teardown(() => chromium.close())
  const page = await chromium.newPage()
  await page.goto(origin)
  // Text, since what runs there is not of this program.
  const fetched = (url: string, options: object = {}) => {
    const text = "answer.status + ' ' + (await answer.text()).slice(0, 11)"
    const call = `fetch(${JSON.stringify(url)}, ${JSON.stringify(options)})`
    return page.evaluate<string>(`${call}.then(async (answer) => ${text}, () => 'kept')`)
  }
  const headers = { authorization: `Bearer ${KEY.key}` }
  t.equal(await fetched(`${named.http}/v1/latest`, { headers }), '200 {"records":')
  t.match(await fetched(`${named.http}/v1/latest`), /^401 \{"error":/)
  t.equal(await fetched(`${unnamed.http}/v1/latest`, { headers }), 'kept')
  t.equal(await fetched(`${unnamed.http}/healthz`), 'kept')
  const body = '{"type":"trade"}'
  const push = {
    method: 'POST',
    body,
    headers: { ...headers, 'content-type': 'application/x-ndjson' },
  }
  t.equal(await fetched(`${named.http}/v1/ticks`, push), 'kept')
  t.equal(named.frames.poll(), false, 'and nothing was pushed')
})
