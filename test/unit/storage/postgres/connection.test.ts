import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { TickdError } from '../../../../src/errors.ts'
import { externalUrl, withoutPassword } from '../../../../src/storage/postgres/config.ts'
import { explain } from '../../../../src/storage/postgres/explain.ts'

const URL_WITH_SECRET = 'postgresql://joe:s3cret@db.example:5433/ticks'

function sqlError(code: string, message: string): Error {
  return Object.assign(new Error(message), { code })
}

t.test('errors are put into their class, and never show the password', (t) => {
  const cases: [thrown: unknown, code: string, canRetry: boolean][] = [
    [sqlError('ECONNREFUSED', 'connect ECONNREFUSED'), 'POSTGRES_UNREACHABLE', true],
    [sqlError('EPIPE', 'write EPIPE'), 'POSTGRES_UNREACHABLE', true],
    [new Error('timeout expired'), 'POSTGRES_UNREACHABLE', true],
    [sqlError('57P03', 'the database system is starting up'), 'POSTGRES_UNREACHABLE', true],
    [sqlError('53300', 'too many clients already'), 'POSTGRES_UNREACHABLE', true],
    [sqlError('28P01', 'password authentication failed'), 'POSTGRES_REFUSED', false],
    [sqlError('3D000', 'database "ticks" does not exist'), 'POSTGRES_REFUSED', false],
    [sqlError('42501', 'permission denied'), 'POSTGRES_REFUSED', false],
    [sqlError('TK001', 'the position of shard 0 is not 5'), 'POSTGRES_CONFLICT', false],
    [sqlError('53100', 'could not extend file: No space left'), 'POSTGRES_BROKEN', true],
    [sqlError('22P03', 'incorrect binary data format'), 'POSTGRES_BROKEN', true],
  ]
  for (const [thrown, code, canRetry] of cases) {
    const error = explain(thrown, URL_WITH_SECRET)
    t.equal(error.code, code, error.message)
    t.equal(error.canRetry, canRetry, error.message)
    t.notMatch(error.message, /s3cret|\n/)
    t.match(error.message, 'db.example:5433/ticks')
  }
  t.end()
})

t.test('an error that has been explained stays as it is', (t) => {
  const error = new TickdError('POSTGRES_CONFLICT', 'said')
  t.equal(explain(error, URL_WITH_SECRET), error)
  t.end()
})

t.test('of an address with several IP addresses, the first failure is told', (t) => {
  const both = new AggregateError([new Error('connect ECONNREFUSED ::1:5432'), new Error('b')])
  t.match(explain(both, URL_WITH_SECRET).message, '::1:5432')
  t.end()
})

t.test('the password of a file goes into the address, whatever is in it', (t) => {
  const path = join(t.testdir(), 'password')
  writeFileSync(path, 'a/b@c:%d\n')
  const config = { url: 'postgresql://joe@db.example/ticks', password_file: path }
  t.equal(decodeURIComponent(new URL(externalUrl(config)).password), 'a/b@c:%d')
  const socket = { url: 'postgresql:///ticks?host=/run/postgresql', password_file: path }
  t.equal(new URL(externalUrl(socket)).searchParams.get('password'), 'a/b@c:%d')
  t.notMatch(withoutPassword(externalUrl(config)), /a%2Fb|a\/b@/)
  t.notMatch(withoutPassword(externalUrl(socket)), 'password')
  t.equal(externalUrl({ url: URL_WITH_SECRET, password_file: '' }), URL_WITH_SECRET)
  t.end()
})
