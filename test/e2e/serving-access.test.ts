// Several threads serve, and who may use them is one question: limits hold for all of them as one,
// a revoked key is closed on each, a certificate is renewed on each, the audit log is whole.

import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import { cpSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { connect } from 'node:tls'
import t, { type Test } from 'tap'
import { WebSocket } from 'ws'
import { type HolderLimits, READ_ALL } from '../../src/serve/access/grant.ts'
import { changeKeyFile, generateKey, hashKey } from '../../src/serve/access/key-file.ts'
import { DaemonProcess, makeStateDir } from '../support/daemon.ts'
import { FeedClient } from '../support/feed-client.ts'
import { ask, eventually, threadOfClient } from '../support/serving.ts'

const THREADS = 3
const SUBSCRIBERS_MAX = 12
t.setTimeout(180_000)
const skip = process.platform === 'linux' ? false : 'a port is shared on Linux only'
const bearer = (token: string) => ({ authorization: `Bearer ${token}` })

async function start(t: Test, config: object): Promise<DaemonProcess> {
  const stateDir = makeStateDir()
  t.teardown(() => rmSync(stateDir, { recursive: true, force: true }))
  const daemon = await DaemonProcess.start({
    stateDir,
    config: {
      sources: [
        { name: 'synthetic', type: 'synthetic', rate: 100 },
        { name: 'push', type: 'http' },
      ],
      postgres: { mode: 'off' },
      redis: { mode: 'off' },
      ...config,
    },
  })
  t.teardown(() => daemon.kill())
  return daemon
}

/** A key that each thread knows: they look once a second. */
async function addKey(daemon: DaemonProcess, limits: Partial<HolderLimits>): Promise<string> {
  const { id, key } = generateKey()
  const created = new Date().toISOString()
  const hash = hashKey(key).toString('hex')
  const grant = { ...READ_ALL, limits }
  const fresh = { id, name: `k-${id}`, hash, created, expires: null, revoked: null, grant }
  const before = reloads(daemon)
  changeKeyFile(join(daemon.stateDir, 'keys.json'), (keys) => [...keys, fresh])
  await eventually(async () => reloads(daemon) >= before + THREADS, 'the key on each thread')
  return key
}

function reloads(daemon: DaemonProcess): number {
  return daemon.lines.filter(({ msg }) => msg === 'access: taken anew').length
}

/** Its subscriber, once it is greeted; or the status, or code, with which it is refused. */
async function enter(t: Test, daemon: DaemonProcess, token: string): Promise<FeedClient | number> {
  const client = new FeedClient(daemon.address('feed'), [], bearer(token))
  t.teardown(() => client.close())
  const refused = once(client.ws, 'unexpected-response').then(([, response]) => {
    return response.statusCode as number
  })
  const status = await Promise.race([refused, once(client.ws, 'open').then(() => 0)])
  if (status > 0) return status
  await client.until(() => client.controls.length > 0, 'a greeting, or an error')
  return client.controls[0]?.op === 'welcome' ? client : 4001
}

async function closeAll(t: Test, daemon: DaemonProcess, clients: FeedClient[]): Promise<void> {
  for (const client of clients) client.close()
  await eventually(async () => {
    const { body } = await ask(daemon, '/metrics')
    const counts = [...body.matchAll(/^tickd_serve_subscribers\{.*\} (\d+)$/gm)]
    return counts.length === THREADS && counts.every(([, count]) => count === '0')
  }, 'no subscriber is left')
  t.pass('all are gone')
}

const isClient = (entered: FeedClient | number): entered is FeedClient =>
  typeof entered !== 'number'

t.test('limits of a key hold over all threads', { skip }, async (t) => {
  const daemon = await start(t, {
    access: { keys: true },
    serve: { listen: { port: 0 }, threads: THREADS, subscribers_max: SUBSCRIBERS_MAX },
  })
  const key = await addKey(daemon, { connections: 5, subscriptions: 7 })

  const entered: (FeedClient | number)[] = []
  for (let i = 0; i < 15; i++) entered.push(await enter(t, daemon, key))
  const clients = entered.filter(isClient)
  t.equal(clients.length, 5, 'connections, one after the other')
  t.same(entered.slice(5), Array(10).fill(429))
  const threads = await Promise.all(clients.map((client) => threadOfClient(client, THREADS)))
  t.comment(`on threads ${threads}`)

  const answers: string[] = []
  for (let i = 0; i < 3; i++) {
    for (const client of clients) {
      const symbols = [`S-${i}`]
      const { op, name = '' } = await client.ask({ op: 'subscribe', channel: 'trades', symbols })
      answers.push(`${op} ${name}`)
    }
  }
  t.same(answers, [...Array(7).fill('ack '), ...Array(8).fill('error key_limit')], 'subscriptions')
  await closeAll(t, daemon, clients)

  const rushed = await Promise.all(Array.from({ length: 40 }, () => enter(t, daemon, key)))
  const staying = rushed.filter(isClient)
  t.ok(staying.length >= 1 && staying.length <= 5, `${staying.length} of 40 at once`)
  await closeAll(t, daemon, staying)

  const slow = await addKey(daemon, { messages_per_second: 1 })
  const beganMs = performance.now()
  const statuses: number[] = []
  for (let i = 0; i < 40; i++) {
    const { status } = await ask(daemon, '/v1/instruments', { headers: bearer(slow) })
    statuses.push(status)
  }
  const passed = statuses.filter((status) => status === 200).length
  const gained = Math.ceil((performance.now() - beganMs) / 1000)
  t.ok(passed >= 10 && passed <= 10 + gained, `${passed} requests: ten seconds of the rate at once`)
  t.ok(statuses.includes(429))

  const wide = await addKey(daemon, {})
  const many: (FeedClient | number)[] = []
  for (let i = 0; i < 20; i++) many.push(await enter(t, daemon, wide))
  t.equal(many.filter(isClient).length, SUBSCRIBERS_MAX, 'subscribers_max is of the daemon')
  t.same(many.slice(SUBSCRIBERS_MAX), Array(20 - SUBSCRIBERS_MAX).fill(503))

  changeKeyFile(join(daemon.stateDir, 'keys.json'), () => [])
  const open = many.filter(isClient)
  await eventually(async () => open.every(({ closed }) => closed?.code === 4001), 'all are closed')
  t.pass('a key that is revoked is closed on each thread')
  t.equal(await daemon.stop(), 0, daemon.output())
  const text = readFileSync(join(daemon.stateDir, 'audit.jsonl'), 'utf8')
  const lines = text.trimEnd().split('\n')
  const decisions = new Set(
    lines.map((line) => (JSON.parse(line) as { decision: string }).decision),
  )
  t.same([...decisions].sort(), ['allow', 'close', 'deny', 'note'], 'each line is whole')
})

function hasOpenSsl(): boolean {
  try {
    execFileSync('openssl', ['version'], { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
}

function makeCertificate(directory: string, name: string) {
  const files = {
    cert_file: join(directory, `${name}.crt`),
    key_file: join(directory, `${name}.key`),
  }
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes']
  const names = ['-subj', `/CN=${name}`, '-days', '2']
  const out = ['-keyout', files.key_file, '-out', files.cert_file]
  execFileSync('openssl', ['req', '-x509', ...key, ...names, ...out], { stdio: 'ignore' })
  return files
}

/** The name in the certificate that a new connection is shown. */
function nameShown(port: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect({ port, host: '127.0.0.1', rejectUnauthorized: false }, () => {
      resolve(String(socket.getPeerCertificate().subject.CN))
      socket.destroy()
    })
    socket.on('error', reject)
  })
}

const skipTls = skip || (hasOpenSsl() ? false : 'openssl is not on this machine')
t.test('a certificate is renewed on each thread', { skip: skipTls }, async (t) => {
  const directory = t.testdir()
  const tls = makeCertificate(directory, 'first')
  const second = makeCertificate(directory, 'second')
  const daemon = await start(t, { serve: { listen: { port: 0 }, threads: THREADS, tls } })
  const port = Number(new URL(daemon.address('http')).port)
  const shown = async () => {
    const names = await Promise.all(Array.from({ length: 60 }, () => nameShown(port)))
    return [...new Set(names)]
  }
  t.same(await shown(), ['first'])
  const ws = new WebSocket(`wss://127.0.0.1:${port}/v1/feed`, { rejectUnauthorized: false })
  t.teardown(() => ws.terminate())
  await once(ws, 'message')
  cpSync(second.key_file, tls.key_file)
  cpSync(second.cert_file, tls.cert_file)
  await eventually(async () => (await shown()).join() === 'second', 'the new one everywhere')
  t.equal(ws.readyState, WebSocket.OPEN, 'open connections go on')
  t.equal(await daemon.stop(), 0, daemon.output())
})
