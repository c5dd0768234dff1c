// Keys, tokens, origins and limits at real sockets.

import { once } from 'node:events'
import { readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { exportJWK, generateKeyPair, SignJWT } from 'jose'
import t, { type Test } from 'tap'
import { WebSocket } from 'ws'
import type { AccessPlan } from '../../src/serve/access/doors.ts'
import { type Grant, READ_ALL } from '../../src/serve/access/grant.ts'
import {
  type ApiKey,
  changeKeyFile,
  generateKey,
  hashKey,
} from '../../src/serve/access/key-file.ts'
import { FeedClient } from '../support/feed-client.ts'
import { accessPlan, type RigOptions, ServeRig } from '../support/serve-rig.ts'

type Settings = Partial<AccessPlan['settings']>
const WAIT_MS = 10_000

function setUp(
  t: Test,
  settings: Settings = {},
  options: RigOptions = {},
  directory = t.testdir(),
) {
  const plan = accessPlan(directory, { keys: true, ...settings })
  const rig = new ServeRig({ ...options, overrides: { access: plan, ...options.overrides } })
  rig.start()
  t.teardown(() => rig.close())
  return { rig, plan }
}

function addKey(plan: AccessPlan, grant: Partial<Grant> = {}, more: Partial<ApiKey> = {}): string {
  const { id, key } = generateKey()
  const created = new Date().toISOString()
  const hash = hashKey(key).toString('hex')
  const base = { id, name: `k-${id}`, hash, created, expires: null, revoked: null }
  const fresh = { ...base, grant: { ...READ_ALL, ...grant }, ...more }
  changeKeyFile(plan.keysFile, (keys) => [...keys, fresh])
  return key
}

/** Waits for what the daemon does within a second or two. */
async function until(isSo: () => boolean | Promise<boolean>, what: string): Promise<void> {
  const deadline = performance.now() + WAIT_MS
  while (!(await isSo())) {
    if (performance.now() > deadline) throw new Error(`not in time: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

const bearer = (token: string) => ({ authorization: `Bearer ${token}` })
const status = async (url: string, headers = {}) => (await fetch(url, { headers })).status

/** The status with which a handshake is refused; 101 when it is not. */
async function handshake(t: Test, url: string, headers: Record<string, string> = {}) {
  const ws = new WebSocket(url, { headers })
  t.teardown(() => ws.terminate())
  ws.on('error', () => {})
  const refused = once(ws, 'unexpected-response').then(([, response]) => response.statusCode)
  return (await Promise.race([refused, once(ws, 'open').then(() => 101)])) as number
}

async function open(t: Test, rig: ServeRig, token = ''): Promise<FeedClient> {
  const client = new FeedClient(rig.feed, [], token === '' ? {} : bearer(token))
  t.teardown(() => client.close())
  await once(client.ws, 'open')
  return client
}

async function closeOf(client: FeedClient) {
  await client.until(() => client.closed !== undefined, 'the close')
  return client.closed?.code
}

t.test('HTTP: a path of /v1/ demands a key with the right, probes do not', async (t) => {
  const { rig, plan } = setUp(t)
  const reader = addKey(plan)
  const trader = addKey(plan, { channels: ['trades'], push: true })
  const operator = addKey(plan, { operate: true })
  await until(async () => (await status(`${rig.http}/v1/latest`, bearer(reader))) === 200, 'keys')
  for (const path of ['/healthz', '/readyz', '/metrics', '/openapi.json', '/']) {
    t.equal(await status(`${rig.http}${path}`), 200, path)
  }
  const refused = await fetch(`${rig.http}/v1/latest`)
  t.equal(refused.status, 401)
  t.match(refused.headers.get('www-authenticate'), /^Bearer/)
  t.match(await refused.json(), { error: { code: 'token_required', message: /Bearer/ } })
  t.equal(await status(`${rig.http}/v1/latest`, bearer(`${reader}x`)), 401)
  t.equal(await status(`${rig.http}/v1/latest`, bearer(reader.replace(/.$/, '~'))), 401)
  t.equal(await status(`${rig.http}/v1/latest?token=${reader}`), 401, 'not in the address')
  t.equal(await status(`${rig.http}/v1/latest`, bearer(trader)), 403, 'another channel')
  t.equal(await status(`${rig.http}/v1/ledger`, bearer(reader)), 403)
  t.equal(await status(`${rig.http}/v1/ledger`, bearer(operator)), 200)
  t.equal(await status(`${rig.http}/v1/nowhere`, bearer(reader)), 403, 'closed until thought of')
  const push = (token: string) =>
    fetch(`${rig.http}/v1/ticks`, { method: 'POST', headers: bearer(token), body: 'x' })
  t.equal((await push(reader)).status, 403)
  t.equal((await push(trader)).status, 415, 'let in, and told of its content type')
})

t.test('HTTP: a key sees its own instruments only', async (t) => {
  const { rig, plan } = setUp(t)
  const key = addKey(plan, { symbols: ['BTC-*'] })
  rig.publish(['BTC-USDT', 'ETH-USDT'].map((name) => ({ instrument: rig.add(name), value: 1 })))
  const get = (path: string) => fetch(`${rig.http}${path}`, { headers: bearer(key) })
  await until(async () => (await get('/v1/latest')).status === 200, 'the key')
  const { records } = (await (await get('/v1/latest')).json()) as { records: { symbol: string }[] }
  t.same(
    records.map(({ symbol }) => symbol),
    ['BTC-USDT'],
  )
  t.equal((await get('/v1/latest?symbol=ETH-USDT')).status, 404, 'it does not exist for it')
  const { instruments } = (await (await get('/v1/instruments')).json()) as {
    instruments: { symbol: string }[]
  }
  t.equal(instruments.length, 1)
})

t.test('/metrics can be closed, and a token taken from the address', async (t) => {
  const { rig, plan } = setUp(t, { metrics_open: false, token_in_query: true })
  const operator = addKey(plan, { operate: true })
  await until(async () => (await status(`${rig.http}/metrics`, bearer(operator))) === 200, 'keys')
  t.equal(await status(`${rig.http}/metrics`), 401)
  t.equal(await status(`${rig.http}/v1/latest?token=${operator}`), 200)
  t.equal(await status(`${rig.http}/v1/latest?token=wrong`), 401)
})

t.test('the feed: a key in the handshake, with its rights', async (t) => {
  const { rig, plan } = setUp(t)
  const key = addKey(plan, { channels: ['trades', 'test'], symbols: ['BTC-*', 'x:ETH-*'] })
  await until(async () => (await handshake(t, rig.feed, bearer(key))) === 101, 'the key')
  t.equal(await handshake(t, rig.feed, bearer('wrong')), 401)
  const client = await open(t, rig, key)
  t.match(await client.op('welcome'), { op: 'welcome' })
  const ask = (fields: object) => client.ask({ op: 'subscribe', ...fields })
  t.match(await ask({ channel: 'quotes', symbols: ['BTC-USDT'] }), { name: 'forbidden' })
  t.match(await ask({ channel: 'trades' }), { name: 'forbidden', msg: /\*/ }, 'not everything')
  t.match(await ask({ channel: 'trades', symbols: ['ETH-USDT'] }), { name: 'forbidden' })
  t.match(await ask({ channel: 'trades', symbols: ['B*'] }), { name: 'forbidden' })
  t.match(await ask({ channel: 'trades', symbols: ['BTC-USDT', 'x:ETH-EUR'] }), { op: 'ack' })
  const { stream } = await ask({ channel: 'trades', symbols: ['BTC-*'] })
  const update = (fields: object) => client.ask({ op: 'update', stream, ...fields })
  t.match(await update({ add: ['BTC-EUR', 'ETH-USDT'] }), { name: 'forbidden', msg: /ETH-USDT/ })
  t.match(await update({ add: ['*'], remove: ['BTC-*'] }), { name: 'forbidden' })
  t.match(await update({ add: ['x:ETH-*'] }), { op: 'ack', was: { stream } })
  t.match(await ask({ channel: 'test' }), { op: 'ack' })
  t.match(await client.ask({ op: 'auth', token: key }), { name: 'already_authenticated' })
})

t.test('the feed: a token as the first message, for browsers', async (t) => {
  const { rig, plan } = setUp(t)
  const key = addKey(plan)
  await until(async () => (await handshake(t, rig.feed, bearer(key))) === 101, 'the key')
  const client = await open(t, rig)
  t.match(await client.op('auth_required'), { timeout_ms: plan.settings.auth_ms })
  t.equal(rig.counters.get('subscribers_pending'), 1)
  client.send({ op: 'auth', id: 1, token: key })
  await client.op('welcome')
  t.match(await client.ask({ op: 'subscribe', channel: 'trades' }), { op: 'ack' })
  t.equal(rig.counters.get('subscribers_pending'), 0)
  for (const [what, first, name] of [
    ['another message', { op: 'subscribe', id: 7, channel: 'trades' }, 'auth_required'],
    ['a wrong token', { op: 'auth', token: 'wrong' }, 'bad_token'],
    ['no JSON', 'nonsense', 'auth_required'],
    ['a binary message', Buffer.from(`{"op":"auth","token":"${key}"}`), 'auth_required'],
  ] as const) {
    const other = await open(t, rig)
    if (Buffer.isBuffer(first)) other.ws.send(first)
    else other.send(first)
    t.match(await other.op('error'), { name }, what)
    t.equal(await closeOf(other), 4001, what)
  }
  t.equal(rig.counters.get('subscribers_pending'), 0)
})

t.test('the feed: who sends no token in time is closed', async (t) => {
  const { rig } = setUp(t, { auth_ms: 100 })
  const client = await open(t, rig)
  t.equal(await closeOf(client), 4001)
  t.match(await client.op('error'), { name: 'auth_required' })
  t.equal(rig.counters.get('subscribers_pending'), 0)
  t.equal(rig.counters.get('subscribers'), 0)
})

t.test('a key that is revoked, changed or has expired closes its connections', async (t) => {
  const { rig, plan } = setUp(t)
  const revoked = addKey(plan)
  const changed = addKey(plan)
  const kept = addKey(plan)
  const expires = new Date(Date.now() + 2500).toISOString()
  const expiring = addKey(plan, {}, { expires })
  await until(async () => (await handshake(t, rig.feed, bearer(expiring))) === 101, 'the keys')
  const [a, b, c, d] = [
    await open(t, rig, revoked),
    await open(t, rig, changed),
    await open(t, rig, kept),
    await open(t, rig, expiring),
  ]
  changeKeyFile(plan.keysFile, (keys) =>
    keys.map((key, index) => {
      if (index === 0) return { ...key, revoked: new Date().toISOString() }
      return index === 1 ? { ...key, grant: { ...key.grant, channels: ['book'] } } : key
    }),
  )
  for (const client of [a, b, d]) t.equal(await closeOf(client), 4001)
  t.match(await c.ask({ op: 'ping' }), { op: 'pong' }, 'the others notice nothing')
  t.equal(await handshake(t, rig.feed, bearer(revoked)), 401)
  t.equal(await handshake(t, rig.feed, bearer(expiring)), 401)
  // A file that is broken leaves everything as it was.
  writeFileSync(plan.keysFile, '{')
  await until(() => rig.counters.get('access_file_errors') > 0, 'the look at the file')
  t.equal(await handshake(t, rig.feed, bearer(kept)), 101)
})

t.test('limits of a key are answered with the time to wait', async (t) => {
  const { rig, plan } = setUp(t)
  const limits = { connections: 2, subscriptions: 2, messages_per_second: 1 }
  const key = addKey(plan, { limits })
  await until(async () => (await status(`${rig.http}/v1/latest`, bearer(key))) === 200, 'the key')
  const [a, b] = [await open(t, rig, key), await open(t, rig, key)]
  t.equal(await handshake(t, rig.feed, bearer(key)), 429)
  const pending = await open(t, rig)
  pending.send({ op: 'auth', token: key })
  t.match(await pending.op('error'), { name: 'key_limit', retry_after_ms: Number })
  t.equal(await closeOf(pending), 4001)
  await a.subscribe({ channel: 'trades' })
  const stream = await b.subscribe({ channel: 'trades' })
  const add = ['BTC-USDT', '*']
  t.match(await b.ask({ op: 'update', stream, add }), { op: 'ack' }, 'none more')
  t.match(await b.ask({ op: 'subscribe', channel: 'quotes' }), {
    name: 'key_limit',
    retry_after_ms: 1000,
  })
  a.close()
  await until(() => rig.counters.get('subscribers') === 1, 'the close')
  const again = await open(t, rig, key)
  await again.subscribe({ channel: 'quotes' })
  for (let i = 0; i < 12; i++) b.send({ op: 'ping' })
  t.match(await b.control(({ name }) => name === 'rate_limit'), {
    retry_after_ms: Number,
  })
  const limited = await fetch(`${rig.http}/v1/latest`, { headers: bearer(key) })
  t.equal(limited.status, 429)
  t.ok(Number(limited.headers.get('retry-after')) >= 1)
  t.match(await limited.json(), { error: { code: 'rate_limit', retry_after_ms: Number } })
})

t.test('who is sent more bytes than it may have is a slow reader, and told so', async (t) => {
  const buffer = 64 * 1024
  const options = { settings: { subscriber_buffer_bytes: buffer } }
  const { rig, plan } = setUp(t, {}, options)
  const key = addKey(plan, { limits: { bytes_per_second: 16 * 1024 } })
  await until(async () => (await status(`${rig.http}/v1/latest`, bearer(key))) === 200, 'the key')
  const client = await open(t, rig, key)
  await client.subscribe({ channel: 'trades' })
  const instrument = rig.add('BTC-USDT')
  for (let i = 0; i < 40; i++) {
    rig.publish(Array.from({ length: 50 }, (_, k) => ({ instrument, value: i * 50 + k })))
    await new Promise((resolve) => setImmediate(resolve))
  }
  const gap = await client.op('gap')
  t.match(gap, { cause: 'slow' })
  const received = client.frames.reduce((sum, { count }) => sum + count, 0)
  t.ok(received < 2000, `${received} of 2000 records were sent`)
})

t.test('JSON Web Tokens: what the issuer signed for us, and nothing else', async (t) => {
  const ours = await generateKeyPair('EdDSA')
  const theirs = await generateKeyPair('EdDSA')
  const directory = t.testdir()
  const jwks = join(directory, 'jwks.json')
  const jwk = { ...(await exportJWK(ours.publicKey)), kid: 'a', alg: 'EdDSA' }
  writeFileSync(jwks, JSON.stringify({ keys: [jwk] }))
  const issuer = 'https://issuer.example'
  const { jwt } = accessPlan(directory).settings
  const ruled = { jwks_file: jwks, issuer, audience: 'tickd', leeway_ms: 0 }
  const settings = { keys: false, jwt: { ...jwt, ...ruled } }
  const { rig, plan } = setUp(t, settings, {}, directory)
  const sign = (claims: object, key = ours.privateKey, aud = 'tickd', seconds = 60) =>
    new SignJWT({ tickd: { channels: ['*'], symbols: ['*'] }, ...claims })
      .setProtectedHeader({ alg: 'EdDSA', kid: 'a' })
      .setIssuer(issuer)
      .setAudience(aud)
      .setSubject('desk-3')
      .setExpirationTime(Math.floor(Date.now() / 1000) + seconds)
      .sign(key)
  const good = await sign({})
  t.equal(await status(`${rig.http}/v1/latest`, bearer(good)), 200)
  t.equal(await status(`${rig.http}/v1/latest`, bearer(good)), 200, 'remembered')
  t.equal(await handshake(t, rig.feed, bearer(good)), 101)
  const bad: [what: string, token: string, status: number][] = [
    ['signed by another', await sign({}, theirs.privateKey), 401],
    ['for another audience', await sign({}, ours.privateKey, 'else'), 401],
    ['expired', await sign({}, ours.privateKey, 'tickd', -60), 401],
    ['changed', good.replace(/\.(.)/, (_, first) => `.${first === 'e' ? 'f' : 'e'}`), 401],
    ['unsigned', `${Buffer.from('{"alg":"none"}').toString('base64url')}.e30.x`, 401],
    ['a claim that is wrong', await sign({ tickd: { chanels: ['*'] } }), 401],
    ['without rights', await sign({ tickd: undefined }), 403],
  ]
  for (const [what, token, expected] of bad) {
    t.equal(await status(`${rig.http}/v1/latest`, bearer(token)), expected, what)
  }
  const pusher = await sign({ tickd: { push: true } })
  const body = JSON.stringify({ pad: 'x'.repeat(300_000) })
  const pushed = await fetch(`${rig.http}/v1/ticks`, {
    method: 'POST',
    headers: { ...bearer(pusher), 'content-type': 'text/plain' },
    body,
  })
  t.equal(pushed.status, 415, 'a body that came before the verdict is waited for')
  const client = await open(t, rig)
  client.send({ op: 'auth', token: await sign({ tickd: { channels: ['test'] } }) })
  await client.op('welcome')
  t.match(await client.ask({ op: 'subscribe', channel: 'trades' }), { name: 'forbidden' })
  await until(() => readFileSync(plan.auditFile, 'utf8').includes('jwt:desk-3'), 'the audit log')
  const brief = await open(t, rig, await sign({}, ours.privateKey, 'tickd', 2))
  t.equal(await closeOf(brief), 4001, 'a connection ends with its token')
  t.match(await client.ask({ op: 'ping' }), { op: 'pong' })
})

t.test('pages of others may not connect, keys or not', async (t) => {
  const { rig } = setUp(t, { keys: false, origins: ['https://charts.example'] })
  const own = `http://127.0.0.1:${rig.agent.port}`
  t.equal(await handshake(t, rig.feed, { origin: own }), 101)
  t.equal(await handshake(t, rig.feed, { origin: 'https://charts.example' }), 101)
  t.equal(await handshake(t, rig.feed, { origin: 'https://evil.example' }), 403)
  t.equal(await handshake(t, rig.feed, { origin: 'null' }), 403)
  const rebound = { origin: 'http://evil.example:8080', host: 'evil.example:8080' }
  t.equal(await handshake(t, rig.feed, rebound), 403, 'a name that leads to us is not ours')
  t.equal(await status(`${rig.http}/v1/latest`, { origin: 'https://evil.example' }), 403)
})

t.test('the audit log says who, what and why, and never a token', async (t) => {
  const { rig, plan } = setUp(t)
  const key = addKey(plan, {}, { name: 'desk-3' })
  await until(async () => (await status(`${rig.http}/v1/latest`, bearer(key))) === 200, 'the key')
  for (let i = 0; i < 50; i++) await status(`${rig.http}/v1/latest`, bearer('tk_guess'))
  await open(t, rig, key)
  await rig.close()
  const text = readFileSync(plan.auditFile, 'utf8')
  t.equal(statSync(plan.auditFile).mode & 0o777, 0o600)
  t.notMatch(text, key.slice(-43))
  t.notMatch(text, 'tk_guess')
  const lines = text
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line))
  const allowed = lines.find(({ decision, what }) => decision === 'allow' && what === 'feed')
  t.match(allowed, { who: /^key:[0-9a-f]{12}:desk-3$/, address: '127.0.0.1', time: /Z$/ })
  const denied = lines.filter(({ why }) => why === 'no such key')
  t.equal(denied.length, 2, 'one line, and one that says how many more')
  t.ok(denied[1]?.repeats >= 49)
})

t.test('one connection too many is closed at once, and counted', async (t) => {
  const { rig } = setUp(t, { keys: false, connections_max: 3 })
  const clients = [await open(t, rig), await open(t, rig), await open(t, rig)]
  const late = new WebSocket(rig.feed)
  late.on('error', () => {})
  await new Promise((resolve) => late.once('close', resolve))
  t.equal(rig.counters.get('access_limited'), 1)
  clients[0]?.close()
  await until(() => rig.counters.get('connections') === 2, 'the close')
  t.match(await (await open(t, rig)).op('welcome'), { op: 'welcome' })
  t.equal(rig.counters.get('connections'), 3)
})
