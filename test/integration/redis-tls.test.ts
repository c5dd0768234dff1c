// Redis behind TLS: with the authority that is named, and refused without it.

import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import t from 'tap'
import { configSchema } from '../../src/config/schema.ts'
import { freePort } from '../../src/storage/free-port.ts'
import { externalTarget } from '../../src/storage/redis/config.ts'
import { checkRedis } from '../../src/storage/redis/server.ts'
import { redisBinary } from '../support/redis.ts'
import { RedisFleet } from '../support/redis-fleet.ts'

const hasOpenssl = spawnSync('openssl', ['version']).status === 0
const skip =
  (redisBinary === undefined && 'there is no redis-server on this machine') ||
  (!hasOpenssl && 'there is no openssl on this machine')

/** A certificate that signs itself, for localhost. */
function makeCertificate(directory: string): { key: string; certificate: string } {
  const [key, certificate] = [join(directory, 'key.pem'), join(directory, 'certificate.pem')]
  const names = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost']
  const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes']
  const files = ['-keyout', key, '-out', certificate]
  spawnSync('openssl', ['req', '-x509', '-days', '2', ...curve, ...files, ...names])
  return { key, certificate }
}

t.test('with TLS', { skip }, async (t) => {
  const fleet = new RedisFleet()
  t.teardown(() => fleet.stop())
  const { key, certificate } = makeCertificate(t.testdir())
  const port = await freePort('127.0.0.1')
  const files = [`tls-cert-file ${certificate}`, `tls-key-file ${key}`]
  await fleet.add([`tls-port ${port}`, ...files, 'tls-auth-clients no'])
  const base = configSchema.parse({}).redis
  const single = { ...base, url: `rediss://localhost:${port}` }
  t.match(await checkRedis(externalTarget({ ...single, tls_ca_file: certificate }), 3000), /^\d+/)
  await t.rejects(checkRedis(externalTarget(single), 3000), {
    code: 'REDIS_UNREACHABLE',
    message: /self-signed certificate/,
  })
  const plain = externalTarget({ ...base, url: `redis://localhost:${port}` })
  await t.rejects(checkRedis(plain, 3000), { code: 'REDIS_UNREACHABLE' })
})
