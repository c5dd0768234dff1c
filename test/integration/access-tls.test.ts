// TLS: a certificate is checked before the start, serves both doors, and is taken anew.

import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import { cpSync, writeFileSync } from 'node:fs'
import { type AddressInfo, createServer } from 'node:net'
import { join } from 'node:path'
import { connect } from 'node:tls'
import t from 'tap'
import { WebSocket } from 'ws'
import { accessPlan, ServeRig } from '../support/serve-rig.ts'

const WAIT_MS = 10_000

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

function hasOpenSsl(): boolean {
  try {
    execFileSync('openssl', ['version'], { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
}
const skip = hasOpenSsl() ? false : 'openssl is not on this machine'

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

/** On a port that is given, as the daemon does: only such a one can be shared. */
async function start(directory: string, tls: { cert_file: string; key_file: string }) {
  const finder = createServer().listen(0, '127.0.0.1')
  await once(finder, 'listening')
  const { port } = finder.address() as AddressInfo
  await new Promise((resolve) => finder.close(resolve))
  const listen = { host: '127.0.0.1', port }
  const access = { ...accessPlan(directory), tls }
  return new ServeRig({ settings: { listen }, overrides: { access } })
}

t.test('both doors speak TLS, and a changed certificate is taken anew', { skip }, async (t) => {
  const directory = t.testdir({ tls: {} })
  const files = makeCertificate(join(directory, 'tls'), 'first')
  const second = makeCertificate(join(directory, 'tls'), 'second')
  const rig = await start(directory, files)
  rig.start()
  t.teardown(() => rig.close())
  const { port } = rig.agent
  t.equal(await nameShown(port), 'first')
  const ws = new WebSocket(`wss://127.0.0.1:${port}/v1/feed`, { rejectUnauthorized: false })
  const said: string[] = []
  ws.on('message', (data) => said.push(JSON.parse(String(data)).op))
  await new Promise((resolve) => ws.once('message', resolve))
  t.equal(said[0], 'welcome')
  await t.rejects(fetch(`http://127.0.0.1:${port}/healthz`), 'plain HTTP is not spoken')

  // Half of a change is left alone, the whole is taken.
  cpSync(second.key_file, files.key_file)
  await until(async () => rig.counters.get('access_file_errors') > 0)
  t.equal(await nameShown(port), 'first')
  cpSync(second.cert_file, files.cert_file)
  await until(async () => (await nameShown(port)) === 'second')
  ws.send('{"op":"ping"}')
  await until(async () => said.includes('pong'))
  t.pass('open connections go on')
  ws.close()
  await until(async () => rig.counters.get('connections') === 0)
})

async function until(isSo: () => Promise<boolean>): Promise<void> {
  const deadline = performance.now() + WAIT_MS
  while (!(await isSo())) {
    if (performance.now() > deadline) throw new Error('not in time')
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

t.test('files that do not belong together are an error before the start', { skip }, async (t) => {
  const directory = t.testdir({ tls: {} })
  const one = makeCertificate(join(directory, 'tls'), 'one')
  const two = makeCertificate(join(directory, 'tls'), 'two')
  const broken = join(directory, 'broken.crt')
  writeFileSync(broken, 'no certificate')
  for (const tls of [
    { cert_file: one.cert_file, key_file: two.key_file },
    { cert_file: broken, key_file: one.key_file },
    { cert_file: join(directory, 'nowhere'), key_file: one.key_file },
  ]) {
    await t.rejects(start(directory, tls), { code: 'ACCESS_INVALID', message: /serve\.tls/ })
  }
})
