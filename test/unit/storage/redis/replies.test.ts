import t from 'tap'
import { TickdError } from '../../../../src/errors.ts'
import { urlTarget } from '../../../../src/storage/redis/config.ts'
import { explain } from '../../../../src/storage/redis/replies.ts'

const { show } = urlTarget('redis://joe:s3cret@cache.example:7000')

t.test('what Redis says is put into its class, with advice, and without the password', (t) => {
  const cases: [said: string, code: string, canRetry: boolean, advice: RegExp][] = [
    ['connect ECONNREFUSED', 'REDIS_UNREACHABLE', true, /check that it runs/],
    ['LOADING Redis is loading the dataset in memory', 'REDIS_UNREACHABLE', true, /LOADING/],
    ['CLUSTERDOWN The cluster is down', 'REDIS_UNREACHABLE', true, /CLUSTERDOWN/],
    ['WRONGPASS invalid username-password pair', 'REDIS_REFUSED', false, /redis\.password_file/],
    ['NOAUTH Authentication required.', 'REDIS_REFUSED', false, /redis\.password_file/],
    ['ERR DB index is out of range', 'REDIS_REFUSED', false, /database/],
    ['NOPERM this user has no permissions', 'REDIS_REFUSED', false, /ACL/],
    ['OOM command not allowed when used memory > maxmemory', 'REDIS_REFUSED', true, /maxmemory/],
    ["READONLY You can't write against a read only replica.", 'REDIS_REFUSED', true, /demoted/],
    ['MISCONF Redis is configured to save RDB snapshots', 'REDIS_REFUSED', true, /its disk/],
    ['NOREPLICAS Not enough good replicas to write.', 'REDIS_REFUSED', true, /replicas/],
    ['MOVED 866 10.0.0.2:6379', 'REDIS_REFUSED', false, /redis\.cluster/],
    ['WRONGTYPE Operation against a key', 'REDIS_REFUSED', false, /redis\.prefix/],
  ]
  for (const [said, code, canRetry, advice] of cases) {
    const error = explain(new Error(said), show)
    t.match(error, { code, canRetry, message: advice }, said)
    t.notMatch(error.message, 's3cret')
    t.match(error.message, 'cache.example:7000')
    t.ok(error.message.includes(said))
  }
  t.end()
})

t.test('what is explained already stays as it is', (t) => {
  const error = new TickdError('REDIS_REFUSED', 'said before')
  t.equal(explain(error, show), error)
  t.end()
})
