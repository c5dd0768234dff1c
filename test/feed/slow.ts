// Reading too slowly: it is said first, then declared exactly, or the connection is closed.
//
// Needs a daemon whose buffers a test can fill: see NEEDS.

import { equal, ok } from 'node:assert/strict'
import { setTimeout as delay } from 'node:timers/promises'
import type { FeedClient } from '../support/feed-client.ts'
import { closeOf, type FeedCase, Skip } from './target.ts'

/** How long a reader does not read: doubled until it is called slow. */
const PAUSE_MS = 500
const PAUSE_MS_MAX = 8000

/** Reads now and then, until what it came for is there. */
async function dawdle(client: FeedClient, isThere: () => boolean): Promise<void> {
  for (let ms = PAUSE_MS; !isThere(); ms *= 2) {
    if (ms > PAUSE_MS_MAX) throw new Skip('too little comes for a reader to fall behind')
    client.pause()
    await delay(ms)
    client.resume()
    client.send({ op: 'ping', id: ms })
    const isAnswered = () => client.controls.some(({ op, id }) => op === 'pong' && id === ms)
    await client.until(() => isThere() || isAnswered(), 'a pong, or what it came for')
  }
}

export const SLOW: readonly FeedCase[] = [
  {
    section: 'Reading too slowly',
    name: 'a slow reader is warned, and told exactly what it was not sent',
    needs: 'reader',
    run: async (target) => {
      const client = await target.open('tickd.v1.json')
      const ack = await client.ask({ op: 'subscribe', channel: 'trades', slow: 'gap' })
      // The feed itself may fall behind too: that is another cause.
      const gaps = () => client.controls.filter(({ op, cause }) => op === 'gap' && cause === 'slow')
      await dawdle(client, () => gaps().length > 0)
      const told = client.all.indexOf(gaps()[0] as (typeof client.controls)[number])
      await client.until(() => client.all.slice(told).some((each) => !('op' in each)), 'more')
      const warned = client.all.findIndex((each) => 'op' in each && each.op === 'slow')
      ok(warned >= 0 && warned < told, 'warned first')
      let next = ack.next_seq as number
      for (const each of client.all) {
        if (!('op' in each)) {
          equal(each.firstSeq, next)
          next += each.count
        } else if (each.op === 'gap') {
          equal(each.from, next)
          ok((each.to as number) >= next)
          next = (each.to as number) + 1
        }
      }
    },
  },
  {
    section: 'Close codes',
    name: 'a subscription that closes who reads too slowly says the last sequence sent',
    closes: [4008],
    needs: 'reader',
    run: async (target) => {
      const client = await target.open('tickd.v1.json')
      const ack = await client.ask({ op: 'subscribe', channel: 'trades', slow: 'close' })
      await dawdle(client, () => client.closed !== undefined)
      const { code, reason } = await closeOf(client)
      equal(code, 4008)
      const { stream, last_seq: lastSeq } = JSON.parse(reason)
      equal(stream, ack.stream)
      const last = client.frames.at(-1)
      ok(last !== undefined && last.firstSeq + last.count - 1 === lastSeq, 'it had them all')
    },
  },
]
