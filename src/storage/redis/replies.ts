// What Redis says when it says no: which error it is, and what an operator can do about it.

import { errorText, TickdError } from '../../errors.ts'

interface Refusal {
  /** How the reply begins. */
  readonly reply: RegExp
  /** It may pass without anybody changing the configuration. */
  readonly canRetry: boolean
  readonly advice: string
}

const REFUSALS: readonly Refusal[] = [
  {
    reply: /^(NOAUTH|WRONGPASS|ERR (invalid password|AUTH|Client sent AUTH|DB index))/i,
    canRetry: false,
    advice: 'check the password (redis.password_file), user and database',
  },
  {
    reply: /^NOPERM/,
    canRetry: false,
    advice: 'the user needs the commands and keys that docs/redis.md lists: mend its ACL',
  },
  {
    reply: /^OOM/,
    canRetry: true,
    advice: 'Redis is full: raise its maxmemory, or lower redis.stream_entries_max',
  },
  {
    reply: /^READONLY/,
    canRetry: true,
    advice: 'it is a replica, perhaps demoted: name the master, or use redis.sentinels',
  },
  {
    reply: /^MISCONF/,
    canRetry: true,
    advice: 'it cannot save its data and takes no writes: see its log and its disk',
  },
  {
    reply: /^NOREPLICAS/,
    canRetry: true,
    advice: 'it takes no writes without its replicas (min-replicas-to-write): bring them back',
  },
  {
    reply: /^(MOVED|ASK) /,
    canRetry: false,
    advice: 'it is a node of a cluster: use redis.cluster in place of redis.url',
  },
  {
    reply: /^WRONGTYPE/,
    canRetry: false,
    advice: 'a key of ours is of another kind: remove it, or choose another redis.prefix',
  },
]

/** What went wrong as a TickdError: one line, where, and what to do; never the password. */
export function explain(thrown: unknown, where: string): TickdError {
  if (thrown instanceof TickdError) return thrown
  const said = errorText(thrown instanceof AggregateError ? thrown.errors[0] : thrown)
  const refusal = REFUSALS.find(({ reply }) => reply.test(said))
  if (refusal !== undefined) {
    const { canRetry, advice } = refusal
    const text = `Redis at ${where} refused: ${said}; ${advice}`
    return new TickdError('REDIS_REFUSED', text, { canRetry, cause: thrown })
  }
  return new TickdError(
    'REDIS_UNREACHABLE',
    `Redis at ${where} does not answer: ${said}; check that it runs, and its address`,
    { canRetry: true, cause: thrown },
  )
}
