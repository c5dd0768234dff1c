// What a server refuses for what it has, keeps or allows: limits, rights, records that are gone.
//
// Most need a daemon that was made so (`needs`): our own test makes one for each.

import { equal, ok } from 'node:assert/strict'
import type { Socket } from 'node:net'
import { live } from './going-back.ts'
import { control, type FeedCase, Skip, type Target } from './target.ts'

/** More subscriptions on a connection are not tried: the allowance of messages ends there. */
const SUBSCRIPTIONS_TRIED_MAX = 400
const STREAMS_TRIED_MAX = 100_000
const ATTEMPTS_MAX = 20

const noSuch = (i: number) => ({ op: 'subscribe', channel: 'trades', symbols: [`NO-SUCH-${i}`] })

/** The refusal of a subscription from a place: at once, or where the replay got to it. */
async function refusedFrom(target: Target, seq: number): Promise<number> {
  const client = await target.open()
  const { epoch, shards = 1 } = await client.op('welcome')
  const shard = (shards as number) > 1 ? { shard: 0 } : {}
  const from = { epoch, seq }
  client.send({ op: 'subscribe', id: 'back', channel: 'trades', from, ...shard })
  const isEnd = ({ op }: { op: string }) => op === 'error' || op === 'replay_completed'
  const end = await control(client, isEnd)
  if (end.op !== 'error') throw new Skip('all of this epoch can be had from this daemon')
  equal(end.id, 'back')
  equal((await client.ask({ op: 'ping' })).op, 'pong', 'the connection lives')
  return end.code as number
}

export const LIMITS: readonly FeedCase[] = [
  {
    section: 'Errors',
    name: 'one subscription more than welcome allows is refused',
    errors: [3001],
    run: async (target) => {
      const client = await target.open()
      const { limits } = await client.op('welcome')
      const { subscriptions: max = 0 } = limits as Record<string, number>
      if (max > SUBSCRIPTIONS_TRIED_MAX) throw new Skip(`it allows ${max}: too many to try`)
      for (let i = 0; i < max; i++) client.send({ id: i, ...noSuch(i) })
      await control(client, ({ op, id }) => op === 'ack' && id === max - 1)
      equal((await client.ask(noSuch(max))).code, 3001)
      equal((await client.ask({ op: 'ping' })).op, 'pong', 'the connection lives')
    },
  },
  {
    section: 'fill',
    name: 'a stream that is made for those who listen cannot be filled',
    errors: [2009],
    run: async (target) => {
      const client = await target.open()
      for (const channel of ['test', 'latest']) {
        const stream = await client.subscribe({ channel })
        equal((await client.ask({ op: 'fill', stream, from: 1, to: 1 })).code, 2009, channel)
      }
    },
  },
  {
    section: 'fill',
    name: 'one fill of a stream at a time: a second is refused, with the time to wait',
    errors: [3003],
    run: async (target) => {
      const { client, ack, firstSeq } = await live(target)
      const { stream } = ack
      const socket = (client.ws as unknown as { _socket: Socket })._socket
      const answer = (id: string) => {
        return control(client, (message) => message.id === id && message.op !== 'replay_completed')
      }
      for (let i = 0; i < ATTEMPTS_MAX; i++) {
        const fill = { op: 'fill', stream, from: firstSeq, to: firstSeq + 9 }
        // In one packet, so that the second comes before anything is read for the first.
        socket.cork()
        client.send({ ...fill, id: `one-${i}` })
        client.send({ ...fill, id: `two-${i}` })
        socket.uncork()
        equal((await answer(`one-${i}`)).op, 'ack')
        const second = await answer(`two-${i}`)
        await control(client, ({ op, id }) => op === 'replay_completed' && id === `one-${i}`)
        if (second.op === 'ack') continue
        equal(second.code, 3003)
        ok((second.retry_after_ms as number) > 0)
        return
      }
      throw new Skip('each fill was over before the next was asked for')
    },
  },
  {
    section: 'snapshot',
    name: 'an image that exceeds the buffer is refused before anything is sent',
    errors: [2006],
    needs: 'crowd',
    run: async (target) => {
      const client = await target.open()
      const request = { op: 'subscribe', channel: 'trades', from: 'snapshot' }
      equal((await client.ask(request)).code, 2006)
      equal((await client.ask({ ...request, from: 'live' })).op, 'ack', 'and not subscribed')
    },
  },
  {
    section: 'Going back',
    name: 'what is no longer kept is refused as that',
    errors: [2007],
    needs: 'cut',
    run: async (target) => equal(await refusedFrom(target, 1), 2007),
  },
  {
    section: 'Going back',
    name: 'where PostgreSQL has it and does not answer, that is said, with the time to wait',
    errors: [2012],
    needs: 'away',
    run: async (target) => equal(await refusedFrom(target, 1), 2012),
  },
  {
    section: 'Going back',
    name: 'where the journal cannot be read the replay ends, and says so',
    errors: [2010],
    needs: 'damage',
    run: async (target) => equal(await refusedFrom(target, 1), 2010),
  },
  {
    section: 'Errors',
    name: 'distinct streams have a limit in the daemon, with the time to wait',
    errors: [3002],
    needs: 'alone',
    run: async (target) => {
      for (let count = 0; count < STREAMS_TRIED_MAX; ) {
        const client = await target.open()
        const { limits } = await client.op('welcome')
        const { subscriptions = 0 } = limits as Record<string, number>
        const tried = Math.min(subscriptions, SUBSCRIPTIONS_TRIED_MAX)
        for (let i = 0; i < tried; i++) client.send({ id: i, ...noSuch(count + i) })
        // Whoever goes on asking in vain is closed: the first refusal says it.
        const last = await control(client, ({ id, op }) => id === tried - 1 || op === 'error')
        count += tried
        if (last.op === 'ack') continue
        equal(last.code, 3002)
        ok((last.retry_after_ms as number) > 0)
        return
      }
      throw new Skip(`it has more than ${STREAMS_TRIED_MAX}`)
    },
  },
  {
    section: 'Authentication',
    name: 'what the key has no right to is refused by name, and nothing is left out',
    errors: [4003],
    needs: 'narrow',
    run: async (target) => {
      const client = await target.open()
      const error = await client.ask({ op: 'subscribe', channel: 'trades' })
      equal(error.code, 4003)
      equal((await client.ask({ op: 'ping' })).op, 'pong', 'the connection lives')
    },
  },
  {
    section: 'Authentication',
    name: 'a key has its limits, and says when to try again',
    errors: [3004],
    needs: 'narrow',
    run: async (target) => {
      const client = await target.open()
      const { limits } = await client.op('welcome')
      const { subscriptions: max = 0 } = limits as Record<string, number>
      const tried = Math.min(max, SUBSCRIPTIONS_TRIED_MAX)
      for (let i = 0; i < tried; i++) {
        const answer = await client.ask(noSuch(i))
        if (answer.op === 'ack') continue
        equal(answer.code, 3004)
        ok((answer.retry_after_ms as number) > 0)
        return
      }
      throw new Skip('the key has no limit of subscriptions below that of a connection')
    },
  },
]
