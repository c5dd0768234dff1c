import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { type Config, configSchema } from '../../../../src/config/schema.ts'
import {
  cliArguments,
  clusterTarget,
  externalTarget,
  urlTarget,
} from '../../../../src/storage/redis/config.ts'

function config(redis: Partial<Config['redis']>): Config['redis'] {
  return { ...configSchema.parse({}).redis, mode: 'external', ...redis }
}

t.test('an address becomes the client’s options', (t) => {
  t.same(urlTarget('redis://cache.example/3').options, {
    host: 'cache.example',
    port: 6379,
    db: 3,
  })
  t.same(urlTarget('rediss://joe:p%40ss@cache.example:7000').options, {
    host: 'cache.example',
    port: 7000,
    db: 0,
    username: 'joe',
    password: 'p@ss',
    tls: {},
  })
  t.same(urlTarget('unix:///run/a b/redis.sock').options, { path: '/run/a b/redis.sock' })
  t.end()
})

t.test('the password of a file goes into the address, and is never shown', (t) => {
  const path = join(t.testdir(), 'password')
  writeFileSync(path, 's3/cret\n')
  for (const url of ['redis://cache.example:7000/0', 'unix:///run/redis.sock']) {
    const target = externalTarget(config({ url, password_file: path }))
    t.equal(target.options.password, 's3/cret')
    t.equal(target.show, url)
    t.notMatch(cliArguments(target), 'cret')
  }
  t.equal(cliArguments(urlTarget('unix:///run/a b.sock')), '-s /run/a b.sock')
  const url = 'redis://cache.example:7000/0'
  t.equal(cliArguments(urlTarget(url)), `-u ${url}`)
  t.end()
})

t.test('sentinels and servers have passwords of their own', (t) => {
  const directory = t.testdir({ password: 'master-s3cret', sentinel: 'sentinel-s3cret' })
  const target = externalTarget(
    config({
      sentinels: [
        { host: 's1', port: 26_379 },
        { host: '::1', port: 26_380 },
      ],
      sentinel_name: 'ticks',
      username: 'tickd',
      password_file: join(directory, 'password'),
      sentinel_password_file: join(directory, 'sentinel'),
    }),
  )
  t.equal(target.kind, 'sentinel')
  t.same(target.options, { username: 'tickd', password: 'master-s3cret' })
  t.same(target.sentinelOptions, { password: 'sentinel-s3cret' })
  t.equal(target.show, 'ticks of sentinels s1:26379, [::1]:26380')
  t.match(cliArguments(target), /^-h s1 -p 26379 SENTINEL get-master-addr-by-name ticks$/)
  t.end()
})

t.test('a cluster is reached by its nodes, with TLS where that is said', (t) => {
  const directory = t.testdir({ 'ca.pem': 'PEM' })
  const cluster = [{ host: 'n1', port: 7000 }]
  t.same(externalTarget(config({ cluster })), clusterTarget(cluster))
  const tls_ca_file = join(directory, 'ca.pem')
  t.same(externalTarget(config({ cluster, tls: true, tls_ca_file })).options, {
    tls: { ca: 'PEM' },
  })
  t.equal(cliArguments(clusterTarget(cluster)), '-c -h n1 -p 7000')
  const gone = config({ cluster, tls: true, tls_ca_file: join(directory, 'none.pem') })
  t.throws(() => externalTarget(gone), {
    code: 'CONFIG_INVALID',
    message: /tls_ca_file.*none\.pem/,
  })
  t.end()
})
