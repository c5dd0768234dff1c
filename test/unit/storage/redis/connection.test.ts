import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import {
  cliArguments,
  connectionOptions,
  externalUrl,
  withoutPassword,
} from '../../../../src/storage/redis/config.ts'
import { explain } from '../../../../src/storage/redis/connection.ts'

t.test('an address becomes the client’s options', (t) => {
  t.same(connectionOptions('redis://cache.example/3'), {
    host: 'cache.example',
    port: 6379,
    db: 3,
  })
  t.same(connectionOptions('rediss://joe:p%40ss@cache.example:7000'), {
    host: 'cache.example',
    port: 7000,
    db: 0,
    username: 'joe',
    password: 'p@ss',
    tls: {},
  })
  t.same(connectionOptions('unix:///run/a b/redis.sock'), { path: '/run/a b/redis.sock' })
  t.end()
})

t.test('the password of a file goes into the address, and is never shown', (t) => {
  const path = join(t.testdir(), 'password')
  writeFileSync(path, 's3/cret\n')
  for (const url of ['redis://cache.example:7000/0', 'unix:///run/redis.sock']) {
    const full = externalUrl({ url, password_file: path })
    t.equal(connectionOptions(full).password, 's3/cret')
    t.equal(withoutPassword(full), url)
    t.notMatch(cliArguments(full), 'cret')
  }
  t.equal(cliArguments('unix:///run/a b.sock'), '-s /run/a b.sock')
  t.equal(cliArguments('redis://cache.example:7000/0'), '-u redis://cache.example:7000/0')
  t.end()
})

t.test('errors are put into their class, and never show the password', (t) => {
  const url = 'redis://joe:s3cret@cache.example:7000'
  const cases: [message: string, code: string][] = [
    ['connect ECONNREFUSED', 'REDIS_UNREACHABLE'],
    ['connect ETIMEDOUT', 'REDIS_UNREACHABLE'],
    ['WRONGPASS invalid username-password pair', 'REDIS_REFUSED'],
    ['NOAUTH Authentication required.', 'REDIS_REFUSED'],
    ['NOPERM this user has no permissions', 'REDIS_REFUSED'],
    ['ERR DB index is out of range', 'REDIS_REFUSED'],
  ]
  for (const [message, code] of cases) {
    const error = explain(new Error(message), url)
    t.equal(error.code, code, message)
    t.notMatch(error.message, 's3cret')
    t.match(error.message, 'cache.example:7000')
  }
  t.end()
})
