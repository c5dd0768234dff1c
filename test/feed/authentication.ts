// Keys: the conversation before `welcome`, where the daemon demands one.

import { equal, ok } from 'node:assert/strict'
import { closeOf, type FeedCase, type Target } from './target.ts'

/** The error and the close that follow what is sent in the place of a good token. */
async function refusedWith(target: Target, message: object, code: number): Promise<void> {
  const client = await target.knock()
  const { timeout_ms: timeoutMs } = await client.op('auth_required')
  ok((timeoutMs as number) > 0)
  client.send(message)
  const error = await client.op('error')
  equal(error.code, code)
  equal((await closeOf(client)).code, 4001)
}

export const AUTHENTICATION: readonly FeedCase[] = [
  {
    section: 'Authentication',
    name: 'without a token in the handshake the server asks, and the first message must have it',
    must: ['and the client MUST send, as its first message'],
    errors: [4001, 4002, 4004],
    closes: [4001],
    needs: 'key',
    run: async (target) => {
      await refusedWith(target, { op: 'ping' }, 4001)
      await refusedWith(target, { op: 'auth', token: 'tk_000000000000_no' }, 4002)
      const client = await target.open()
      await client.op('welcome')
      client.send({ op: 'auth', token: target.token })
      equal((await client.op('error')).code, 4004)
      equal((await client.ask({ op: 'ping' })).op, 'pong')
    },
  },
]
