// A live subscription is given other symbols.
//
// The last case needs a daemon that has market data now; where none comes, it is skipped.

import { deepEqual, equal, ok } from 'node:assert/strict'
import type { DataFrame, FeedClient, Message } from '../support/feed-client.ts'
import { type FeedCase, Skip, type Target } from './target.ts'

const WAIT_MS = 5000

async function onShard(target: Target): Promise<{ client: FeedClient; shard: object }> {
  const client = await target.open('tickd.v1.json')
  const { shards = 1 } = await client.op('welcome')
  return { client, shard: (shards as number) > 1 ? { shard: 0 } : {} }
}

function resultsOf(ack: Message): string[] {
  return (ack.symbols as { symbol: string; result: string }[]).map(({ result }) => result)
}

const isData = (each: Message | DataFrame): each is DataFrame => 'firstSeq' in each

export const UPDATING: readonly FeedCase[] = [
  {
    section: 'update',
    name: 'each symbol has its result: what is not there is no error',
    run: async (target) => {
      const client = await target.open()
      const stream = await client.subscribe({ channel: 'trades', symbols: ['NO-SUCH-1'] })
      const change = { add: ['NO-SUCH-2', 'NO-SUCH-*'], remove: ['NO-SUCH-1', 'NO-SUCH-3'] }
      const ack = await client.ask({ op: 'update', stream, ...change })
      equal(ack.op, 'ack', JSON.stringify(ack))
      deepEqual(resultsOf(ack), ['unknown', 'ok', 'removed', 'absent'])
      ok(Number.isSafeInteger(ack.from_seq))
      equal((ack.was as { stream: number }).stream, stream)
      const gone = await client.ask({ op: 'unsubscribe', stream })
      equal(gone.code, 2004, 'the old stream is not subscribed')
      equal((await client.ask({ op: 'unsubscribe', stream: ack.stream })).op, 'ack')
    },
  },
  {
    section: 'update',
    name: 'what is refused changes nothing',
    errors: [2011],
    run: async (target) => {
      const client = await target.open()
      const own = await client.subscribe({ channel: 'test' })
      equal((await client.ask({ op: 'update', stream: own, add: ['A'] })).code, 2011)
      const stream = await client.subscribe({ channel: 'trades', symbols: ['NO-SUCH'] })
      const refused: [number, object][] = [
        [1004, { remove: ['NO-SUCH'] }],
        [1004, { add: [] }],
        [1004, {}],
        [2004, { stream: 999_999, add: ['A'] }],
      ]
      for (const [code, fields] of refused) {
        equal((await client.ask({ op: 'update', stream, ...fields })).code, code)
      }
      equal((await client.ask({ op: 'unsubscribe', stream })).op, 'ack', 'it is there')
    },
  },
  {
    section: 'update',
    must: ['A client MUST take `stream` and `from_seq` of the ack'],
    name: 'old frames come before the ack, new ones behind it, both with the sequences they have',
    run: async (target) => {
      const { client, shard } = await onShard(target)
      const whole = await client.ask({ op: 'subscribe', channel: 'trades', ...shard })
      const first = client.frames.length
      const deadline = performance.now() + WAIT_MS
      while (client.frames.length <= first + 3) {
        if (performance.now() > deadline) throw new Skip('no trades come from this daemon now')
        await new Promise((resolve) => setTimeout(resolve, 20))
      }
      const symbol = String(client.frames[0]?.records[0]?.symbol)
      const stream = whole.stream as number
      const change = { add: [symbol], remove: ['*'] }
      const ack = await client.ask({ op: 'update', stream, ...change })
      equal(ack.op, 'ack', JSON.stringify(ack))
      const at = client.all.indexOf(ack)
      await client.until(() => client.all.slice(at).filter(isData).length > 2, 'the new stream')
      let next = whole.next_seq as number
      for (const frame of client.all.slice(0, at).filter(isData)) {
        equal(frame.stream, stream)
        equal(frame.firstSeq, next)
        next += frame.count
      }
      equal((ack.was as { next_seq: number }).next_seq, next)
      next = ack.from_seq as number
      for (const frame of client.all.slice(at).filter(isData)) {
        equal(frame.stream, ack.stream)
        equal(frame.firstSeq, next)
        for (const record of frame.records) equal(record.symbol, symbol)
        next += frame.count
      }
    },
  },
]
