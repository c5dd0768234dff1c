// Going back: replays and fills give the very records that were sent before.
//
// Needs a daemon that has market data now; where none comes, the cases are skipped.

import { deepEqual, equal, ok } from 'node:assert/strict'
import { crc32 } from 'node:zlib'
import type { DataFrame, FeedClient, Message } from '../support/feed-client.ts'
import { control, type FeedCase, Skip, type Target } from './target.ts'

const RECORDS = 50
const WAIT_MS = 5000

/** What was seen live: the stream's name for each record, and the record. */
interface Seen {
  readonly client: FeedClient
  readonly ack: Message
  readonly records: readonly Record<string, unknown>[]
  readonly firstSeq: number
}

/** Subscribes to trades and keeps the first records. */
export async function live(target: Target): Promise<Seen> {
  const client = await target.open('tickd.v1.json')
  const { shards = 1 } = await client.op('welcome')
  const shard = (shards as number) > 1 ? { shard: 0 } : {}
  const ack = await client.ask({ op: 'subscribe', channel: 'trades', ...shard })
  equal(ack.op, 'ack', JSON.stringify(ack))
  const isThere = () => client.recordCount(ack.stream as number) >= RECORDS
  const deadline = performance.now() + WAIT_MS
  while (!isThere()) {
    if (performance.now() > deadline) throw new Skip('no trades come from this daemon now')
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  const records = client.frames.flatMap((frame) => frame.records).slice(0, RECORDS)
  return { client, ack, records, firstSeq: client.frames[0]?.firstSeq as number }
}

function rangeOf(frames: readonly DataFrame[], firstSeq: number, count: number) {
  const found = new Map<number, Record<string, unknown>>()
  for (const frame of frames) {
    frame.records.forEach((record, i) => {
      found.set(frame.firstSeq + i, record)
    })
  }
  return Array.from({ length: count }, (_, i) => found.get(firstSeq + i))
}

export const GOING_BACK: readonly FeedCase[] = [
  {
    section: 'Going back',
    name: 'from {epoch, seq} gives the same records again, and goes on live without a hole',
    run: async (target) => {
      const { ack, records, firstSeq } = await live(target)
      const { epoch } = ack
      const client = await target.open('tickd.v1.json')
      const { shards = 1 } = await client.op('welcome')
      const shard = (shards as number) > 1 ? { shard: 0 } : {}
      const from = { epoch, seq: firstSeq }
      const answer = await client.ask({ op: 'subscribe', channel: 'trades', from, ...shard })
      equal(answer.op, 'ack', JSON.stringify(answer))
      equal(answer.next_seq, firstSeq)
      equal(answer.replay, true)
      const done = await control(client, ({ op }) => op === 'replay_completed')
      deepEqual(rangeOf(client.frames, firstSeq, RECORDS), records)
      const end = client.all.indexOf(done)
      const replayed = client.all
        .slice(0, end)
        .filter((each): each is DataFrame => 'count' in each && 'firstSeq' in each)
      equal(
        done.count,
        replayed.reduce((sum, { count }) => sum + count, 0),
      )
      await client.until(
        () => client.all.length > end + 1 && client.frames.length > replayed.length,
        'live records',
      )
      let next = firstSeq
      for (const frame of client.frames) {
        equal(frame.firstSeq, next)
        next += frame.count
      }
    },
  },
  {
    section: 'Going back',
    name: 'the digest of a replay is the CRC-32 of its payloads',
    run: async (target) => {
      const { ack, firstSeq } = await live(target)
      const client = await target.open('tickd.v1.fb')
      let crc = 0
      let isDone = false
      client.ws.on('message', (data: Buffer, isBinary) => {
        if (isBinary && !isDone) crc = crc32(data, crc)
        else if (!isBinary && JSON.parse(data.toString()).op === 'replay_completed') isDone = true
      })
      const { shards = 1 } = await client.op('welcome')
      const shard = (shards as number) > 1 ? { shard: 0 } : {}
      const from = { epoch: ack.epoch, seq: firstSeq }
      await client.subscribe({ channel: 'trades', from, ...shard })
      const done = await control(client, ({ op }) => op === 'replay_completed')
      equal(done.digest, crc.toString(16).padStart(8, '0'))
    },
  },
  {
    section: 'fill',
    name: 'a range is sent again on the same connection, between the live frames',
    run: async (target) => {
      const { client, ack, records, firstSeq } = await live(target)
      const at = client.frames.length
      const to = firstSeq + RECORDS - 1
      const { stream } = ack
      client.send({ op: 'fill', id: 'f', stream, from: firstSeq, to })
      const first = await control(client, ({ id }) => id === 'f')
      equal(first.op, 'ack', JSON.stringify(first))
      const done = await control(client, ({ op, id }) => op === 'replay_completed' && id === 'f')
      equal(done.count, RECORDS)
      const again = client.frames.slice(at).filter((frame) => frame.firstSeq <= to)
      deepEqual(rangeOf(again, firstSeq, RECORDS), records)
    },
  },
  {
    section: 'Going back',
    name: 'from {ts} begins with a record received no earlier',
    run: async (target) => {
      const { records } = await live(target)
      const ts = String(records[0]?.ts_recv)
      const client = await target.open('tickd.v1.json')
      const { shards = 1 } = await client.op('welcome')
      const shard = (shards as number) > 1 ? { shard: 0 } : {}
      const answer = await client.ask({
        op: 'subscribe',
        channel: 'trades',
        from: { ts },
        ...shard,
      })
      equal(answer.op, 'ack', JSON.stringify(answer))
      await control(client, ({ op }) => op === 'replay_completed')
      const replayed = client.frames.flatMap((frame) => frame.records)
      ok(String(replayed[0]?.ts_recv) >= ts)
      ok(replayed.some(({ id, ts_recv: received }) => id === records[0]?.id && received === ts))
    },
  },
  {
    section: 'Errors',
    name: 'a sequence that the stream never had is refused, and the connection goes on',
    errors: [2008],
    run: async (target) => {
      const client = await target.open()
      const { epoch, shards = 1 } = await client.op('welcome')
      const shard = (shards as number) > 1 ? { shard: 0 } : {}
      const from = { epoch, seq: 2 ** 50 }
      const error = await client.ask({ op: 'subscribe', channel: 'trades', from, ...shard })
      equal(error.op, 'error')
      equal(error.code, 2008)
      equal((await client.ask({ op: 'ping' })).op, 'pong')
    },
  },
]
