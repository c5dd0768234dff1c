// The closed list of errors: each that a client can provoke from outside, provoked.

import { equal, ok } from 'node:assert/strict'
import { closeOf, control, type FeedCase } from './target.ts'

/** Message -> number of its refusal. */
const REFUSED: readonly (readonly [string, number])[] = [
  ['{"op":', 1001],
  ['[1]', 1002],
  ['{"no":"op"}', 1002],
  ['{"op":"dance"}', 1003],
  ['{"op":"ping","extra":1}', 1004],
  ['{"op":"ping","id":{}}', 1004],
  ['{"op":"subscribe","channel":"trades","symbols":[]}', 1004],
  ['{"op":"subscribe","channel":"trades","symbols":"BTC-USD"}', 1004],
  ['{"op":"subscribe","channel":"trades","slow":"faster"}', 1004],
  ['{"op":"unsubscribe","stream":"one"}', 1004],
  ['{"op":"subscribe","channel":"gossip"}', 2001],
  ['{"op":"subscribe","channel":"test","from":"snapshot"}', 2002],
  ['{"op":"subscribe","channel":"trades","slow":"conflate"}', 2003],
  ['{"op":"unsubscribe","stream":123456789}', 2004],
]

export const REFUSALS: readonly FeedCase[] = [
  {
    section: 'Errors',
    name: 'a refused message has its number, its name and a sentence, and closes nothing',
    errors: [...new Set(REFUSED.map(([, code]) => code)), 1005, 2005],
    run: async (target) => {
      const client = await target.open()
      await client.op('welcome')
      const errors = () => client.controls.filter(({ op }) => op === 'error')
      const refused = async (send: () => void, code: number, what: string) => {
        const before = errors().length
        send()
        await client.until(() => errors().length > before, `the refusal of ${what}`)
        const error = errors().at(-1)
        equal(error?.code, code, what)
        ok(typeof error?.name === 'string' && typeof error.msg === 'string', what)
      }
      for (const [text, code] of REFUSED) await refused(() => client.send(text), code, text)
      await refused(() => client.ws.send(new Uint8Array([1])), 1005, 'a binary message')
      await client.subscribe({ channel: 'test' })
      const again = () => client.send({ op: 'subscribe', channel: 'test' })
      await refused(again, 2005, 'a second subscription')
      equal((await client.ask({ op: 'ping' })).op, 'pong', 'the connection lives')
    },
  },
  {
    section: 'Errors',
    name: 'the id is repeated by a refusal',
    run: async (target) => {
      const client = await target.open()
      const error = await client.ask({ op: 'subscribe', id: 'mine', channel: 'gossip' })
      equal(error.op, 'error')
      equal(error.id, 'mine')
    },
  },
  {
    section: 'Errors',
    name: 'too many messages are refused, with the time to wait',
    errors: [1006],
    run: async (target) => {
      const client = await target.open()
      await client.op('welcome')
      for (let i = 0; i < 540; i++) client.send({ op: 'ping' })
      const error = await control(client, ({ op }) => op === 'error')
      equal(error.code, 1006)
      ok((error.retry_after_ms as number) > 0)
    },
  },
  {
    section: 'Close codes',
    name: '100 refused messages in a row close the connection with 4000',
    closes: [4000],
    run: async (target) => {
      const client = await target.open()
      await client.op('welcome')
      for (let i = 0; i < 100; i++) client.send('{')
      equal((await closeOf(client)).code, 4000)
    },
  },
  {
    section: 'Close codes',
    name: 'a daemon that stops says goodbye',
    closes: [1001],
    needs: 'end',
    run: async (target) => {
      const client = await target.open()
      await client.op('welcome')
      await target.end()
      equal((await closeOf(client)).code, 1001)
    },
  },
]
