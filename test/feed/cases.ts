// What docs/protocol.md promises, as cases that run against any URL.
//
// Each names the section that it is about, and the words of its MUST where there is one; a test
// holds both against the page. A case throws an AssertionError, or a Skip when the daemon at hand
// cannot show it.

import { deepEqual, equal, match, ok } from 'node:assert/strict'
import { AUTHENTICATION } from './authentication.ts'
import { BOOKS } from './books.ts'
import { GOING_BACK } from './going-back.ts'
import { LIMITS } from './limits.ts'
import { REFUSALS } from './refusals.ts'
import { SLOW } from './slow.ts'
import { closeOf, control, type FeedCase, firstFrames, upgradeStatus } from './target.ts'
import { UPDATING } from './updating.ts'

const PROTOCOLS = ['tickd.v1.fb', 'tickd.v1.msgpack', 'tickd.v1.json']

const CONNECTING: FeedCase[] = [
  {
    section: 'Connecting',
    name: 'the first offered sub-protocol that the server knows is taken',
    run: async (target) => {
      for (const protocol of PROTOCOLS) {
        const others = PROTOCOLS.filter((name) => name !== protocol)
        const client = await target.open('tickd.v9.none', protocol, ...others)
        equal(client.ws.protocol, protocol)
        equal((await client.op('welcome')).protocol, protocol)
      }
      const client = await target.open()
      equal((await client.op('welcome')).protocol, 'tickd.v1.json', 'where none is offered')
    },
  },
  {
    section: 'Connecting',
    name: 'only unknown sub-protocols offered: HTTP 400',
    run: async (target) => equal(await upgradeStatus(target, ['tickd.v9.none']), 400),
  },
  {
    section: 'Connecting',
    name: 'the server speaks first, and says its limits',
    run: async (target) => {
      const client = await target.open('tickd.v1.fb')
      const welcome = await client.op('welcome')
      const [first] = client.controls
      ok(first === welcome || first?.op === 'auth_required', 'nothing comes before it')
      const { session, epoch, server_time: time, limits, versions } = welcome
      equal(typeof session, 'string')
      ok(Number.isSafeInteger(epoch) && (epoch as number) > 0)
      match(String(time), /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z$/)
      for (const name of ['subscriptions', 'symbols', 'message_bytes', 'heartbeat_ms']) {
        ok((limits as Record<string, number>)[name] as number, name)
      }
      equal((versions as { protocol: number }).protocol, 1)
    },
  },
  {
    section: 'Connecting',
    name: 'a message longer than message_bytes closes the socket',
    closes: [1009],
    run: async (target) => {
      const client = await target.open()
      const { limits } = await client.op('welcome')
      const size = (limits as { message_bytes: number }).message_bytes
      client.send({ op: 'ping', id: 'x'.repeat(size) })
      equal((await closeOf(client)).code, 1009)
    },
  },
]

const REQUESTS: FeedCase[] = [
  {
    section: 'Requests',
    name: 'an answer repeats the id, number or text',
    run: async (target) => {
      const client = await target.open()
      for (const id of [7, -1.5, 'x'.repeat(128)]) {
        client.send({ op: 'ping', id })
        await control(client, (message) => message.op === 'pong' && message.id === id)
      }
      client.send({ op: 'ping' })
      await control(client, (message) => message.op === 'pong' && !('id' in message))
    },
  },
  {
    section: 'subscribe',
    name: 'each symbol has its result: a name that nobody has is no error',
    run: async (target) => {
      const client = await target.open()
      const symbols = ['NO-SUCH-NAME-*', 'NO-SUCH-NAME']
      const ack = await client.ask({ op: 'subscribe', channel: 'trades', symbols })
      equal(ack.op, 'ack')
      const results = ack.symbols as { symbol: string; result: string; instrument_count: number }[]
      deepEqual(
        results.map(({ symbol, result }) => [symbol, result]),
        [
          ['NO-SUCH-NAME-*', 'ok'],
          ['NO-SUCH-NAME', 'unknown'],
        ],
      )
      ok(Number.isSafeInteger(ack.stream) && Number.isSafeInteger(ack.next_seq))
    },
  },
  {
    section: 'unsubscribe, ping',
    name: 'unsubscribe ends the stream and says where',
    run: async (target) => {
      const client = await target.open()
      const stream = await client.subscribe({ channel: 'test' })
      const [frame] = await firstFrames(client, stream, 1)
      const ack = await client.ask({ op: 'unsubscribe', stream })
      equal(ack.op, 'ack')
      ok((ack.next_seq as number) > (frame?.firstSeq as number))
      const error = await client.ask({ op: 'unsubscribe', stream })
      equal(error.code, 2004)
    },
  },
]

const STREAMS: FeedCase[] = [
  {
    section: 'Streams and sequences',
    must: ['A client MUST expect `next_seq` of the ack', 'it MUST treat what lies between'],
    name: 'record by record, sequences are dense from next_seq of the ack, in each sub-protocol',
    run: async (target) => {
      for (const protocol of PROTOCOLS) {
        const client = await target.open(protocol)
        const ack = await client.ask({ op: 'subscribe', channel: 'test' })
        let next = ack.next_seq as number
        for (const frame of await firstFrames(client, ack.stream as number, 2)) {
          equal(frame.firstSeq, next)
          equal(frame.epoch, ack.epoch)
          next += frame.count
        }
      }
    },
  },
  {
    section: 'Streams and sequences',
    name: 'equal subscriptions are one stream: the same sequence names the same record',
    needs: 'single',
    run: async (target) => {
      const clients = [await target.open('tickd.v1.json'), await target.open('tickd.v1.msgpack')]
      const views = await Promise.all(
        clients.map(async (client) => {
          const stream = await client.subscribe({ channel: 'test' })
          const frames = await firstFrames(client, stream, 3)
          return new Map(
            frames.flatMap(({ firstSeq, records }) =>
              records.map((record, i) => [firstSeq + i, JSON.stringify(record)] as const),
            ),
          )
        }),
      )
      const [one, two] = views as [Map<number, string>, Map<number, string>]
      const shared = [...one.keys()].filter((seq) => two.has(seq))
      ok(shared.length > 0, 'they overlap')
      for (const seq of shared) equal(two.get(seq), one.get(seq))
    },
  },
  {
    section: 'Data frames',
    name: 'the three sub-protocols carry the same record',
    needs: 'single',
    run: async (target) => {
      const clients = await Promise.all(PROTOCOLS.map((protocol) => target.open(protocol)))
      const counters = await Promise.all(
        clients.map(async (client) => {
          const stream = await client.subscribe({ channel: 'test' })
          const frames = await firstFrames(client, stream, 3)
          return new Map(frames.map((frame) => [frame.firstSeq, counterOf(frame)]))
        }),
      )
      const [fb, msgpack, json] = counters as [Map<number, number>, ...Map<number, number>[]]
      const shared = [...fb.keys()].filter((seq) => msgpack?.has(seq) && json?.has(seq))
      ok(shared.length > 0, 'they overlap')
      for (const seq of shared) {
        equal(msgpack?.get(seq), fb.get(seq))
        equal(json?.get(seq), fb.get(seq))
      }
    },
  },
]

function counterOf({ records, batch }: Awaited<ReturnType<typeof firstFrames>>[number]): number {
  if (batch === undefined) return records[0]?.from as number
  return new DataView(batch.bytes.buffer, batch.bytes.byteOffset).getInt32(40, true)
}

const TOLD: FeedCase[] = [
  {
    section: 'snapshot',
    name: 'an image has as many records as it says, flagged, and takes no sequence numbers',
    run: async (target) => {
      const client = await target.open('tickd.v1.json')
      const stream = await client.subscribe({ channel: 'latest', from: 'snapshot' })
      const image = await control(client, (message) => message.op === 'snapshot')
      const count = image.count as number
      await client.until(() => client.recordCount(stream) >= count, 'the image')
      let left = count
      for (const frame of client.frames) {
        if (left <= 0) break
        equal(frame.firstSeq, image.next_seq)
        for (const { flags } of frame.records) ok((flags as string[]).includes('snapshot'))
        left -= frame.count
      }
      equal(left, 0)
    },
  },
  {
    section: 'heartbeat',
    name: 'a quiet connection has heartbeats; a quiet stream’s next sequence is in them',
    run: async (target) => {
      const client = await target.open()
      await control(client, ({ op, streams }) => {
        return op === 'heartbeat' && Object.keys(streams as object).length === 0
      })
      const symbols = ['NO-SUCH-NAME']
      const ack = await client.ask({ op: 'subscribe', channel: 'trades', symbols })
      const beat = await control(client, ({ op, streams }) => {
        return op === 'heartbeat' && Object.hasOwn(streams as object, String(ack.stream))
      })
      equal((beat.streams as Record<string, number>)[String(ack.stream)], ack.next_seq)
    },
  },
]

export const CASES: readonly FeedCase[] = [
  ...CONNECTING,
  ...AUTHENTICATION,
  ...REQUESTS,
  ...UPDATING,
  ...STREAMS,
  ...TOLD,
  ...GOING_BACK,
  ...BOOKS,
  ...REFUSALS,
  ...LIMITS,
  ...SLOW,
]

/** Sections that cannot be shown from outside of a daemon at will; where they are tested. */
export const ELSEWHERE: Readonly<Record<string, string>> = {
  gap: 'test/integration/feed-slow.test.ts, feed-back.test.ts, feed-upstream.test.ts',
  'What the server tells': 'its parts have cases',
  HTTP: 'test/integration/http.test.ts',
}
